# Images retrieve reports and reports retrieve images, on the test pairs of pre-training; by class where these have labels.
rule retrieval:
    input:
        **inputs_of("retrieval", leave=("labels",), dataset=CONFIG.pretrain_on),
        labels=path_of("label_images", "labels.arrow", dataset=CONFIG.pretrain_on) if CONFIG.retrieves_by_class else [],
    output:
        **outputs_of("retrieval"),
    log:
        log_of("retrieval"),
    container:
        container_of("torch")
    threads: 4
    resources:
        mem_mb=growing(16000),
        runtime=growing(30),
        gpu=1,
    params:
        **identity_of("retrieval", image="torch"),
    shell:
        command_of("retrieval")
