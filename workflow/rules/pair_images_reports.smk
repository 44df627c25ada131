# Images and reports of a study joined, split by patient, audited for leakage.
rule pair_images_reports:
    input:
        **inputs_of("pair_images_reports"),
    output:
        **outputs_of("pair_images_reports"),
    log:
        log_of("pair_images_reports"),
    priority: BEFORE_TRAINING
    container:
        container_of("preprocess")
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        **identity_of("pair_images_reports", image="preprocess"),
        private=f"{CONFIG.workspace}/private",
    shell:
        command_of("pair_images_reports", private="{params.private:q}")
