# The distribution's own index -> table of files and table of reports.
from stages.common.data.distributions import not_there
from stages.index_inputs.contract import index_files


def index_of(dataset):
    """Return the index files of a data set; missing ones that no rule makes are named before anything runs."""
    root, settings = Path(CONFIG.root(dataset)), CONFIG.settings("index_inputs", dataset)
    files = [root / name for name in index_files(settings, root)]
    missing = [path for path in files if not (CONFIG.is_phantom(dataset) or path.is_file())]
    if missing:
        error = not_there(missing[0], "no such index file", CONFIG.where_to_get(dataset))
        raise WorkflowError(f"datasets.{dataset}: {error}")
    return [str(path) for path in files]


INDEX = {dataset: index_of(dataset) for dataset in CONFIG.used_datasets}


rule index_inputs:
    input:
        index=lambda wildcards: INDEX[wildcards.dataset],
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
