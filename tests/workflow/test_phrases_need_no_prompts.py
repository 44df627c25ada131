"""A data set whose boxes are of phrases is grounded without a prompt file, and needs no part but test for it."""

import csv
from pathlib import Path
from typing import Any

import yaml

from stages.config import check
from stages.config_layers import merged
from stages.configuration import Config
from stages.label_images.contract import LabelImagesSettings
from workflow.doctor.findings import Finding
from workflow.doctor.indexes import Indexes
from workflow.doctor.labels import check_labels_of
from workflow.input_files import check_files

SHIPPED = yaml.safe_load((Path(__file__).resolve().parents[2] / "config.yaml").read_text())
HEADER = ["path", "dicom_id", "patient", "category_name", "label_text", "x", "y", "w", "h"]
TEST_ONLY = {"split": {"train": 0, "validation": 0, "test": 1}}
ALONE = {"few_shot_classification": {"protocols": []}, "few_shot_segmentation": {"protocols": []}}


def block(root: Path, labels: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A data set of two findings whose table has a row per box of a phrase."""
    of_all = {"layout": "folder", "table": "t.csv", "identifiers": "distributed"}
    columns = {"image": "path", "image_id": "dicom_id", "findings": "category_name", "boxes": ["x", "y", "w", "h"],
               "phrase": "label_text"}  # fmt: skip
    own = of_all | {"columns": columns, "findings": {"edema": "Edema", "mass": "Mass"}} | (labels or {})
    index = of_all | {"columns": {"image": "path", "image_id": "dicom_id", "patient": "patient"}, "shards": 1}
    return {"root": str(root), "index_inputs": index, "label_images": own} | more


def config_with(dataset: dict[str, Any]) -> Config:
    return check(merged(SHIPPED, {"datasets": {"ours": dataset}, "evaluate_on": ["ours"]}))


def test_phrases_take_the_place_of_a_prompt_file(tmp_path: Path) -> None:
    config = config_with(block(tmp_path))
    assert set(config.not_measured("ours")) == {"zero_shot_classification", "multi_class_classification"}
    without = block(tmp_path)
    del without["label_images"]["columns"]["phrase"]
    assert config_with(without).not_measured("ours")["phrase_grounding"] == "no prompt file"


def test_a_data_set_with_nothing_but_phrases_needs_only_a_test_part(tmp_path: Path) -> None:
    config = config_with(block(tmp_path, TEST_ONLY, **ALONE))
    assert config.measures_on_test_alone("ours")
    assert check_files(config) == []


def test_what_needs_other_parts_is_not_measured_on_test_images_alone(tmp_path: Path) -> None:
    config = config_with(block(tmp_path, TEST_ONLY))
    assert config.measured_on("phrase_grounding") == ["ours"]
    assert "no training and validation images" in config.not_measured("ours")["few_shot_classification"]
    assert check_files(config) == []
    (tmp_path / "p.yaml").write_text("{finding: edema, sets: {one: {positive: [Edema.]}}}")
    prompts = {"phrase_grounding": {"prompts": str(tmp_path / "p.yaml")}}
    assert check_files(config_with(block(tmp_path, TEST_ONLY, **ALONE, **prompts))) == []  # prompts point there, too


def test_a_set_of_prompts_with_the_name_of_the_phrases_is_refused_beforehand(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("{finding: edema, sets: {phrases: {positive: [Edema.]}}}")
    prompts = {"phrase_grounding": {"prompts": str(tmp_path / "p.yaml")}}
    (line,) = check_files(config_with(block(tmp_path, **prompts)))
    assert "datasets.ours.phrase_grounding.prompts: set phrases of edema: the data set's own phrases" in str(line)


def found_by_doctor(tmp_path: Path, masses: int, edemas: int = 6) -> Finding:
    """The doctor's line for a table with so many phrases of each finding, on images of their own."""
    given = [("Edema", number) for number in range(edemas)] + [("Mass", number) for number in range(masses)]
    rows = [[f"{word}{n}.png", f"{word}{n}", f"p{n}", word, f"some {word}", "1", "1", "4", "4"] for word, n in given]
    with (tmp_path / "t.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([HEADER, *rows])
    config = config_with(block(tmp_path, TEST_ONLY, **ALONE))
    return check_labels_of(config, "ours", Indexes(config))


def test_the_doctor_counts_phrases(tmp_path: Path) -> None:
    found = found_by_doctor(tmp_path, masses=5)
    assert (found.status, found.what) == ("ok", "11 phrases of 11 test images: edema 6; mass 5")


def test_the_doctor_warns_of_findings_with_too_few_phrases(tmp_path: Path) -> None:
    found = found_by_doctor(tmp_path, masses=2)
    assert found.status == "warning"
    assert "nothing will be said on mass: 5 phrases are needed in test" in found.remedy
    assert found_by_doctor(tmp_path, masses=2, edemas=3).status == "error"


def test_settings_know_whether_they_have_phrases() -> None:
    assert not LabelImagesSettings(layout="rsna", finding="lung_opacity").has_phrases
