def label_tables_of(dataset):
    """Tables of labels, patients, lungs and lists; one that is missing and that no rule makes is named beforehand."""
    root, settings = Path(CONFIG.root(dataset)), CONFIG.settings("label_images", dataset)
    if root.is_relative_to(f"{CONFIG.workspace}/phantom"):
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
        tables=lambda wildcards: LABEL_TABLES[wildcards.dataset],
        images="<workspace>/results/dicom_to_arrow/{dataset}/manifest.json",
    output:
        labels="<workspace>/results/label_images/{dataset}/labels.arrow",
        card="<workspace>/results/label_images/{dataset}/card.json",
    log:
        "<workspace>/logs/label_images/{dataset}.log",
    container:
        container_of("preprocess")
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        code=code_of("label_images"),
        settings=settings_of("label_images"),
        image=image_of("preprocess"),
        root=lambda wildcards: CONFIG.root(wildcards.dataset),
        private=f"{CONFIG.workspace}/private",
        folder=subpath(output.labels, parent=True),
    shell:
        "python -m stages.label_images --root {params.root:q} --dataset {wildcards.dataset} --private {params.private}"
        " --images {input.images} --labels {output.labels} --card {output.card} --settings {params.settings:q}"
        " --image {params.image} --name {wildcards.dataset} --journal {params.folder}/journal.json 2> $(new_log {log})"
