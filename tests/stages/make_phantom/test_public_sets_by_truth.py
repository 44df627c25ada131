"""Public sets of the phantom, read by their distributions: exactly what was drawn and written comes back."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pyarrow as pa
import pydicom
import pytest
from PIL import Image

from stages.common.data import run_lengths
from stages.common.radiographs.attributes import ATTRIBUTES
from stages.common.records import parse_record
from stages.distribution import read_distribution
from stages.index_inputs.contract import IndexInputsSettings
from stages.index_inputs.index import build_index
from stages.label_images.contract import LabelImagesSettings
from stages.label_images.image_labels import label_images
from stages.label_images.label_tables import read_labels
from stages.label_images.labels import split_rows
from stages.make_phantom.contract import MakePhantomSettings, PublicSet, Truth, TruthImage
from stages.make_phantom.phantom import make_phantom
from stages.make_phantom.public_labels import VOCABULARIES

SETS = get_args(PublicSet)
PLAIN = MakePhantomSettings(mimic_patients=40, rsna_images=2, siim_images=2, bad_inputs=4, second_study=0.2,
                            lateral_view=0.2, recurring=0.2, mimic_long_side=(96, 110), workers=1)  # fmt: skip


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("public") / "phantom"
    make_phantom(PLAIN.model_copy(update={"public": dict.fromkeys(SETS, 40), "mimic_labels": True}), folder)
    return folder


def truth_of(phantom: Path, name: str) -> dict[str, TruthImage]:
    return {image.image_id: image for image in parse_record(phantom / f"truth/{name}.json", Truth).images}


def index_of(phantom: Path, name: str) -> Any:
    settings = IndexInputsSettings.model_validate(read_distribution(name).blocks["index_inputs"])
    return build_index(phantom / name, settings, name, None)


def label_settings(name: str) -> LabelImagesSettings:
    return LabelImagesSettings.model_validate(read_distribution(name).blocks["label_images"])


def rows_of(phantom: Path, name: str) -> list[dict[str, Any]]:
    """Rows of labels.arrow, as if every image had been converted."""
    settings, truth = label_settings(name), truth_of(phantom, name).values()
    images = pa.table({
        "image_id": [each.image_id for each in truth], "study_id": [each.study_id for each in truth],
        "patient_id": [None if name == "vindr" else each.patient_id for each in truth],
        "original_rows": [each.rows for each in truth], "original_columns": [each.columns for each in truth],
        **{name: pa.nulls(len(truth), pa.string()) for name in ATTRIBUTES},
    })  # fmt: skip
    labels = label_images(images, phantom / name, settings, None)
    assert not labels.labels_without_image
    return split_rows(labels, phantom / name, settings, None, {})[0]


def expected(settings: LabelImagesSettings, image: TruthImage) -> dict[str, int]:
    """Target of each finding that has one: what the table says, and of uncertain ones what the policy makes of them."""
    if image.labels is None:
        return {}
    targets: dict[str, int | None] = {}
    for finding, columns in settings.by_finding.items():
        targets[finding] = int(any(word in image.labels for word in columns.words))
        if columns.target in (image.uncertain or []):
            targets[finding] = {"ignore": None, "zeros": 0, "ones": 1}[settings.uncertain_as(finding)]
    return {finding: target for finding, target in targets.items() if target is not None}


@pytest.mark.parametrize("name", SETS)
def test_the_index_is_the_truth(phantom: Path, name: str) -> None:
    files, truth = index_of(phantom, name).files, truth_of(phantom, name)
    truth = {image: truth[image] for image in files["image_id"]}
    assert len(truth) == 40 == len(truth_of(phantom, name))
    assert all((phantom / name / path).is_file() for path in files["path"])
    assert files["study_id"].to_list() == [each.study_id for each in truth.values()]
    patients = [each.patient_id for each in truth.values()]
    assert files["patient_id"].to_list() == ([None] * 40 if name == "vindr" else patients)
    assert len(set(patients)) < 40 or name == "vindr"
    views = {"chexpert": "Frontal {}", "nih": "{}", "padchest": "{}"}
    if name in views:
        assert files["view"].to_list() == [views[name].format(each.view) for each in truth.values()]
    else:
        assert files["view"].null_count() == 40


@pytest.mark.parametrize("name", ["mimic_cxr", *SETS])
def test_labels_are_the_truth(phantom: Path, name: str) -> None:
    settings, truth = label_settings(name), truth_of(phantom, name)
    found: dict[str, dict[str, int]] = {image: {} for image in truth}
    for row in rows_of(phantom, name):
        found[row["image_id"]][row["finding"]] = row["target"]
    assert found == {image: expected(settings, each) for image, each in truth.items()}
    targets = [target for each in found.values() for target in each.values()]
    assert min(targets.count(0), targets.count(1)) > 20
    assert all(any(each.get(finding) for each in found.values()) for finding in settings.by_finding)


@pytest.mark.parametrize("name", ["mimic_cxr", "chexpert"])
def test_uncertain_findings_are_those_planted(phantom: Path, name: str) -> None:
    settings, truth = label_settings(name), truth_of(phantom, name)
    key = "study_id" if name == "mimic_cxr" else "image_id"
    planted = {
        getattr(each, key): [name for name, columns in settings.by_finding.items() if columns.target in each.uncertain]
        for each in truth.values()
        if each.uncertain
    }
    read = read_labels(phantom / name, settings)
    assert read.uncertain == {identity: findings for identity, findings in planted.items() if findings} != {}


def test_drawn_findings_are_labelled_by_their_words(phantom: Path) -> None:
    for name in SETS:
        for image in truth_of(phantom, name).values():
            words = {word for found in image.findings if found.box or not VOCABULARIES[name].located
                     for word in VOCABULARIES[name].drawn.get(found.finding, ())}  # fmt: skip
            if image.labels is not None:
                assert words - set(image.uncertain or []) <= set(image.labels)
                assert set(image.labels) - words <= set(VOCABULARIES[name].at_random)


def test_nih_has_the_boxes_drawn_and_the_parts_listed(phantom: Path) -> None:
    settings, truth = label_settings("nih"), truth_of(phantom, "nih")
    rows = rows_of(phantom, "nih")
    boxes = {(row["image_id"], row["finding"]): [list(box) for box in row["boxes"]] for row in rows}
    words = {finding: columns.target for finding, columns in settings.by_finding.items()}
    for image, each in truth.items():
        for finding, word in words.items():
            assert boxes[image, finding] == each.labels.get(word, []), (image, finding)
    assert sum(map(len, boxes.values())) > 10
    assert 10 < sum(any(found for (own, _), found in boxes.items() if own == image) for image in truth) < 30
    part_of = {row["patient_id"]: row["split"] for row in rows}
    assert all(part_of[row["patient_id"]] == row["split"] for row in rows)
    listed = (phantom / "nih/test_list.txt").read_text().split()
    assert {truth[image].patient_id for image in listed} == {who for who, part in part_of.items() if part == "test"}
    assert {"train", "validation", "test"} == set(part_of.values())


def test_two_of_three_readers_of_vindr_give_the_boxes_drawn(phantom: Path) -> None:
    settings, truth = label_settings("vindr"), truth_of(phantom, "vindr")
    words = {finding: columns.target for finding, columns in settings.by_finding.items()}
    for row in rows_of(phantom, "vindr"):
        drawn = truth[row["image_id"]].labels.get(words[row["finding"]], [])
        assert len(row["boxes"]) == len(drawn), row
        for found, true in zip(sorted(map(list, row["boxes"])), sorted(drawn), strict=True):
            jitter = np.array(true[2:] * 2) * [0.05, 0.05, 0.1, 0.1] + 0.2  # corners are moved, and rounded
            assert (np.abs(np.array(found) - true) <= jitter).all(), (found, true)
    said = pl.read_csv(phantom / "vindr/train.csv")
    assert said.group_by("image_id").agg(pl.col("rad_id").n_unique())["rad_id"].to_list() == [3] * 40
    real = said.filter(pl.col("class_name") != "No finding")
    assert real["x_min"].null_count() == 0
    assert said.filter(pl.col("class_name") == "No finding")["x_min"].is_null().all()
    agreeing = real.group_by("image_id", "class_name").agg(pl.col("rad_id").n_unique())["rad_id"]
    assert set(agreeing) == {1, 2, 3}


def test_reports_are_those_of_their_studies(phantom: Path) -> None:
    openi, padchest = (index_of(phantom, name).reports for name in ("openi", "padchest"))
    assert set(openi["study_id"]) == {each.study_id for each in truth_of(phantom, "openi").values()}
    assert all("FINDINGS:" in text or "IMPRESSION:" in text for text in openi["text"])
    texts = dict(padchest.select("study_id", "text").iter_rows())
    for each in truth_of(phantom, "padchest").values():
        said = "pleural effusion" in (each.labels or {})
        assert ("derram pleural" in texts[each.study_id]) == said
    assert len(texts) == 40


def lungs_are_dark(pixels: np.ndarray, truth: TruthImage) -> bool:
    runs = [int(number) for number in truth.lung_mask.split()]
    return pixels[run_lengths.decode(runs, truth.rows, truth.columns)].mean() < pixels.mean()


@pytest.mark.parametrize(
    ("name", "form", "mode"), [("chexpert", "JPEG", "L"), ("nih", "PNG", "L"), ("openi", "PNG", "L"),
                               ("padchest", "PNG", "I;16")],
)  # fmt: skip
def test_images_are_encoded_as_distributed(phantom: Path, name: str, form: str, mode: str) -> None:
    truth, seen = truth_of(phantom, name), set()
    for row in index_of(phantom, name).files.iter_rows(named=True):
        image = Image.open(phantom / name / row["path"])
        assert (image.format, image.mode) == (form, mode)
        each = truth[row["image_id"]]
        assert image.size == (each.columns, each.rows)
        assert (image.width == image.height) or name != "nih"
        seen.add(row["inverted"])
        assert lungs_are_dark(np.asarray(image), each) != bool(row["inverted"])
    assert seen == ({True, False} if name == "padchest" else {None})


def test_vindr_states_neither_modality_nor_view(phantom: Path) -> None:
    truth = truth_of(phantom, "vindr")
    for path in sorted((phantom / "vindr/train").iterdir()):
        file = pydicom.dcmread(path)
        assert not {"Modality", "ViewPosition"} & {element.keyword for element in file}
        inverted = file.PhotometricInterpretation == "MONOCHROME1"
        assert lungs_are_dark(file.pixel_array, truth[path.stem]) != inverted


def test_mimic_labels_are_of_studies_with_report_and_image(phantom: Path) -> None:
    table = pl.read_csv(phantom / "mimic_cxr/mimic-cxr-2.0.0-chexpert.csv.gz", infer_schema=False)
    assert len(table.columns) == 16
    labelled = {each.study_id for each in truth_of(phantom, "mimic_cxr").values() if each.labels is not None}
    assert set(table["study_id"]) == labelled
    assert len(table) == len(labelled) > 40
    cells = {cell for name in table.columns[2:] for cell in table[name]}
    assert cells == {"1.0", "0.0", "-1.0", None}


def test_the_other_data_sets_and_the_settings_stay_as_they_are(phantom: Path, tmp_path: Path) -> None:
    make_phantom(PLAIN, tmp_path / "plain")
    kept = {str(path.relative_to(tmp_path / "plain")): path.read_bytes()
            for path in (tmp_path / "plain").rglob("*") if path.is_file()}  # fmt: skip
    changed = {name for name, content in kept.items() if (phantom / name).read_bytes() != content}
    assert changed == {"manifest.json", "manifest.json.sha256", "truth/mimic_cxr.json"}
    assert not {"public", "mimic_labels"} & PLAIN.model_dump().keys()


def test_public_sets_of_an_earlier_phantom_go_away(tmp_path: Path) -> None:
    tiny = MakePhantomSettings(mimic_patients=1, rsna_images=1, siim_images=1, bad_inputs=0, two_frontals=0, workers=1)
    both = tiny.model_copy(update={"public": {"nih": 2, "vindr": 1}})
    manifest = make_phantom(both, tmp_path)
    assert {name: counts.images for name, counts in manifest.datasets.items()} == {
        "mimic_cxr": 1, "rsna": 1, "siim": 1, "nih": 2, "vindr": 1}  # fmt: skip
    assert all((tmp_path / name).is_file() for name in both.tables())
    make_phantom(tiny, tmp_path)
    assert not (tmp_path / "nih").exists()
    assert not (tmp_path / "truth/vindr.json").exists()
