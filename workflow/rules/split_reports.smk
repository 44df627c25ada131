# Report text -> sections -> sentences with offsets -> word pieces.
rule split_reports:
    input:
        reports="<workspace>/results/index_inputs/{dataset}/reports.arrow",
        weights=weights_inputs(TOKENIZER),
    output:
        sentences="<workspace>/results/split_reports/{dataset}/sentences.arrow",
        rejects="<workspace>/results/split_reports/{dataset}/rejects.arrow",
        quality="<workspace>/results/split_reports/{dataset}/quality.json",
        tokenizer=directory("<workspace>/results/split_reports/{dataset}/tokenizer"),
    log:
        "<workspace>/logs/split_reports/{dataset}.log",
    container:
        container_of("preprocess")
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        code=code_of("split_reports"),
        settings=settings_of("split_reports"),
        image=image_of("preprocess"),
        root=lambda wildcards: CONFIG.root(wildcards.dataset),
        private=f"{CONFIG.workspace}/private",
        weights=weights_options(TOKENIZER),
        folder=subpath(output.sentences, parent=True),
    shell:
        "python -m stages.split_reports --root {params.root:q} --private {params.private} --reports {input.reports}"
        " --sentences {output.sentences} --rejects {output.rejects} --quality {output.quality}"
        " --tokenizer {output.tokenizer}"
        " {params.weights} --settings {params.settings:q} --image {params.image} --name {wildcards.dataset}"
        " --journal {params.folder}/journal.json 2> $(new_log {log})"
