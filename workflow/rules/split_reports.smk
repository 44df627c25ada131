# Report text -> sections -> sentences with offsets -> word pieces.
rule split_reports:
    input:
        **inputs_of("split_reports"),
        archives=lambda wildcards: ARCHIVES[wildcards.dataset],
        weights=weights_inputs(TOKENIZER),
    output:
        **outputs_of("split_reports"),
    log:
        log_of("split_reports"),
    priority: BEFORE_TRAINING
    container:
        container_of("preprocess")
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        **identity_of("split_reports", image="preprocess"),
        root=lambda wildcards: CONFIG.root(wildcards.dataset),
        roots=lambda wildcards: CONFIG.roots(wildcards.dataset),
        private=f"{CONFIG.workspace}/private",
        weights=weights_options(TOKENIZER),
    shell:
        command_of(
            "split_reports",
            root="{params.root:q}",
            roots="{params.roots:q}",
            private="{params.private:q}",
            more="{params.weights}",
        )
