# The best candidate on validation data alone, exported as a checkpoint folder.
def selection_labels(wildcards):
    """Return images, labels and prompts of the data set that `zero_shot_on` names, if it names one."""
    if (dataset := CONFIG.settings("select_checkpoint").zero_shot_on) is None:
        return {}
    prompts = of_checkout(CONFIG.settings("zero_shot_classification", dataset).prompts)
    return {
        "images": path_of("dicom_to_arrow", "manifest.json", dataset=dataset),
        "labels": path_of("label_images", "labels.arrow", dataset=dataset),
        "prompts": prompts,
    }


rule select_checkpoint:
    input:
        **inputs_of("select_checkpoint", dataset=CONFIG.pretrain_on),
        weights=path_of("pretrain", "candidates"),
        zero_shot=lambda wildcards: list(selection_labels(wildcards).values()),
    output:
        **outputs_of(
            "select_checkpoint",
            marks={
                "checkpoint": partial(
                    report,
                    patterns=["{picture}.png"],
                    caption="../report/picture.rst",
                    category="Pictures",
                    labels={"variant": "{variant}", "what": "{picture}"},
                ),
                "selection": partial(
                    report,
                    caption="../report/selection.rst",
                    category="Choice of the checkpoint",
                    labels={"variant": "{variant}"},
                ),
            },
        ),
    log:
        log_of("select_checkpoint"),
    container:
        container_of("torch")
    threads: 4
    resources:
        mem_mb=growing(16000),
        runtime=growing(60),
        gpu=1,
    params:
        **identity_of("select_checkpoint", image="torch"),
        zero_shot=lambda wildcards, input: shlex.join(
            word
            for name, path in zip(selection_labels(wildcards), input.zero_shot)
            for word in (f"--zero-shot-{name}", path)
        ),
    shell:
        command_of("select_checkpoint", more="{params.zero_shot}")
