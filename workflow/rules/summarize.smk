# Everything that was measured, on one self-contained page.
EVALUATIONS = expand("{variant}/{dataset}", variant=CONFIG.with_text, dataset=CONFIG.evaluate_on)
TEMPLATES = Path(of_checkout("stages/summarize/templates"))
QUOTED = of_checkout("stages/summarize/tables/quoted.yaml")


rule summarize:
    input:
        zero_shot=[f"<workspace>/results/zero_shot_classification/{place}/result.json" for place in EVALUATIONS],
        scores=[f"<workspace>/results/zero_shot_classification/{place}/scores.arrow" for place in EVALUATIONS],
        few_shot=FEW_SHOT_CLASSIFICATION,
        segmentation=FEW_SHOT_SEGMENTATION,
        outlines=[path.replace("result.json", "samples.arrow") for path in FEW_SHOT_SEGMENTATION],
        overlaps=[str(Path(path).parent / "overlaps") for path in FEW_SHOT_SEGMENTATION],
        few_shot_scores=[str(Path(path).parent / "scores") for path in FEW_SHOT_CLASSIFICATION],
        retrieval=RETRIEVAL,
        ranks=[path.replace("result.json", "ranks.arrow") for path in RETRIEVAL],
        grounding=[f"<workspace>/results/phrase_grounding/{place}/result.json" for place in EVALUATIONS],
        values=[f"<workspace>/results/phrase_grounding/{place}/values.arrow" for place in EVALUATIONS],
        samples=[f"<workspace>/results/phrase_grounding/{place}/samples.arrow" for place in EVALUATIONS],
        curves=[f"<workspace>/results/pretrain/{variant}/learning_curve.csv" for variant in CONFIG.compare],
        selections=[f"<workspace>/results/select_checkpoint/{variant}/selection.json" for variant in CONFIG.compare],
        checkpoints=[f"<workspace>/results/select_checkpoint/{variant}/checkpoint" for variant in CONFIG.compare],
        cards=[f"<workspace>/results/label_images/{dataset}/card.json" for dataset in CONFIG.evaluate_on],
        manifests=[f"<workspace>/results/dicom_to_arrow/{dataset}/manifest.json" for dataset in INDEX],
        rejects=[f"<workspace>/results/dicom_to_arrow/{dataset}/rejects.arrow" for dataset in INDEX]
        + [
            f"<workspace>/results/{stage}/{CONFIG.pretrain_on}/rejects.arrow"
            for stage in ("split_reports", "pair_images_reports")
        ],
        duplicates="<workspace>/results/dicom_to_arrow/duplicates.arrow",
        reports=f"<workspace>/results/index_inputs/{CONFIG.pretrain_on}/reports.arrow",
        sentences=f"<workspace>/results/split_reports/{CONFIG.pretrain_on}/sentences.arrow",
        quality=f"<workspace>/results/split_reports/{CONFIG.pretrain_on}/quality.json",
        audit=f"<workspace>/results/pair_images_reports/{CONFIG.pretrain_on}/audit.json",
        fingerprint=f"<workspace>/results/pair_images_reports/{CONFIG.pretrain_on}/fingerprint.json",
        templates=[str(path) for path in sorted(TEMPLATES.glob("*.jinja"))],
        quoted=QUOTED,
    output:
        report=report(
            "<workspace>/results/summarize/report.html",
            caption="../report/page.rst",
            category="Results",
            labels={"what": "the page"},
        ),
        tables=report(
            directory("<workspace>/results/summarize/tables"),
            patterns=["{table}.csv"],
            caption="../report/table.rst",
            category="Tables",
            labels={"what": "{table}"},
        ),
    log:
        "<workspace>/logs/summarize.log",
    container:
        container_of("report")
    resources:
        mem_mb=growing(4000),
        runtime=growing(15),
    params:
        code=code_of("summarize"),
        settings=settings_of("summarize"),
        image=image_of("report"),
        results=f"{CONFIG.workspace}/results",
        pretrain_on=CONFIG.pretrain_on,
        datasets=CONFIG.evaluate_on,
        variants=CONFIG.compare,
        image_only=[variant for variant in CONFIG.compare if variant not in CONFIG.with_text],
        few_shot=list(dict.fromkeys("/".join(Path(path).parts[-4:-1]) for path in FEW_SHOT_CLASSIFICATION)),
        segmentation=list(dict.fromkeys("/".join(Path(path).parts[-4:-1]) for path in FEW_SHOT_SEGMENTATION)),
        folder=subpath(output.report, parent=True),
    shell:
        "python -m stages.summarize --results {params.results} --pretrain-on {params.pretrain_on}"
        " --datasets {params.datasets} --variants {params.variants} --image-only {params.image_only}"
        " --few-shot {params.few_shot}"
        " --segmentation {params.segmentation}"
        " --template {TEMPLATES}/report.html.jinja --quoted {input.quoted}"
        " --report {output.report} --tables {output.tables} --settings {params.settings:q} --image {params.image}"
        " --journal {params.folder}/journal.json 2> $(new_log {log})"
