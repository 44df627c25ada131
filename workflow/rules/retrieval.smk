# Images find reports and reports find images, on the test pairs of pre-training.
RETRIEVAL = [f"<workspace>/results/retrieval/{variant}/result.json" for variant in CONFIG.with_text]


rule retrieval:
    input:
        checkpoint="<workspace>/results/select_checkpoint/{variant}/checkpoint",
        pairs=f"<workspace>/results/pair_images_reports/{CONFIG.pretrain_on}/pairs.arrow",
        sentences=f"<workspace>/results/split_reports/{CONFIG.pretrain_on}/sentences.arrow",
        images=f"<workspace>/results/dicom_to_arrow/{CONFIG.pretrain_on}/manifest.json",
    output:
        result="<workspace>/results/retrieval/{variant}/result.json",
        ranks="<workspace>/results/retrieval/{variant}/ranks.arrow",
    log:
        "<workspace>/logs/retrieval/{variant}.log",
    container:
        container_of("torch")
    threads: 4
    resources:
        mem_mb=growing(16000),
        runtime=growing(60),
        gpu=1,
    params:
        code=code_of("retrieval"),
        settings=settings_of("retrieval"),
        image=image_of("torch"),
        folder=subpath(output.result, parent=True),
    shell:
        "OMP_NUM_THREADS={threads} python -m stages.retrieval --checkpoint {input.checkpoint} --pairs {input.pairs}"
        " --sentences {input.sentences} --images {input.images} --result {output.result} --ranks {output.ranks}"
        " --settings {params.settings:q} --device {CONFIG.device} --image {params.image} --name {wildcards.variant}"
        " --journal {params.folder}/journal.json 2> $(new_log {log})"
