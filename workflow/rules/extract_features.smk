# Embeddings of a data set's images, once for zero-shot, linear probes and retrieval.
rule extract_features:
    input:
        checkpoint="<workspace>/results/select_checkpoint/{variant}/checkpoint",
        images="<workspace>/results/dicom_to_arrow/{dataset}/manifest.json",
    output:
        features="<workspace>/results/extract_features/{variant}/{dataset}/features.arrow",
    log:
        "<workspace>/logs/extract_features/{variant}/{dataset}.log",
    container:
        container_of("torch")
    threads: 4
    resources:
        mem_mb=growing(16000),
        runtime=growing(60),
        gpu=1,
    params:
        code=code_of("extract_features"),
        settings=settings_of("extract_features"),
        image=image_of("torch"),
        folder=subpath(output.features, parent=True),
    shell:
        "OMP_NUM_THREADS={threads} python -m stages.extract_features --checkpoint {input.checkpoint}"
        " --images {input.images}"
        " --features {output.features} --settings {params.settings:q} --device {CONFIG.device} --image {params.image}"
        " --name {wildcards.variant}/{wildcards.dataset} --journal {params.folder}/journal.json 2> $(new_log {log})"
