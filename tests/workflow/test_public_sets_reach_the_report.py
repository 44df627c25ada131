"""All public sets with labels through the whole DAG into the report, on synthetic data in their owners' layouts."""

import json
import re
from pathlib import Path

import polars as pl
import pytest
import yaml

from stages.common.files.arrow_tables import read_table
from stages.common.files.schemas import LABELS
from stages.config_layers import merged
from stages.distribution import read_distribution
from stages.label_images.contract import LabelImagesSettings
from stages.zero_shot_classification.contract import ZeroShotResult

PUBLIC = {"chexpert": 80, "nih": 200, "openi": 80, "padchest": 80, "vindr": 80}
SMALL = {"index_inputs": {"shards": 1}, "dicom_to_arrow": {"size": 64}}
SPLIT = {"label_images": {"split": {"train": 0.4, "validation": 0.2, "test": 0.4}}}
OVERLAY = {
    "make_phantom": {"mimic_patients": 80, "rsna_images": 1, "siim_images": 1, "public": PUBLIC, "mimic_labels": True},
    "evaluate_on": ["mimic_cxr", *PUBLIC],
    "compare": ["mlip"],
    "patient_split": {"validation": 0.25, "test": 0.35},
    "datasets": {
        name: {
            "distribution": name,
            "root": f"{{workspace}}/phantom/{name}",
            **SMALL,
            **({} if name == "nih" else SPLIT),
        }
        for name in PUBLIC
    },
    "few_shot_classification": {"fractions": [100], "seeds": 1},
}


def targets_of(results: Path, dataset: str) -> dict[str, set[str]]:
    """Image id -> findings that it has in labels.arrow."""
    rows = pl.DataFrame(read_table(results / "label_images" / dataset / "labels.arrow", LABELS)).to_dicts()
    found: dict[str, set[str]] = {row["image_id"]: set() for row in rows}
    for row in rows:
        if row["target"]:
            found[row["image_id"]].add(row["finding"])
    return found


def targets_in_truth(truth: Path, labels: LabelImagesSettings) -> dict[str, set[str]]:
    """The same by what make_phantom drew and wrote: an uncertain finding is present where the policy is `ones`."""
    found = {}
    for image in json.loads(truth.read_text())["images"]:
        if image.get("labels") is not None and image["view"] != "LATERAL":
            present, uncertain = image["labels"].keys(), image.get("uncertain") or []
            found[image["image_id"]] = {
                finding for finding, columns in labels.by_finding.items()
                if present & set(columns.words)
                or (columns.target in uncertain and labels.uncertain_as(finding) == "ones")
            }  # fmt: skip
    return found


@pytest.mark.long
def test_public_sets_reach_the_report(new_checkout, miniature, tmp_path: Path) -> None:
    checkout = new_checkout(tmp_path / "checkout", "all.yaml")
    (checkout.folder / "all.yaml").write_text(yaml.safe_dump(merged(miniature, OVERLAY)))
    checkout.snakemake()
    workspace = checkout.folder / "runs/demo"
    results, tables = workspace / "results", workspace / "results/summarize/tables"
    for dataset, count in PUBLIC.items():
        manifest = json.loads((results / f"dicom_to_arrow/{dataset}/manifest.json").read_text())
        assert (manifest["indexed"], manifest["images"]) == (count, count), dataset
    for dataset in OVERLAY["evaluate_on"]:
        labels = LabelImagesSettings.model_validate(read_distribution(dataset).blocks["label_images"])
        drawn = targets_in_truth(workspace / f"phantom/truth/{dataset}.json", labels)
        assert targets_of(results, dataset) == drawn, dataset
        ZeroShotResult.model_validate_json(
            (results / f"zero_shot_classification/mlip/{dataset}/result.json").read_text()
        )
    for table in ("table1_zero_shot.csv", "table2_few_shot.csv"):
        assert set(pl.read_csv(tables / table)["dataset"]) == set(OVERLAY["evaluate_on"])
    assert set(pl.read_csv(tables / "grounding.csv")["dataset"]) == {"nih", "vindr"}
    assert set(pl.read_csv(tables / "table3_segmentation.csv")["dataset"]) == {"vindr"}
    page = (results / "summarize/report.html").read_text()
    assert page.count("synthetic, made by this run in the format of") == len(OVERLAY["evaluate_on"])


@pytest.mark.slow
def test_a_set_that_the_phantom_does_not_write_is_named_before_anything_runs(new_checkout, tmp_path: Path) -> None:
    checkout = new_checkout(tmp_path / "checkout", "some.yaml")
    datasets = {"nih": {"distribution": "nih", "root": "{workspace}/phantom/nih"}}
    for labelled, said in (("nih", r"make_phantom writes no .*phantom/nih/Data_Entry_2017\.csv; add it to `make_ph"),
                           ("mimic_cxr", r"make_phantom writes no .*-chexpert\.csv\.gz; add")):  # fmt: skip
        overlay = {"evaluate_on": [labelled], "datasets": datasets, "make_phantom": {"public": {"vindr": 2}}}
        (checkout.folder / "some.yaml").write_text(yaml.safe_dump(overlay))
        done = checkout.snakemake("--dry-run", "--quiet", "host", check=False)
        assert re.search(rf"datasets\.{labelled}: {said}", done.stdout + done.stderr), done.stderr
    (checkout.folder / "some.yaml").write_text(
        yaml.safe_dump({"evaluate_on": ["nih"], "datasets": datasets, "make_phantom": {"public": {"nih": 2}}})
    )
    assert "make_phantom" in checkout.pending()
