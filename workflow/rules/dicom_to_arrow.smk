# DICOM (or JPEG) files -> Arrow shards and rejects with reasons: scattered over shards, gathered into one manifest.
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
    threads: 2
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        code=code_of("dicom_to_arrow"),
        settings=settings_of("dicom_to_arrow"),
        image=image_of("preprocess"),
        root=lambda wildcards: CONFIG.root(wildcards.dataset),
        folder=subpath(output.images, parent=True),
    shell:
        "python -m stages.dicom_to_arrow convert --root {params.root:q} --files {input.files} --shard {wildcards.shard}"
        " --images {output.images} --rejects {output.rejects} --workers {threads} --settings {params.settings:q}"
        " --image {params.image} --name {wildcards.dataset}/{wildcards.shard}"
        " --journal {params.folder}/journal_{wildcards.shard}.json 2> {log}"


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
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code_of("dicom_to_arrow"),
        settings=settings_of("dicom_to_arrow"),
        image=image_of("preprocess"),
        folder=subpath(output.manifest, parent=True),
    shell:
        "python -m stages.dicom_to_arrow gather --files {input.files} --shard-images {input.images}"
        " --shard-rejects {input.rejects} --manifest {output.manifest} --rejects {output.rejects}"
        " --settings {params.settings:q} --image {params.image} --name {wildcards.dataset}"
        " --journal {params.folder}/journal.json 2> {log}"
