"""The rerun contract: after each edit exactly the stages that depend on it would run, and nothing else."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TRAINED = {
    "pretrain",
    "select_checkpoint",
    "extract_features",
    "zero_shot_classification",
    "few_shot_classification_linear",
    "few_shot_segmentation",
    "phrase_grounding",
    "retrieval",
    "summarize",
}


def replace(path: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / path).read_text()
        assert old in text, f"{path} no longer holds {old!r}: correct this test"
        (folder / path).write_text(text.replace(old, new, 1))

    return edit


def append(path: str, text: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        with (folder / path).open("a") as file:
            file.write(text)

    return edit


def touch(path: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        os.utime(folder / path)

    return edit


EDITS = {
    "evaluation code": (
        append("stages/zero_shot_classification/evaluation.py", "\nEDITED = 1\n"),
        {"zero_shot_classification", "summarize"},
    ),
    "a comment in evaluation code": (
        append("stages/zero_shot_classification/evaluation.py", "\n# edited\n"),
        set(),
    ),
    "a docstring of the method": (
        replace(
            "stages/pretrain/sinkhorn.py", '"""Entropic optimal transport', '"""Edited. Entropic optimal transport'
        ),
        set(),
    ),
    "the folder of copies on the nodes": (append("config.yaml", "\nnode_scratch: $TMPDIR\n"), set()),
    "the evaluation block of the configuration": (
        append("config.yaml", "\nzero_shot_classification: {seed: 1}\n"),
        {"zero_shot_classification", "summarize"},
    ),
    "few-shot code": (
        append("stages/few_shot_classification/linear_probe.py", "\nEDITED = 1\n"),
        {"few_shot_classification_linear", "summarize"},
    ),
    "code of the audit": (
        append("stages/audit_splits/overlap.py", "\nEDITED = 1\n"),
        {
            "audit_splits",
            "zero_shot_classification",
            "few_shot_classification_linear",
            "few_shot_segmentation",
            "phrase_grounding",
            "summarize",
        },
    ),
    "a protocol that is not run": (
        replace("config.yaml", "finetune: {precision: bf16}", "finetune: {precision: fp32}"),
        set(),
    ),
    "segmentation code": (
        append("stages/few_shot_segmentation/evaluation.py", "\nEDITED = 1\n"),
        {"few_shot_segmentation", "summarize"},
    ),
    "retrieval code": (append("stages/retrieval/evaluation.py", "\nEDITED = 1\n"), {"retrieval", "summarize"}),
    "the pre-training block of the configuration": (
        replace("config.yaml", "  mask_ratio: 0.5", "  mask_ratio: 0.4"),
        TRAINED,
    ),
    "shared encoder code": (append("stages/common/encoders/image.py", "\nEDITED = 1\n"), TRAINED),
    "the method": (append("stages/pretrain/sinkhorn.py", "\nEDITED = 1\n"), TRAINED),
    "a prompt file": (
        replace("stages/zero_shot_classification/prompts/rsna.yaml", "No focal consolidation.", "No consolidation."),
        {"zero_shot_classification", "summarize"},
    ),
    "tracking code": (append("stages/common/journal/tracking.py", "\nEDITED = 1\n"), set()),
    "the time of a prompt file": (touch("stages/zero_shot_classification/prompts/rsna.yaml"), set()),
    "the time of an output": (touch("runs/demo/results/label_images/rsna/labels.arrow"), set()),
    "a comment in the pins of an image": (append("envs/report.lock", "# edited\n"), set()),
    "a pin that nobody installed": (append("envs/torch.lock", "nobody-has-this==1.0\n"), set()),
    "blanks in the shell command of a training": (
        replace("workflow/rules/pretrain.smk", 'more=f"{{params.start}}', 'more=f"  {{params.start}} '),
        set(),
    ),
    "code of a package": (append("stages/retrieval/__init__.py", "EDITED = 1\n"), {"retrieval", "summarize"}),
    "the public API": (append("stages/api/models.py", "\nEDITED = 1\n"), set()),
    "a variant": (
        replace("config.yaml", "random: {optimisation: {epochs: 0}", "random: {seed: 5, optimisation: {epochs: 0}"),
        TRAINED,
    ),
}


def test_a_finished_run_has_nothing_to_do(finished_run) -> None:
    assert finished_run.pending() == set()


@pytest.mark.parametrize("edit", EDITS)
def test_exactly_the_dependent_rules_would_run(finished_run, edit: str) -> None:
    change, expected = EDITS[edit]
    path = finished_run.folder
    before = {
        file: (file.read_bytes(), file.stat())
        for folder in ("stages", "envs", "workflow", ".")
        for file in _sources(path, folder)
    }
    try:
        change(path)
        assert finished_run.pending() == expected
    finally:
        for file, (content, status) in before.items():
            if file.read_bytes() != content:
                file.write_bytes(content)
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def _sources(root: Path, folder: str) -> list[Path]:
    if folder == ".":
        return [root / "config.yaml"]
    return [file for file in (root / folder).rglob("*") if file.is_file() and "__pycache__" not in file.parts]


def test_every_stage_left_a_finished_journal_with_its_digests(finished_run) -> None:
    journals = [json.loads(path.read_text()) for path in finished_run.folder.glob("runs/demo/results/**/journal.json")]
    assert {journal["status"] for journal in journals} == {"FINISHED"}
    files = (finished_run.folder / "workflow" / "rules").glob("*.smk")
    left_out = {"fetch_weights", "multi_class_classification"}  # the demo has no weights, and one finding a data set
    rules = {path.stem for path in files} - {"common", *left_out}
    assert {journal["stage"] for journal in journals} == rules
    for journal in journals:
        assert all(re.fullmatch(r"[0-9a-f]{64}", journal["digests"][kind]) for kind in ("code", "settings", "data"))
        assert journal["digests"]["image"].startswith("env-")


def test_the_store_shows_every_stage(finished_run) -> None:
    """onsuccess imported all journals: one run each."""
    done = finished_run.snakemake("--forcerun", "summarize")
    text = done.stdout
    assert re.search(r"^imported \d+ new, updated \d+, unchanged \d+ runs into sqlite:", text, re.MULTILINE)
    assert (finished_run.folder / "runs" / "demo" / "mlflow.db").is_file()
    report = finished_run.folder / "runs" / "demo" / "results" / "summarize" / "report.html"
    *_, first, second, third = text.splitlines()
    assert first == f"The report: {report}", "the user is told where the results are, last of all"
    assert second == "The runs in MLflow: make ui"
    model = "runs/demo/results/select_checkpoint/mlip/checkpoint"
    assert third.startswith("The model: mlip predict IMAGE.dcm --prompts stages/zero_shot_classification/prompts/")
    assert third.endswith(f" --checkpoint {model}")
    assert (finished_run.folder / model / "inference.json").is_file()
    headline = (report.parent / "tables" / "headline.txt").read_text()
    assert headline in text[text.index("imported") :]
    assert re.search(r"^  rsna +zero-shot AUC +[.\d]+ \[", headline, re.MULTILINE)
    said = done.stderr.splitlines()  # what Snakemake itself would say in blocks is one line
    assert [line for line in said if line.startswith("[1/1] summarize: ")]
    assert "localrule summarize:" not in said
    log = max((finished_run.folder / ".snakemake" / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)
    assert "localrule summarize:" in log.read_text().splitlines(), "its own log is whole"


def test_settings_of_a_job_that_are_wrong_stop_everything_in_one_line(finished_run) -> None:
    done = finished_run.snakemake("--dry-run", "--config", "compare=ours", check=False)
    assert done.returncode != 0
    assert "compare" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
