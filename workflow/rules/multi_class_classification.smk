# Which of several findings: images that have exactly one, by the nearest prompts.
rule multi_class_classification:
    input:
        **inputs_of("multi_class_classification"),
        prompts=lambda wildcards: of_checkout(CONFIG.settings("multi_class_classification", wildcards.dataset).prompts),
    output:
        **outputs_of("multi_class_classification"),
    log:
        log_of("multi_class_classification"),
    container:
        container_of("torch")
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        **identity_of("multi_class_classification", image="torch"),
    shell:
        command_of("multi_class_classification", device="cpu")
