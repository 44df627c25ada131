def label_tables_of(dataset):
    """Return the tables of labels, patients, lungs and lists; missing ones that no rule makes are named beforehand."""
    root, settings = Path(CONFIG.root(dataset)), CONFIG.settings("label_images", dataset)
    if CONFIG.is_phantom(dataset):
        return INDEX[dataset]
    paths = [root / name for name in settings.files()]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise WorkflowError(f"datasets.{dataset}.label_images: no file {missing[0]}; {WHERE_TO_GET[settings.layout]}")
    return [str(path) for path in paths]


LABEL_TABLES = {dataset: label_tables_of(dataset) for dataset in CONFIG.evaluate_on}


# Downstream labels: target, boxes, masks; splits and nested subsets.
rule label_images:
    input:
        **inputs_of("label_images"),
        tables=lambda wildcards: LABEL_TABLES[wildcards.dataset],
    output:
        **outputs_of("label_images"),
    log:
        log_of("label_images"),
    container:
        container_of("preprocess")
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        **identity_of("label_images", image="preprocess"),
        root=lambda wildcards: CONFIG.root(wildcards.dataset),
        private=f"{CONFIG.workspace}/private",
    shell:
        command_of("label_images", root="{params.root:q}", dataset="{wildcards.dataset}", private="{params.private:q}")
