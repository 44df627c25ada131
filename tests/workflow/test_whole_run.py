"""The whole DAG: nothing is lost on the way, planted defects are found, labels are the truth."""

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from zipfile import ZipFile

import pytest

from stages.common.files.arrow_tables import read_table
from stages.common.files.schemas import FILES, LABELS, REJECTS, REPORTS
from stages.common.journal.journals import find_journals
from stages.common.journal.mlflow_texts import is_constant

pytestmark = pytest.mark.slow


def results(checkout) -> Path:
    return checkout.folder / "runs" / "demo" / "results"


def rejects(checkout, stage: str) -> dict[str, str]:
    table = read_table(results(checkout) / stage / "mimic_cxr" / "rejects.arrow", REJECTS)
    return dict(zip(table["source_id"].to_pylist(), table["reason"].to_pylist(), strict=True))


def test_every_planted_defect_is_rejected_with_its_reason(finished_run) -> None:
    truth = json.loads((finished_run.folder / "runs/demo/phantom/truth/mimic_cxr.json").read_text())
    found = rejects(finished_run, "dicom_to_arrow") | rejects(finished_run, "pair_images_reports")
    assert len(truth["bad_inputs"]) == 4
    for planted in truth["bad_inputs"]:
        assert found[planted["source_id"]] == planted["reason"], planted


@pytest.mark.parametrize("dataset", ["mimic_cxr", "rsna", "siim"])
def test_images_and_rejects_add_up_to_the_index(finished_run, dataset: str) -> None:
    folder = results(finished_run)
    indexed = read_table(folder / "index_inputs" / dataset / "files.arrow", FILES).num_rows
    manifest = json.loads((folder / "dicom_to_arrow" / dataset / "manifest.json").read_text())
    refused = read_table(folder / "dicom_to_arrow" / dataset / "rejects.arrow", REJECTS).num_rows
    assert manifest["indexed"] == indexed == manifest["images"] + refused


def test_reports_end_in_pairs_or_rejects(finished_run) -> None:
    folder = results(finished_run)
    reports = read_table(folder / "index_inputs" / "mimic_cxr" / "reports.arrow", REPORTS).num_rows
    audit = json.loads((folder / "pair_images_reports" / "mimic_cxr" / "audit.json").read_text())
    alone = [reason for reason in rejects(finished_run, "pair_images_reports").values() if "report_without" in reason]
    paired = sum(part["studies"] for part in audit["splits"].values())
    assert paired + len(alone) + len(rejects(finished_run, "split_reports")) == reports


def test_labels_agree_with_the_truth_that_was_drawn(finished_run) -> None:
    for dataset, finding in (("rsna", "lung_opacity"), ("siim", "pneumothorax")):
        truth = json.loads((finished_run.folder / f"runs/demo/phantom/truth/{dataset}.json").read_text())
        drawn = {
            image["image_id"]: int(any(each["finding"] == finding for each in image["findings"]))
            for image in truth["images"]
        }
        table = read_table(results(finished_run) / "label_images" / dataset / "labels.arrow", LABELS)
        assert dict(zip(table["image_id"].to_pylist(), table["target"].to_pylist(), strict=True)) == drawn


def test_the_estimate_counts_the_files_of_every_stage(finished_run) -> None:
    """Without states, which are gone by now, MLflow's copies and Snakemake's records."""
    files = ("workflow/profiles/demo/settings.yaml", "miniature.yaml")
    command = [sys.executable, "-m", "workflow.estimate", "--profile", "workflow/profiles/demo", "--json"]
    done = subprocess.run([*command, "--configfile", *files], cwd=finished_run.folder, capture_output=True, check=True)
    estimated = {each["stage"]: each["files"] for each in json.loads(done.stdout)["stages"]}
    workspace = results(finished_run).parent
    counted: Counter[str] = Counter()
    for top in ("results", "logs"):
        for path in (workspace / top).rglob("*"):
            counted[path.relative_to(workspace / top).parts[0].partition(".")[0]] += 1
    counted["make_phantom"] += sum(1 for _ in (workspace / "phantom").rglob("*"))
    assert counted.keys() == estimated.keys()
    for name, count in counted.items():
        assert count <= estimated[name], name
    assert sum(estimated.values()) < 3 * counted.total()


def test_splits_are_audited_beside_the_first_training_at_the_latest(finished_run) -> None:
    """The priorities decide: on two cores a training may take one while the other still makes what the audit reads."""
    started = {}
    for path in results(finished_run).glob("*/**/journal.json"):
        journal = json.loads(path.read_text())
        started.setdefault(journal["stage"], []).append(journal["started"])
    assert len(started["audit_splits"]) == 2
    _, second = sorted(started["pretrain"])
    assert max(started["audit_splits"]) < second


def test_mlflow_holds_every_number_of_the_journals_once(finished_run) -> None:
    """What the workflow imported at its end, counted by SQL; parts of a scattered stage have one step each there.

    Calls and groups repeat figures of their stages, and constants are tags.
    """
    journals, problems = find_journals(results(finished_run))
    assert problems == []
    numbers = sum(
        len({(each.key, each.value, each.timestamp, 0 if found.is_part else each.step)
             for each in found.journal.metrics if isinstance(each.value, float) and not is_constant(each.key)})
        for found in journals
    )  # fmt: skip
    with sqlite3.connect(finished_run.folder / "runs" / "demo" / "mlflow.db") as store:
        (held,) = store.execute(
            "select count(*) from metrics join tags using (run_uuid) where tags.key = 'mlip.stage'"
        ).fetchone()
        (statuses, above) = (
            store.execute(
                "select distinct status, lifecycle_stage from runs where run_uuid"
                f" {word} (select run_uuid from tags where key = 'mlip.stage')"
            ).fetchall()
            for word in ("in", "not in")
        )
    assert held == numbers > 100
    assert statuses == [("FINISHED", "active")]
    # A later sync of the shared run may have made a call or a group anew, which leaves the former one deleted.
    assert ("FINISHED", "active") in above
    assert {status for status, _ in above} == {"FINISHED"}


def test_snakemakes_own_report_holds_page_tables_and_pictures(finished_run, tmp_path) -> None:
    finished_run.snakemake("--report", str(tmp_path / "report.zip"))
    with ZipFile(tmp_path / "report.zip") as archive:
        held = {(Path(name).name, archive.read(name)) for name in archive.namelist()}
    folder = results(finished_run)
    made = [folder / "summarize" / "report.html", *(folder / "summarize" / "tables").glob("*.csv")]
    made += [*folder.glob("select_checkpoint/*/checkpoint/*.png"), *folder.glob("select_checkpoint/*/selection.json")]
    assert len(made) > 15
    assert {path.suffix for path in made} == {".html", ".csv", ".png", ".json"}
    assert held > {(path.name, path.read_bytes()) for path in made}
