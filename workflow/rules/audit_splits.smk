# Test images are strangers to pre-training, training and validation, or no evaluation of the data set starts.
rule audit_splits:
    input:
        labels="<workspace>/results/label_images/{dataset}/labels.arrow",
        images="<workspace>/results/dicom_to_arrow/{dataset}/manifest.json",
        duplicates="<workspace>/results/dicom_to_arrow/duplicates.arrow",
        pairs=f"<workspace>/results/pair_images_reports/{CONFIG.pretrain_on}/pairs.arrow",
        pretrain_images=f"<workspace>/results/dicom_to_arrow/{CONFIG.pretrain_on}/manifest.json",
    output:
        audit="<workspace>/results/audit_splits/{dataset}/audit.json",
    log:
        "<workspace>/logs/audit_splits/{dataset}.log",
    container:
        container_of("preprocess")
    resources:
        mem_mb=growing(4000),
        runtime=growing(15),
    params:
        code=code_of("audit_splits"),
        settings=settings_of("audit_splits"),
        image=image_of("preprocess"),
        folder=subpath(output.audit, parent=True),
    shell:
        "python -m stages.audit_splits --labels {input.labels} --dataset {wildcards.dataset} --images {input.images}"
        " --duplicates {input.duplicates} --pretrain-on {CONFIG.pretrain_on}"
        " --pretrain-images {input.pretrain_images} --pairs {input.pairs} --audit {output.audit}"
        " --settings {params.settings:q} --image {params.image} --name {wildcards.dataset}"
        " --journal {params.folder}/journal.json 2> $(new_log {log})"
