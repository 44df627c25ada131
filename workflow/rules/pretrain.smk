# One variant of the method. Training state is in state/, outside the outputs: the same digest resumes. A training that
# diverged is refused at once when it is tried again unchanged.
rule pretrain:
    input:
        **inputs_of("pretrain", dataset=CONFIG.pretrain_on),
        start=lambda wildcards: weights_inputs(starting_weights(wildcards.variant)),
    output:
        **outputs_of("pretrain"),
    log:
        log_of("pretrain"),
    # overrides the profile's; a job in progress must not try again by itself, in what is left of its time and memory
    retries: CONFIG.pretrain_retries if ON_CLUSTER and workflow.is_main_process else 0
    container:
        container_of("torch")
    threads: 8
    resources:
        mem_mb=growing(32000, most=2),
        runtime=1440,
        gpu=1,
    params:
        **identity_of("pretrain", image="torch"),
        start=lambda wildcards: weights_options(starting_weights(wildcards.variant)),
        state=f"{CONFIG.workspace}/state/pretrain/{{variant}}",
    shell:
        command_of("pretrain", state="{params.state:q}", processes="{resources.gpu}", more="{params.start}")
