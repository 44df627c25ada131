# Synthetic patients in the on-disk formats of MIMIC-CXR, RSNA and SIIM, for the demo and the tests.
rule make_phantom:
    output:
        manifest="<workspace>/phantom/manifest.json",
        mimic_cxr=[
            "<workspace>/phantom/mimic_cxr/cxr-record-list.csv.gz",
            "<workspace>/phantom/mimic_cxr/cxr-study-list.csv.gz",
        ],
        rsna=["<workspace>/phantom/rsna/stage_2_train_labels.csv", "<workspace>/phantom/rsna/patients.csv"],
        siim=["<workspace>/phantom/siim/train-rle.csv", "<workspace>/phantom/siim/patients.csv"],
    log:
        log_of("make_phantom"),
    priority: BEFORE_TRAINING
    container:
        container_of("preprocess")
    threads: 2
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        **identity_of("make_phantom", image="preprocess"),
        folder=subpath(output.manifest, parent=True),
    shell:
        command_of("make_phantom", output="{params.folder:q}")
