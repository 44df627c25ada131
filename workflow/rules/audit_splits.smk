# Test images do not overlap with pre-training, training and validation, or no evaluation of the data set starts.
rule audit_splits:
    input:
        **inputs_of("audit_splits", leave=("pairs", "pretrain_images")),
        pairs=path_of("pair_images_reports", "pairs.arrow", dataset=CONFIG.pretrain_on),
        pretrain_images=path_of("dicom_to_arrow", "manifest.json", dataset=CONFIG.pretrain_on),
    output:
        **outputs_of("audit_splits"),
    log:
        log_of("audit_splits"),
    priority: BEFORE_TRAINING
    container:
        container_of("preprocess")
    resources:
        mem_mb=growing(4000),
        runtime=growing(15),
    params:
        **identity_of("audit_splits", image="preprocess"),
    shell:
        command_of("audit_splits", dataset="{wildcards.dataset}", pretrain_on="{CONFIG.pretrain_on}")
