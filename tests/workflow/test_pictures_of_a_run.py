"""Each stage draws what a person would open, and its journal lists it, so that MLflow shows it."""

import json

import pytest

from stages.common.contract import PICTURES
from stages.common.files.atomic_files import sha256_of

# Folder of a run below results/ -> its pictures. Radiographs are synthetic, and the demo publishes them.
DRAWN = {
    "dicom_to_arrow/rsna": {"files.svg", "contact_sheet.jpg"},
    "split_reports/mimic_cxr": {"lengths.svg", "sections.svg"},
    "pair_images_reports/mimic_cxr": {"splits.svg"},
    "label_images/siim": {"splits.svg"},
    "audit_splits/siim": {"overlap.svg"},
    "pretrain/mlip": {"loss.svg", "gradient_norm.svg", "batch_accuracy.svg"},
    "pretrain/random": set(),  # without a step
    "select_checkpoint/mlip": {"decision.svg"},
    "retrieval/mlip": {"recall.svg"},
    "zero_shot_classification/mlip/rsna": {"roc.svg"},
    "few_shot_classification/mlip/rsna/linear/100": {"roc.svg"},
    "few_shot_segmentation/mlip/siim/linear/100": {"best_median_worst.png"},
    "phrase_grounding/mlip/siim": {"pointing.svg", "heatmaps_1_pneumothorax.png"},
    "summarize": {"label_efficiency_rsna_linear.svg", "label_efficiency_siim_linear.svg"},
}


@pytest.mark.parametrize("place", DRAWN)
def test_a_stage_lists_its_pictures_for_publication(finished_run, place) -> None:
    folder = finished_run.folder / "runs" / "demo" / "results" / place
    artifacts = json.loads((folder / "journal.json").read_text())["artifacts"]
    listed = {each["path"]: each for each in artifacts if each["path"].startswith(f"{PICTURES}/")}
    assert {name.removeprefix(f"{PICTURES}/") for name in listed} >= DRAWN[place]
    assert bool(listed) == bool(DRAWN[place])
    for name, each in listed.items():
        assert each["publish"]
        assert each["sha256"] == sha256_of(folder / name)
