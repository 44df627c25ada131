# Fig. 3: where prompts point, and what the integrity map learned.
rule phrase_grounding:
    input:
        checkpoint="<workspace>/results/select_checkpoint/{variant}/checkpoint",
        images="<workspace>/results/dicom_to_arrow/{dataset}/manifest.json",
        labels="<workspace>/results/label_images/{dataset}/labels.arrow",
        audit="<workspace>/results/audit_splits/{dataset}/audit.json",
        prompts=lambda wildcards: of_checkout(CONFIG.settings("phrase_grounding", wildcards.dataset).prompts),
    output:
        result="<workspace>/results/phrase_grounding/{variant}/{dataset}/result.json",
        values="<workspace>/results/phrase_grounding/{variant}/{dataset}/values.arrow",
        samples="<workspace>/results/phrase_grounding/{variant}/{dataset}/samples.arrow",
    log:
        "<workspace>/logs/phrase_grounding/{variant}/{dataset}.log",
    container:
        container_of("torch")
    threads: 2
    resources:
        mem_mb=growing(16000),
        runtime=growing(60),
    params:
        code=code_of("phrase_grounding"),
        settings=settings_of("phrase_grounding"),
        image=image_of("torch"),
        folder=subpath(output.result, parent=True),
    shell:
        "OMP_NUM_THREADS={threads} python -m stages.phrase_grounding --checkpoint {input.checkpoint}"
        " --images {input.images}"
        " --labels {input.labels} --audit {input.audit} --result {output.result} --values {output.values} --samples {output.samples} --settings {params.settings:q}"
        " --image {params.image} --name {wildcards.variant}/{wildcards.dataset}"
        " --journal {params.folder}/journal.json 2> $(new_log {log})"
