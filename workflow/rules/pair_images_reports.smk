# Images and reports of a study joined, split by patient, audited for leakage.
rule pair_images_reports:
    input:
        images="<workspace>/results/dicom_to_arrow/{dataset}/manifest.json",
        sentences="<workspace>/results/split_reports/{dataset}/sentences.arrow",
        files="<workspace>/results/index_inputs/{dataset}/files.arrow",
        image_rejects="<workspace>/results/dicom_to_arrow/{dataset}/rejects.arrow",
        report_rejects="<workspace>/results/split_reports/{dataset}/rejects.arrow",
    output:
        pairs="<workspace>/results/pair_images_reports/{dataset}/pairs.arrow",
        rejects="<workspace>/results/pair_images_reports/{dataset}/rejects.arrow",
        audit="<workspace>/results/pair_images_reports/{dataset}/audit.json",
        fingerprint="<workspace>/results/pair_images_reports/{dataset}/fingerprint.json",
    log:
        "<workspace>/logs/pair_images_reports/{dataset}.log",
    container:
        container_of("preprocess")
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        code=code_of("pair_images_reports"),
        settings=settings_of("pair_images_reports"),
        image=image_of("preprocess"),
        folder=subpath(output.pairs, parent=True),
    shell:
        "python -m stages.pair_images_reports --images {input.images} --sentences {input.sentences}"
        " --files {input.files} --image-rejects {input.image_rejects} --report-rejects {input.report_rejects}"
        " --pairs {output.pairs} --rejects {output.rejects} --audit {output.audit} --fingerprint {output.fingerprint}"
        " --settings {params.settings:q} --image {params.image} --name {wildcards.dataset}"
        " --journal {params.folder}/journal.json 2> $(new_log {log})"
