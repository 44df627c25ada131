# DICOM (or JPEG) files -> Arrow shards and rejects with reasons: scattered over shards, gathered into one manifest.
# Progress of a killed shard is in state/, outside the outputs: with the same digest it resumes.
rule dicom_to_arrow:
    input:
        **inputs_of("dicom_to_arrow", "convert"),
        archives=lambda wildcards: ARCHIVES[wildcards.dataset],
    output:
        **outputs_of("dicom_to_arrow", "convert"),
    log:
        "<workspace>/logs/dicom_to_arrow/{dataset}/{shard}.log",
    wildcard_constraints:
        shard=r"\d+",
    priority: BEFORE_TRAINING
    container:
        container_of("preprocess")
    threads: 2
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        **identity_of(
            "dicom_to_arrow",
            image="preprocess",
            command="convert",
            name="{dataset}/{shard}",
            settings=lambda wildcards: canonical_json(
                CONFIG.settings("dicom_to_arrow", wildcards.dataset).conversion().model_dump(mode="json")
            ),
        ),
        root=lambda wildcards: CONFIG.root(wildcards.dataset),
        roots=lambda wildcards: CONFIG.roots(wildcards.dataset),
        private=f"{CONFIG.workspace}/private",
        state=f"{CONFIG.workspace}/state/dicom_to_arrow/{{dataset}}",
    shell:
        command_of(
            "dicom_to_arrow",
            "convert",
            root="{params.root:q}",
            roots="{params.roots:q}",
            private="{params.private:q}",
            shard="{wildcards.shard}",
            state="{params.state:q}",
            workers="{threads}",
        )


def shards_of(file):
    """Return the outputs of all shards of a data set."""
    return lambda wildcards: [
        path_of("dicom_to_arrow", file, dataset=wildcards.dataset, shard=str(shard))
        for shard in range(CONFIG.settings("index_inputs", wildcards.dataset).shards)
    ]


rule dicom_to_arrow_gather:
    input:
        **inputs_of("dicom_to_arrow", "gather", leave=("shard_images", "shard_rejects")),
        shard_images=shards_of("{shard}.arrow"),
        shard_rejects=shards_of("{shard}_rejects.arrow"),
    output:
        **outputs_of("dicom_to_arrow", "gather"),
    log:
        log_of("dicom_to_arrow", "gather"),
    priority: BEFORE_TRAINING
    container:
        container_of("preprocess")
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        **identity_of("dicom_to_arrow", image="preprocess", command="gather"),
    shell:
        command_of("dicom_to_arrow", "gather")


# Copies of one image, within and across data sets.
rule dicom_to_arrow_duplicates:
    input:
        manifests=[path_of("dicom_to_arrow", "manifest.json", dataset=dataset) for dataset in INDEX],
    output:
        **outputs_of("dicom_to_arrow", "duplicates"),
    log:
        log_of("dicom_to_arrow", "duplicates"),
    priority: BEFORE_TRAINING
    container:
        container_of("preprocess")
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        **identity_of("dicom_to_arrow", image="preprocess", command="duplicates", name="duplicates"),
    shell:
        command_of("dicom_to_arrow", "duplicates")
