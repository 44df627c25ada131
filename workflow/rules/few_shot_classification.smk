# Table 2: classification with 1, 10 and 100 % of the labels, by two published protocols; seeds inside the job.
FEW_SHOT_CLASSIFICATION = [
    f"<workspace>/results/few_shot_classification/{variant}/{dataset}/{protocol}/{fraction}/result.json"
    for variant in CONFIG.compare
    for dataset in CONFIG.evaluate_on
    for settings in [CONFIG.settings("few_shot_classification", dataset)]
    for protocol in settings.protocols
    for fraction in settings.fractions
]


def few_shot_settings(stage, protocol=None):
    """Settings of one job as JSON: those of another protocol or fraction do not count."""
    return lambda wildcards: canonical_json(
        CONFIG.settings(stage, wildcards.dataset)
        .job(protocol or wildcards.protocol, int(wildcards.fraction))
        .model_dump(mode="json")
    )


rule few_shot_classification_linear:
    input:
        features="<workspace>/results/extract_features/{variant}/{dataset}/features.arrow",
        labels="<workspace>/results/label_images/{dataset}/labels.arrow",
        audit="<workspace>/results/audit_splits/{dataset}/audit.json",
    output:
        result="<workspace>/results/few_shot_classification/{variant}/{dataset}/linear/{fraction}/result.json",
        scores=directory("<workspace>/results/few_shot_classification/{variant}/{dataset}/linear/{fraction}/scores"),
    log:
        "<workspace>/logs/few_shot_classification/{variant}/{dataset}/linear/{fraction}.log",
    container:
        container_of("torch")
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        code=code_of("few_shot_classification"),
        settings=few_shot_settings("few_shot_classification", "linear"),
        image=image_of("torch"),
        folder=subpath(output.result, parent=True),
    shell:
        "OMP_NUM_THREADS={threads} python -m stages.few_shot_classification linear --features {input.features}"
        " --labels {input.labels} --audit {input.audit} --result {output.result} --scores {output.scores}"
        " --settings {params.settings:q} --image {params.image}"
        " --name {wildcards.variant}/{wildcards.dataset}/linear/{wildcards.fraction}"
        " --journal {params.folder}/journal.json 2> $(new_log {log})"


rule few_shot_classification_finetune:
    input:
        checkpoint="<workspace>/results/select_checkpoint/{variant}/checkpoint",
        images="<workspace>/results/dicom_to_arrow/{dataset}/manifest.json",
        labels="<workspace>/results/label_images/{dataset}/labels.arrow",
        audit="<workspace>/results/audit_splits/{dataset}/audit.json",
    output:
        result="<workspace>/results/few_shot_classification/{variant}/{dataset}/finetune/{fraction}/result.json",
        scores=directory("<workspace>/results/few_shot_classification/{variant}/{dataset}/finetune/{fraction}/scores"),
    log:
        "<workspace>/logs/few_shot_classification/{variant}/{dataset}/finetune/{fraction}.log",
    container:
        container_of("torch")
    threads: 8
    resources:
        mem_mb=growing(16000),
        runtime=growing(720),
        gpu=1,
    params:
        code=code_of("few_shot_classification"),
        settings=few_shot_settings("few_shot_classification", "finetune"),
        state=f"{CONFIG.workspace}/state/few_shot_classification/{{variant}}/{{dataset}}/{{fraction}}",
        image=image_of("torch"),
        folder=subpath(output.result, parent=True),
    shell:
        "OMP_NUM_THREADS={threads} python -m stages.few_shot_classification finetune --checkpoint {input.checkpoint}"
        " --images {input.images} --labels {input.labels} --audit {input.audit} --state {params.state}"
        " --result {output.result} --scores {output.scores} --settings {params.settings:q} --device {CONFIG.device}"
        " --image {params.image} --name {wildcards.variant}/{wildcards.dataset}/finetune/{wildcards.fraction}"
        " --journal {params.folder}/journal.json 2> $(new_log {log})"
