# DICOM (or JPEG) files -> Arrow shards and rejects with reasons: scattered over shards, gathered into one manifest.
# What a killed shard has done lies in state/, outside the outputs: with the same digest it goes on from there.
rule dicom_to_arrow:
    input:
        files="<workspace>/results/index_inputs/{dataset}/files.arrow",
    output:
        images="<workspace>/results/dicom_to_arrow/{dataset}/shards/{shard}.arrow",
        rejects="<workspace>/results/dicom_to_arrow/{dataset}/shards/{shard}_rejects.arrow",
    log:
        "<workspace>/logs/dicom_to_arrow/{dataset}/{shard}.log",
    wildcard_constraints:
        shard=r"\d+",
    container:
        container_of("preprocess")
    threads: 2
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        code=code_of("dicom_to_arrow"),
        settings=settings_of("dicom_to_arrow"),
        image=image_of("preprocess"),
        root=lambda wildcards: CONFIG.root(wildcards.dataset),
        private=f"{CONFIG.workspace}/private",
        state=f"{CONFIG.workspace}/state/dicom_to_arrow/{{dataset}}",
        folder=subpath(output.images, parent=True),
    shell:
        "python -m stages.dicom_to_arrow convert --root {params.root:q} --files {input.files} --shard {wildcards.shard}"
        " --private {params.private} --state {params.state} --images {output.images} --rejects {output.rejects}"
        " --workers {threads} --settings {params.settings:q} --image {params.image}"
        " --name {wildcards.dataset}/{wildcards.shard}"
        " --journal {params.folder}/journal_{wildcards.shard}.json 2> $(new_log {log})"


def shards_of(suffix):
    """Outputs of all shards of a data set."""
    return lambda wildcards: expand(
        f"<workspace>/results/dicom_to_arrow/{wildcards.dataset}/shards/{{shard}}{suffix}.arrow",
        shard=range(CONFIG.settings("index_inputs", wildcards.dataset).shards),
    )


rule dicom_to_arrow_gather:
    input:
        files="<workspace>/results/index_inputs/{dataset}/files.arrow",
        images=shards_of(""),
        rejects=shards_of("_rejects"),
    output:
        manifest="<workspace>/results/dicom_to_arrow/{dataset}/manifest.json",
        rejects="<workspace>/results/dicom_to_arrow/{dataset}/rejects.arrow",
    log:
        "<workspace>/logs/dicom_to_arrow/{dataset}.log",
    container:
        container_of("preprocess")
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        code=code_of("dicom_to_arrow"),
        settings=settings_of("dicom_to_arrow"),
        image=image_of("preprocess"),
        folder=subpath(output.manifest, parent=True),
    shell:
        "python -m stages.dicom_to_arrow gather --files {input.files} --shard-images {input.images}"
        " --shard-rejects {input.rejects} --manifest {output.manifest} --rejects {output.rejects}"
        " --settings {params.settings:q} --image {params.image} --name {wildcards.dataset}"
        " --journal {params.folder}/journal.json 2> $(new_log {log})"


# Copies of one image, within and across data sets.
rule dicom_to_arrow_duplicates:
    input:
        manifests=[f"<workspace>/results/dicom_to_arrow/{dataset}/manifest.json" for dataset in INDEX],
    output:
        duplicates="<workspace>/results/dicom_to_arrow/duplicates.arrow",
    log:
        "<workspace>/logs/dicom_to_arrow.log",
    container:
        container_of("preprocess")
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        code=code_of("dicom_to_arrow"),
        settings=settings_of("dicom_to_arrow"),
        image=image_of("preprocess"),
        folder=subpath(output.duplicates, parent=True),
    shell:
        "python -m stages.dicom_to_arrow duplicates --manifests {input.manifests} --duplicates {output.duplicates}"
        " --settings {params.settings:q} --image {params.image} --name duplicates"
        " --journal {params.folder}/journal.json 2> $(new_log {log})"
