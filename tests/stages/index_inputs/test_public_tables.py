"""Public sets by their distributions, on tables of the same form with made-up rows."""

import io
import re
import tarfile
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
    boxes = [["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]", "", "", ""],
             [names[2], "Infiltrate", "225.08", "547.02", "86.78", "79.19"]]  # fmt: skip
    write_csv(tmp_path / "BBox_List_2017.csv", boxes)
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
    [box] = read.labels[names[2]].findings["infiltration"].boxes
    assert box[1:5] == (225.08, 547.02, 86.78, 79.19)


def test_vindr(tmp_path: Path, write_csv: Write) -> None:
    touch(tmp_path, "train/aa.dicom", "train/bb.dicom")
    header = ["image_id", "class_name", "class_id", "rad_id", "x_min", "y_min", "x_max", "y_max"]
    none = [["bb", "No finding", "14", reader, *[""] * 4] for reader in ("R1", "R2", "R3")]
    ild = [["aa", "ILD", "5", reader, "0", "0", width, "10"] for reader, width in (("R1", "10"), ("R2", "12"))]
    words = [columns.target for columns in settings("vindr")[1].by_finding.values() if columns.target != "ILD"]
    once = [["aa", word, "1", "R3", "1", "1", "9", "9"] for word in words]
    write_csv(tmp_path / "train.csv", [header, *none, *ild, *once])
    index, labels = settings("vindr")
    files = build_index(tmp_path, index, "vindr", None).files.sort("image_id")
    assert files["path"].to_list() == ["train/aa.dicom", "train/bb.dicom"]
    assert files["patient_id"].to_list() == [None, None]
    read = read_labels(tmp_path, labels)
    assert {name for name, each in read.labels["aa"].findings.items() if each.target} == {"ild"}
    assert [box[1:5] for box in read.labels["aa"].findings["ild"].boxes] == [(0, 0, 11, 10)]
    assert not any(each.target for each in read.labels["bb"].findings.values())


def test_padchest(tmp_path: Path, write_csv: Write) -> None:
    touch(tmp_path, "0/a.png", "3/b.png", "3/c.png")
    index, labels = settings("padchest")
    every = str([" " + word for columns in labels.by_finding.values() for word in columns.words])
    header = ["ImageID", "StudyID", "PatientID", "Projection", "PhotometricInterpretation_DICOM", "Report",
              "MethodLabel", "Labels", "PatientSex_DICOM"]  # fmt: skip
    write_csv(tmp_path / str(index.table).removesuffix(".gz"), [
        header, ["a.png", "s1", "p1", "PA", "MONOCHROME1", "sin hallazg .", "Physician", "['normal']", "F"],
        ["b.png", "s1", "p2", "L", "MONOCHROME2", "derram pleural .", "Physician", every, "M"],
        ["c.png", "s1", "p2", "PA", "", "derram pleural .", "RNN_model", "['pneumonia']", ""]])  # fmt: skip
    found = build_index(tmp_path, index, "padchest", None)
    files = found.files.sort("image_id")
    assert files["path"].to_list() == ["0/a.png", "3/b.png", "3/c.png"]
    assert files["study_id"].to_list() == ["p1/s1", "p2/s1", "p2/s1"]  # a distributed study has two patients
    assert files["inverted"].to_list() == [True, False, None]
    assert files["sex"].to_list() == ["female", "male", None]
    assert found.reports["text"].to_list() == ["sin hallazg .", "derram pleural ."]
    read = read_labels(tmp_path, labels)
    assert {image: sum(each.target for each in own.findings.values()) for image, own in read.labels.items()} == {
        "a.png": 0, "b.png": len(labels.by_finding)}  # fmt: skip


REPORT = """<?xml version="1.0"?><eCitation><uId id="CXR{number}"/><Abstract>
<AbstractText Label="FINDINGS">{findings}</AbstractText><AbstractText Label="IMPRESSION">{impression}</AbstractText>
</Abstract><MeSH>{major}</MeSH>{images}</eCitation>"""


def write_openi(path: Path, reports: list[tuple[str, str, list[str], list[str]]]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for number, (findings, impression, major, images) in enumerate(reports, start=1):
            text = REPORT.format(
                number=number, findings=findings, impression=impression,
                major="".join(f"<major>{each}</major>" for each in major),
                images="".join(f'<parentImage id="{each}"/>' for each in images))  # fmt: skip
            member = tarfile.TarInfo(f"ecgen-radiology/{number}.xml")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))


def test_openi(tmp_path: Path) -> None:
    index, labels = settings("openi")
    every = [f"{word}/left/small" for columns in labels.by_finding.values() for word in columns.words]
    reports = [("Clear lungs.", "Normal.", ["normal"], ["CXR1_1", "CXR1_2"]), ("", "Effusion.", every, ["CXR2_1"]),
               ("Gone.", "", ["normal"], []), ("Poor.", "", ["No Indexing"], ["CXR4_1"])]  # fmt: skip
    write_openi(tmp_path / "NLMCXR_reports.tgz", reports)
    touch(tmp_path, *(f"NLMCXR_png/{image}.png" for *_, images in reports for image in images))
    found = build_index(tmp_path, index, "openi", None)
    files = found.files.sort("image_id")
    assert files["path"].to_list() == [f"NLMCXR_png/{each}.png" for each in ("CXR1_1", "CXR1_2", "CXR2_1", "CXR4_1")]
    assert files["study_id"].to_list() == ["CXR1", "CXR1", "CXR2", "CXR4"]
    texts = dict(found.reports.select("study_id", "text").iter_rows())
    assert texts["CXR1"].replace("\n", " ").split() == ["FINDINGS:", "Clear", "lungs.", "IMPRESSION:", "Normal."]
    assert texts["CXR2"].split() == ["IMPRESSION:", "Effusion."]
    read = read_labels(tmp_path, labels)
    assert {image: sum(each.target for each in own.findings.values()) for image, own in read.labels.items()} == {
        "CXR1_1": 0, "CXR1_2": 0, "CXR2_1": len(labels.by_finding)}  # fmt: skip
    assert list(read.unlabelled) == ["CXR4_1"]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"no archive", "not readable as an archive"), (None, "1.xml is no XML"), ("<a/>", "1.xml has no uId")],
)
def test_a_damaged_archive_of_reports_is_named(tmp_path: Path, content: bytes | str | None, said: str) -> None:
    path = tmp_path / "NLMCXR_reports.tgz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with tarfile.open(path, "w:gz") as archive:
            text = (content or "<open>").encode()
            member = tarfile.TarInfo("ecgen-radiology/1.xml")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    with pytest.raises(InputError, match=said):
        build_index(tmp_path, settings("openi")[0], "openi", None)


def test_mimic_labels_are_those_of_studies(tmp_path: Path, write_csv: Write) -> None:
    _, labels = settings("mimic_cxr")
    header = ["subject_id", "study_id", *(columns.target for columns in labels.by_finding.values())]
    rows = [["10000032", "50414267", "1.0", "0.0", "-1.0", "", "1.0"], ["10000032", "53189527", "", "", "", "1.0", ""]]
    write_csv(tmp_path / "mimic-cxr-2.0.0-chexpert.csv", [header, *rows])
    read = read_labels(tmp_path, labels)
    targets = {study: {name: each.target for name, each in own.findings.items()} for study, own in read.labels.items()}
    none = dict.fromkeys(labels.by_finding, 0)
    assert targets == {"50414267": {"atelectasis": 1, "cardiomegaly": 0, "edema": 0, "pleural_effusion": 1},
                       "53189527": none | {"edema": 1}}  # fmt: skip
    assert read.uncertain == {"50414267": ["consolidation"]}


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
