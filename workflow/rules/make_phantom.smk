# Synthetic patients in the on-disk formats of MIMIC-CXR, RSNA, SIIM and public sets, for the demo and the tests.
from stages.index_inputs.contract import index_files


def refuse_unwritten_tables():
    """Raise a WorkflowError for a data set below the phantom's folder that its settings do not ask for."""
    written = {CONFIG.phantom / name for name in CONFIG.settings("make_phantom").tables()}
    for dataset in filter(CONFIG.is_phantom, CONFIG.used_datasets):
        root, settings = Path(CONFIG.root(dataset)), CONFIG.settings("index_inputs", dataset)
        tables = index_files(settings, root)
        if dataset in CONFIG.evaluate_on:
            tables.append(CONFIG.settings("label_images", dataset).main_table(root))
        for path in (root / table for table in tables):
            if not (path in written or path.is_file()):
                raise WorkflowError(
                    f"datasets.{dataset}: make_phantom writes no {path}; "
                    "add it to `make_phantom.public`, or labels of MIMIC-CXR by `make_phantom.mimic_labels: true`"
                )


refuse_unwritten_tables()


rule make_phantom:
    output:
        manifest="<workspace>/phantom/manifest.json",
        tables=[f"<workspace>/phantom/{name}" for name in CONFIG.settings("make_phantom").tables()],
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
