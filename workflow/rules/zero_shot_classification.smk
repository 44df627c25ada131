# Table 1: classification by prompts alone. Only the local score looks at images again.
def with_patches(wildcards):
    return CONFIG.settings("zero_shot_classification", wildcards.dataset).score == "local"


rule zero_shot_classification:
    input:
        checkpoint="<workspace>/results/select_checkpoint/{variant}/checkpoint",
        features="<workspace>/results/extract_features/{variant}/{dataset}/features.arrow",
        images=lambda wildcards: (
            f"<workspace>/results/dicom_to_arrow/{wildcards.dataset}/manifest.json" if with_patches(wildcards) else []
        ),
        labels="<workspace>/results/label_images/{dataset}/labels.arrow",
        audit="<workspace>/results/audit_splits/{dataset}/audit.json",
        prompts=lambda wildcards: of_checkout(CONFIG.settings("zero_shot_classification", wildcards.dataset).prompts),
    output:
        scores="<workspace>/results/zero_shot_classification/{variant}/{dataset}/scores.arrow",
        result="<workspace>/results/zero_shot_classification/{variant}/{dataset}/result.json",
    log:
        "<workspace>/logs/zero_shot_classification/{variant}/{dataset}.log",
    container:
        container_of("torch")
    threads: lambda wildcards: 8 if with_patches(wildcards) else 1
    resources:
        mem_mb=growing(8000),
        gpu=lambda wildcards: int(with_patches(wildcards)),
        runtime=growing(60),
    params:
        code=code_of("zero_shot_classification"),
        settings=settings_of("zero_shot_classification"),
        image=image_of("torch"),
        folder=subpath(output.result, parent=True),
        device=lambda wildcards: CONFIG.device if with_patches(wildcards) else "cpu",
    shell:
        "OMP_NUM_THREADS={threads} python -m stages.zero_shot_classification --checkpoint {input.checkpoint}"
        " --features {input.features} --images {input.images}"
        " --labels {input.labels} --audit {input.audit} --scores {output.scores} --result {output.result} --settings {params.settings:q}"
        " --device {params.device} --image {params.image} --name {wildcards.variant}/{wildcards.dataset}"
        " --journal {params.folder}/journal.json 2> $(new_log {log})"
