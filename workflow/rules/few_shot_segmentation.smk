# Table 3: outlines with 1, 10 and 100 % of the labels, by two published protocols; seeds inside the job. What a killed job
# has done lies in state/, outside the outputs: with the same digest it goes on from there.
FEW_SHOT_SEGMENTATION = [
    f"<workspace>/results/few_shot_segmentation/{variant}/{dataset}/{protocol}/{fraction}/result.json"
    for variant in CONFIG.compare
    for dataset in CONFIG.evaluate_on
    for settings in [CONFIG.settings("few_shot_segmentation", dataset)]
    for protocol in settings.protocols
    for fraction in settings.fractions
]


rule few_shot_segmentation:
    input:
        checkpoint="<workspace>/results/select_checkpoint/{variant}/checkpoint",
        images="<workspace>/results/dicom_to_arrow/{dataset}/manifest.json",
        labels="<workspace>/results/label_images/{dataset}/labels.arrow",
        audit="<workspace>/results/audit_splits/{dataset}/audit.json",
    output:
        result="<workspace>/results/few_shot_segmentation/{variant}/{dataset}/{protocol}/{fraction}/result.json",
        overlaps=directory(
            "<workspace>/results/few_shot_segmentation/{variant}/{dataset}/{protocol}/{fraction}/overlaps"
        ),
        samples="<workspace>/results/few_shot_segmentation/{variant}/{dataset}/{protocol}/{fraction}/samples.arrow",
    log:
        "<workspace>/logs/few_shot_segmentation/{variant}/{dataset}/{protocol}/{fraction}.log",
    wildcard_constraints:
        protocol="linear|finetune",
    container:
        container_of("torch")
    threads: 8
    resources:
        mem_mb=growing(24000),
        runtime=1440,
        gpu=1,
    params:
        code=code_of("few_shot_segmentation"),
        settings=few_shot_settings("few_shot_segmentation"),
        image=image_of("torch"),
        state=f"{CONFIG.workspace}/state/few_shot_segmentation/{{variant}}/{{dataset}}/{{protocol}}/{{fraction}}",
        folder=subpath(output.result, parent=True),
    shell:
        "OMP_NUM_THREADS={threads} python -m stages.few_shot_segmentation {wildcards.protocol}"
        " --checkpoint {input.checkpoint} --images {input.images} --labels {input.labels} --audit {input.audit}"
        " --state {params.state}"
        " --result {output.result} --overlaps {output.overlaps} --samples {output.samples}"
        " --settings {params.settings:q} --device {CONFIG.device} --image {params.image}"
        " --name {wildcards.variant}/{wildcards.dataset}/{wildcards.protocol}/{wildcards.fraction}"
        " --journal {params.folder}/journal.json 2> $(new_log {log})"
