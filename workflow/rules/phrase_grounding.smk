# Fig. 3: where prompts point, and what the integrity map learned.
rule phrase_grounding:
    input:
        **inputs_of("phrase_grounding"),
        prompts=lambda wildcards: [
            of_checkout(each) for each in [CONFIG.settings("phrase_grounding", wildcards.dataset).prompts] if each
        ],
    output:
        **outputs_of("phrase_grounding"),
    log:
        log_of("phrase_grounding"),
    container:
        container_of("torch")
    threads: 4
    resources:
        mem_mb=growing(16000),
        runtime=growing(30),
        gpu=1,
    params:
        **identity_of("phrase_grounding", image="torch"),
    shell:
        command_of("phrase_grounding")
