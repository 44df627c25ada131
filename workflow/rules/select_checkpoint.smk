# The best candidate on validation data alone, exported as a checkpoint folder.
def selection_labels(wildcards):
    """Images, labels and prompts of the data set that `zero_shot_on` names, if it names one."""
    if (dataset := CONFIG.settings("select_checkpoint").zero_shot_on) is None:
        return {}
    prompts = of_checkout(CONFIG.settings("zero_shot_classification", dataset).prompts)
    return {
        "images": f"<workspace>/results/dicom_to_arrow/{dataset}/manifest.json",
        "labels": f"<workspace>/results/label_images/{dataset}/labels.arrow",
        "prompts": prompts,
    }


rule select_checkpoint:
    input:
        candidates="<workspace>/results/pretrain/{variant}/candidates.json",
        weights="<workspace>/results/pretrain/{variant}/candidates",
        pairs=f"<workspace>/results/pair_images_reports/{CONFIG.pretrain_on}/pairs.arrow",
        sentences=f"<workspace>/results/split_reports/{CONFIG.pretrain_on}/sentences.arrow",
        tokenizer=f"<workspace>/results/split_reports/{CONFIG.pretrain_on}/tokenizer",
        images=f"<workspace>/results/dicom_to_arrow/{CONFIG.pretrain_on}/manifest.json",
        zero_shot=lambda wildcards: list(selection_labels(wildcards).values()),
    output:
        checkpoint=report(
            directory("<workspace>/results/select_checkpoint/{variant}/checkpoint"),
            patterns=["{picture}.png"],
            caption="../report/picture.rst",
            category="Pictures",
            labels={"variant": "{variant}", "what": "{picture}"},
        ),
        model=directory("<workspace>/results/select_checkpoint/{variant}/mlflow_model"),
        selection=report(
            "<workspace>/results/select_checkpoint/{variant}/selection.json",
            caption="../report/selection.rst",
            category="Choice of the checkpoint",
            labels={"variant": "{variant}"},
        ),
    log:
        "<workspace>/logs/select_checkpoint/{variant}.log",
    container:
        container_of("torch")
    threads: 4
    resources:
        mem_mb=growing(16000),
        runtime=growing(60),
        gpu=1,
    params:
        code=code_of("select_checkpoint"),
        settings=settings_of("select_checkpoint"),
        image=image_of("torch"),
        zero_shot=lambda wildcards, input: " ".join(
            f"--zero-shot-{name} {path}" for name, path in zip(selection_labels(wildcards), input.zero_shot)
        ),
        folder=subpath(output.selection, parent=True),
    shell:
        "OMP_NUM_THREADS={threads} python -m stages.select_checkpoint --candidates {input.candidates}"
        " --pairs {input.pairs}"
        " --sentences {input.sentences} --images {input.images} --tokenizer {input.tokenizer}"
        " --checkpoint {output.checkpoint} --model {output.model} --selection {output.selection} --settings {params.settings:q}"
        " {params.zero_shot} --device {CONFIG.device} --image {params.image} --name {wildcards.variant}"
        " --journal {params.folder}/journal.json 2> $(new_log {log})"
