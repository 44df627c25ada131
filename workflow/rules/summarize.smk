# All measurements on one self-contained page.
RESULTS_TREE = results_tree(CONFIG, Path("<workspace>/results"))
TEMPLATES = Path(of_checkout("stages/summarize/templates"))
TEMPLATE = str(TEMPLATES / "report.html.jinja")
QUOTED = of_checkout("stages/summarize/tables/quoted.yaml")


rule summarize:
    input:
        results=[str(path) for job in JOBS for path in RESULTS_TREE.summary_paths(job)],
        templates=[str(path) for path in sorted(TEMPLATES.glob("*.jinja"))],
        quoted=QUOTED,
    output:
        **outputs_of(
            "summarize",
            marks={
                "report": partial(
                    report, caption="../report/page.rst", category="Results", labels={"what": "the page"}
                ),
                "tables": partial(
                    report,
                    patterns=["{table}.csv"],
                    caption="../report/table.rst",
                    category="Tables",
                    labels={"what": "{table}"},
                ),
            },
        ),
    log:
        log_of("summarize"),
    container:
        container_of("report")
    resources:
        mem_mb=growing(4000),
        runtime=growing(15),
    params:
        **identity_of("summarize", image="report"),
        results=f"{CONFIG.workspace}/results",
        pretrain_on=CONFIG.pretrain_on,
        datasets=CONFIG.evaluate_on,
        variants=RESULTS_TREE.words,
        image_only=[variant for variant in CONFIG.compare if variant not in CONFIG.with_text],
        few_shot=CONFIG.few_shot_jobs("few_shot_classification"),
        segmentation=CONFIG.few_shot_jobs("few_shot_segmentation"),
        not_measured=[f"{dataset}/{stage}={why}" for (dataset, stage), why in RESULTS_TREE.not_measured.items()],
    shell:
        command_of(
            "summarize",
            results="{params.results:q}",
            pretrain_on="{params.pretrain_on}",
            datasets="{params.datasets}",
            variants="{params.variants}",
            image_only="{params.image_only}",
            few_shot="{params.few_shot}",
            segmentation="{params.segmentation}",
            not_measured="{params.not_measured:q}",
            template="{TEMPLATE:q}",
            quoted="{input.quoted:q}",
            # the figures are the last words of the run: workflow/invocation.py
            log='> "$(new_log {log:q})" 2>&1',
        )
