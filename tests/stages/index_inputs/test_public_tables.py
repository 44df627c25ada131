"""Public sets by their distributions, on tables of the same form with made-up rows."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.common.errors import InputError
from stages.common.settings import validating
from stages.distribution import read_distribution
from stages.index_inputs.contract import IndexInputsSettings
from stages.index_inputs.index import build_index
from stages.label_images.contract import LabelImagesSettings
from stages.label_images.label_tables import read_labels

FINDINGS = ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia",
            "Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax"]  # fmt: skip
Write = Callable[[Path, list[list[str]]], None]


def settings(name: str) -> tuple[IndexInputsSettings, LabelImagesSettings]:
    blocks = read_distribution(name).blocks
    return (IndexInputsSettings.model_validate(blocks["index_inputs"]),
            LabelImagesSettings.model_validate(blocks["label_images"]))  # fmt: skip


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_chexpert(tmp_path: Path, write_csv: Write) -> None:
    folder = "CheXpert-v1.0-small"
    taken = ["1/study1/view1_frontal", "2/study1/view1_frontal", "2/study1/view2_lateral", "2/study2/view1_frontal"]
    images = [f"{folder}/train/patient0000{each}.jpg" for each in taken]
    touch(tmp_path, *images)
    header = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding", "Enlarged Cardiomediastinum",
              "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis",
              "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices"]  # fmt: skip
    cells = [["1.0"] + [""] * 13, ["", "", "-1.0", "", "", "1.0", "", "", "-1.0", "", "0.0", "", "", "1.0"]]
    cells += [cells[1], [""] * 14]
    views = [("Frontal", "AP"), ("Frontal", "PA"), ("Lateral", ""), ("Frontal", "AP")]
    write_csv(tmp_path / folder / "train.csv", [header, *([image, "Female", "68", *view, *own] for image, view, own in
                                                          zip(images, views, cells, strict=True))])  # fmt: skip
    index, labels = settings("chexpert")
    files = build_index(tmp_path, index, "chexpert", None).files.sort("path")
    assert files["path"].to_list() == images
    assert files["patient_id"].to_list() == ["patient00001", "patient00002", "patient00002", "patient00002"]
    assert files["study_id"].to_list() == ["patient00001/study1", *["patient00002/study1"] * 2, "patient00002/study2"]
    assert files["view"].to_list() == ["Frontal AP", "Frontal PA", "Lateral", "Frontal AP"]
    read = read_labels(tmp_path, labels)
    targets = [{name: each.target for name, each in read.labels[image].findings.items()} for image in images]
    absent = dict.fromkeys(labels.by_finding, 0)
    assert targets == [absent, absent | {"edema": 1, "atelectasis": 1}, absent | {"edema": 1, "atelectasis": 1}, absent]
    assert read.uncertain[images[1]] == ["atelectasis", "cardiomegaly"]


def test_nih(tmp_path: Path, write_csv: Write) -> None:
    names = ["00000001_000.png", "00000001_001.png", "00000002_000.png"]
    touch(tmp_path, *(f"images_00{place}/images/{name}" for place, name in zip((1, 1, 2), names, strict=True)))
    header = [
        "Image Index",
        "Finding Labels",
        "Follow-up #",
        "Patient ID",
        "Patient Age",
        "Patient Gender",
        "View Position",
    ]
    found = ["Cardiomegaly|Emphysema", "No Finding", "|".join(FINDINGS)]
    rows = [[name, own, "0", name[:8].lstrip("0"), "58", "M", "PA"] for name, own in zip(names, found, strict=True)]
    write_csv(tmp_path / "Data_Entry_2017.csv", [header, *rows])
    index, labels = settings("nih")
    files = build_index(tmp_path, index, "nih", None).files.sort("image_id")
    assert files["image_id"].to_list() == names
    assert files["path"].to_list() == ["images_001/images/00000001_000.png", "images_001/images/00000001_001.png",
                                       "images_002/images/00000002_000.png"]  # fmt: skip
    assert files["patient_id"].to_list() == ["1", "1", "2"]
    read = read_labels(tmp_path, labels)
    positives = [[name for name, each in read.labels[image].findings.items() if each.target] for image in names]
    assert positives == [["cardiomegaly", "emphysema"], [], [each.lower() for each in FINDINGS]]
    assert all(len(read.labels[image].findings) == len(FINDINGS) for image in names)


def by_name(tmp_path: Path, write_csv: Write, cells: list[str], **more: object) -> list[str]:
    write_csv(tmp_path / "t.csv", [["name"], *([cell] for cell in cells)])
    block = {"layout": "folder", "table": "t.csv", "columns": {"image": "name"}, "find_images_in": "images"} | more
    files = build_index(
        tmp_path, IndexInputsSettings.model_validate(block | {"identifiers": "distributed"}), "s", None
    ).files
    return dict(files.select("image_id", "path").iter_rows())


def test_names_are_found_with_and_without_ending_and_missing_ones_are_kept(tmp_path: Path, write_csv: Write) -> None:
    touch(tmp_path, "images/1/a.png", "images/2/b.dcm", "masks/a.png", "images/2/notes.txt")
    found = by_name(tmp_path, write_csv, ["a", "b.dcm", "c.png", "notes"])
    assert found == {"a": "images/1/a.png", "b.dcm": "images/2/b.dcm", "c.png": "c.png", "notes": "notes"}


def test_a_name_of_several_files_and_no_name_at_all_are_refused(tmp_path: Path, write_csv: Write) -> None:
    touch(tmp_path, "images/1/a.png", "images/2/a.png", "images/1/b.png", "images/1/b.jpg")
    with pytest.raises(
        InputError, match=r"t\.csv: row 3: 2 files have the name in name: images/1/a.png and images/2/a.png"
    ):
        by_name(tmp_path, write_csv, ["b.png", "a"])
    with pytest.raises(
        InputError, match=r"row 2: 2 files have the name in name: .*; narrow `find_images_in`, or write the"
    ):
        by_name(tmp_path, write_csv, ["b"])
    with pytest.raises(InputError, match=r"no file below .*images has a name in name; correct `find_images_in`"):
        by_name(tmp_path, write_csv, ["x", "y"])


def test_a_missing_folder_is_named_and_files_without_ending_are_found(tmp_path: Path, write_csv: Write) -> None:
    with pytest.raises(InputError, match="images: no such folder"):
        by_name(tmp_path, write_csv, ["x"])
    touch(tmp_path, "images/1/IM0001", "images/2/1.2.840.5")
    found = by_name(tmp_path, write_csv, ["IM0001", "1.2.840.5"])
    assert found == {"IM0001": "images/1/IM0001", "1.2.840.5": "images/2/1.2.840.5"}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"patient": "p", "patient_pattern": "p[0-9]+"}, "has 0 groups: put one in"),
        ({"patient": "p", "patient_pattern": "(p)(q)"}, "has 2 groups: put one in"),
        ({"patient": "p", "patient_pattern": "(p"}, "is no regular expression"),
        ({"study_pattern": "(p)"}, "`study_pattern` needs `study`"),
    ],
)
def test_a_pattern_that_is_none_is_refused(columns: dict, said: str) -> None:
    block = {"layout": "folder", "table": "t.csv", "columns": {"image": "name"} | columns}
    with pytest.raises(InputError, match=re.escape(said)), validating("settings"):
        IndexInputsSettings.model_validate(block)


def test_a_cell_in_which_a_pattern_finds_nothing_is_named_by_its_row(tmp_path: Path, write_csv: Write) -> None:
    touch(tmp_path, "p1/a.png", "q2/b.png")
    write_csv(tmp_path / "t.csv", [["name"], ["p1/a.png"], ["q2/b.png"]])
    columns = {"image": "name", "patient": "name", "patient_pattern": "p([0-9]+)/"}
    block = {"layout": "folder", "table": "t.csv", "columns": columns}
    with pytest.raises(InputError, match=r"t\.csv: row 3: 'p\(\[0-9\]\+\)/' finds nothing in name \(1 such\)"):
        build_index(tmp_path, IndexInputsSettings.model_validate(block), "s", tmp_path / "private")


def test_find_images_in_belongs_to_own_tables() -> None:
    with pytest.raises(InputError, match="`find_images_in` belongs to layout `folder`"), validating("settings"):
        IndexInputsSettings.model_validate({"layout": "rsna", "find_images_in": "x"})


def test_ms_cxr(tmp_path: Path, write_csv: Write) -> None:
    """A row per box: one image, with the ids of MIMIC-CXR; boxes in pixels of the size that the row states."""
    header = ["dicom_id", "category_name", "label_text", "path", "x", "y", "w", "h", "image_width", "image_height",
              "split"]  # fmt: skip
    images = {"aa-11": "files/p15/p15110111/s52174561/aa-11.jpg", "bb-22": "files/p10/p10000032/s50414267/bb-22.jpg"}
    touch(tmp_path, *images.values())
    given = [
        ("aa-11", "Pneumonia", "Right basal pneumonia", "10"),
        ("aa-11", "Pneumonia", "Right basal pneumonia", "40"),
        ("aa-11", "Lung Opacity", "Opacity, left", "40"),
        ("bb-22", "Pleural Effusion", "Small effusion", "5"),
    ]
    rest = ["20", "30", "40", "2544", "3056", "test"]
    rows = [[image, word, text, images[image], x, *rest] for image, word, text, x in given]
    every = ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pneumothorax"]
    rows += [
        ["bb-22", word, f"Some {word}", images["bb-22"], "1", "2", "3", "4", "2544", "3056", "val"] for word in every
    ]
    write_csv(tmp_path / "MS_CXR_Local_Alignment_v1.1.0.csv", [header, *rows])
    index, labels = settings("ms_cxr")
    files = build_index(tmp_path, index, "ms_cxr", None).files.sort("image_id")
    assert files["image_id"].to_list() == ["aa-11", "bb-22"]
    assert files["path"].to_list() == [*images.values()]
    assert files["patient_id"].to_list() == ["15110111", "10000032"]  # as the layout mimic_cxr writes them
    assert files["study_id"].to_list() == ["52174561", "50414267"]
    read = read_labels(tmp_path, labels)
    phrases = {finding: {text: [box.x for box in boxes] for text, boxes in each.phrases.items()}
               for finding, each in read.labels["aa-11"].findings.items()}  # fmt: skip
    assert phrases == {"pneumonia": {"Right basal pneumonia": [10, 40]}, "lung_opacity": {"Opacity, left": [40]}}
    assert read.labels["aa-11"].findings["pneumonia"].boxes[0].size == (2544, 3056)
    assert (labels.split.train, labels.split.validation, labels.split.test) == (0, 0, 1)
