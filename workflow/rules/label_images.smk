def label_tables_of(dataset):
    """Return the tables of labels, patients, lungs and lists; missing ones that no rule makes are named beforehand."""
    settings = CONFIG.settings("label_images", dataset)
    if CONFIG.is_phantom(dataset):
        return INDEX[dataset]
    try:
        return files_with_tables(CONFIG, dataset, settings.files, "table of labels")
    except InputError as error:
        raise WorkflowError(f"datasets.{dataset}.label_images: {error}") from None


LABEL_TABLES = {dataset: label_tables_of(dataset) for dataset in CONFIG.evaluate_on}


def split_of_pretraining(wildcards):
    """Return the table with the distribution's own split, for a data set that is split as pre-training does."""
    follows = CONFIG.settings("label_images", wildcards.dataset).patient_split is not None
    return path_of("index_inputs", "files.arrow", dataset=wildcards.dataset) if follows else []


# Downstream labels: target, boxes, masks; splits and nested subsets.
rule label_images:
    input:
        **inputs_of("label_images", leave=("files",)),
        files=split_of_pretraining,
        tables=lambda wildcards: LABEL_TABLES[wildcards.dataset],
        archives=lambda wildcards: ARCHIVES[wildcards.dataset],
    output:
        **outputs_of("label_images"),
    log:
        log_of("label_images"),
    priority: BEFORE_TRAINING
    container:
        container_of("preprocess")
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        **identity_of("label_images", image="preprocess"),
        root=lambda wildcards: CONFIG.root(wildcards.dataset),
        roots=lambda wildcards: CONFIG.roots(wildcards.dataset),
        private=f"{CONFIG.workspace}/private",
        files=lambda wildcards, input: shlex.join(["--files", input.files] if input.files else []),
    shell:
        command_of(
            "label_images",
            leave=("files",),
            root="{params.root:q}",
            roots="{params.roots:q}",
            dataset="{wildcards.dataset}",
            private="{params.private:q}",
            more="{params.files}",
        )
