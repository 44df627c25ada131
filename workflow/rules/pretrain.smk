# One variant of the method. Training state lies in state/, outside the outputs: the same digest resumes. A training
# that diverged is refused at once when it is tried again as it was.
rule pretrain:
    input:
        pairs=f"<workspace>/results/pair_images_reports/{CONFIG.pretrain_on}/pairs.arrow",
        sentences=f"<workspace>/results/split_reports/{CONFIG.pretrain_on}/sentences.arrow",
        tokenizer=f"<workspace>/results/split_reports/{CONFIG.pretrain_on}/tokenizer",
        images=f"<workspace>/results/dicom_to_arrow/{CONFIG.pretrain_on}/manifest.json",
        fingerprint=f"<workspace>/results/pair_images_reports/{CONFIG.pretrain_on}/fingerprint.json",
        start=lambda wildcards: weights_inputs(starting_weights(wildcards.variant)),
    output:
        candidates="<workspace>/results/pretrain/{variant}/candidates.json",
        weights=directory("<workspace>/results/pretrain/{variant}/candidates"),
        curve="<workspace>/results/pretrain/{variant}/learning_curve.csv",
    log:
        "<workspace>/logs/pretrain/{variant}.log",
    # goes before the profile's; a job that is under way must not try again by itself, in what is left of its time and memory
    retries: CONFIG.pretrain_retries if ON_CLUSTER and workflow.is_main_process else 0
    container:
        container_of("torch")
    threads: 8
    resources:
        mem_mb=growing(32000, most=2),
        runtime=1440,
        gpu=1,
    params:
        code=code_of("pretrain"),
        settings=settings_of("pretrain"),
        image=image_of("torch"),
        start=lambda wildcards: weights_options(starting_weights(wildcards.variant)),
        state=f"{CONFIG.workspace}/state/pretrain/{{variant}}",
        folder=subpath(output.candidates, parent=True),
    shell:
        "OMP_NUM_THREADS={threads} python -m stages.pretrain --pairs {input.pairs} --sentences {input.sentences}"
        " --images {input.images}"
        " --tokenizer {input.tokenizer} --fingerprint {input.fingerprint} --state {params.state}"
        " --candidates {output.candidates} --curve {output.curve}"
        " {params.start} --processes {resources.gpu} --device {CONFIG.device}"
        " --settings {params.settings:q} --image {params.image} --name {wildcards.variant}"
        " --journal {params.folder}/journal.json 2> $(new_log {log})"
