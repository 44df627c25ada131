# The distribution's own index -> table of files and table of reports.
from stages.index_inputs.contract import index_files
from workflow.input_files import archives_of, files_with_tables


def index_of(dataset):
    """Return the index files of a data set; missing ones that no rule makes are named before anything runs."""
    settings = CONFIG.settings("index_inputs", dataset)
    try:
        return files_with_tables(CONFIG, dataset, partial(index_files, settings), "index file")
    except InputError as error:
        raise WorkflowError(f"datasets.{dataset}: {error}") from None


INDEX = {dataset: index_of(dataset) for dataset in CONFIG.used_datasets}
ARCHIVES = {dataset: archives_of(CONFIG, dataset) for dataset in CONFIG.used_datasets}


rule index_inputs:
    input:
        index=lambda wildcards: INDEX[wildcards.dataset],
        archives=lambda wildcards: ARCHIVES[wildcards.dataset],
    output:
        **outputs_of("index_inputs"),
    log:
        log_of("index_inputs"),
    priority: BEFORE_TRAINING
    container:
        container_of("preprocess")
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        **identity_of("index_inputs", image="preprocess"),
        root=lambda wildcards: CONFIG.root(wildcards.dataset),
        roots=lambda wildcards: CONFIG.roots(wildcards.dataset),
        private=f"{CONFIG.workspace}/private",
    shell:
        command_of(
            "index_inputs",
            root="{params.root:q}",
            roots="{params.roots:q}",
            dataset="{wildcards.dataset}",
            private="{params.private:q}",
        )
