"""Distributions as people keep them: unpacked, copied into each other, converted; each is read, or said in one line."""

import gzip
import zipfile
from pathlib import Path

import pytest

from stages.common.data.distributions import is_mimic_jpg

MIMIC = {"layout": "mimic_cxr"}
TABLES = ["cxr-record-list", "cxr-study-list", "mimic-cxr-2.0.0-split", "mimic-cxr-2.0.0-metadata"]


def unpack(root, name):
    (root / f"{name}.csv").write_bytes(gzip.decompress((root / f"{name}.csv.gz").read_bytes()))


@pytest.mark.parametrize("names", [*([name] for name in TABLES), TABLES])
def test_unpacked_tables_are_read(index, mimic, capsys, names):
    before = index(mimic, MIMIC).files
    for name in names:
        unpack(mimic, name)
        (mimic / f"{name}.csv.gz").unlink()
    indexed = index(mimic, MIMIC)
    assert indexed.files == before
    assert capsys.readouterr().err == ""
    assert {f"{name}.csv" for name in names} <= set(indexed.journal["inputs"])


@pytest.mark.parametrize("jpg", [False, True])
def test_a_jpg_tree_may_be_unpacked(index, mimic, jpg):
    before = index(mimic, MIMIC).files
    unpack(mimic, "mimic-cxr-2.0.0-metadata")
    (mimic / "mimic-cxr-2.0.0-metadata.csv.gz").unlink()
    if jpg:
        (mimic / "cxr-record-list.csv.gz").unlink()
    after = index(mimic, MIMIC)
    assert after.journal["tags"]["format"] == ("jpg" if jpg else "dicom")
    assert [file["view"] for file in after.files] == [file["view"] for file in before]


@pytest.mark.parametrize("packed", ["stage_2_train_labels.csv", "train-rle.csv"])
def test_packed_tables_of_the_challenges_are_read(index, request, packed):
    layout = "siim" if packed == "train-rle.csv" else "rsna"
    root = request.getfixturevalue(layout)
    before = index(root, {"layout": layout}).files
    (root / f"{packed}.gz").write_bytes(gzip.compress((root / packed).read_bytes()))
    (root / packed).unlink()
    assert index(root, {"layout": layout}).files == before


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("mimic-cxr-2.0.0-split.csv", True),  # beside the packed one
        ("mimic-cxr-2.1.0-split.csv.gz", True),
        ("metadata.csv", True),
        ("mimic-cxr-2.0.0-chexpert.csv.gz", False),  # labels, distributed and of no use here
    ],
)
def test_a_table_that_is_not_read_is_named(index, mimic, capsys, name, named):
    (mimic / name).write_text("dicom_id,split\n")
    index(mimic, MIMIC)
    assert (f"warning: {mimic}: not read: {name}\n" == capsys.readouterr().err) == named


def to_jpg(root):
    for path in list(root.rglob("*.dcm")):
        path.rename(path.with_suffix(".jpg"))


def test_a_jpg_tree_with_the_record_list_stays_one(index, mimic, capsys):
    to_jpg(mimic)
    indexed = index(mimic, MIMIC)
    assert indexed.journal["tags"]["format"] == "jpg"
    assert indexed.metric("files_missing") == 0
    assert capsys.readouterr().err == f"warning: {mimic}: not read: cxr-record-list.csv.gz\n"


def test_a_tree_of_both_is_said_to_be_read_as_dicom(index, mimic, capsys):
    for path in list(mimic.rglob("*.dcm")):
        path.with_suffix(".jpg").touch()
    indexed = index(mimic, MIMIC)
    assert indexed.journal["tags"]["format"] == "dicom"
    assert "holds DICOM and JPG files, read as DICOM; to read JPG move cxr-record-list.csv.gz away" in (
        capsys.readouterr().err
    )


def test_files_of_the_record_list_decide_before_others(index, mimic):
    """JPG files of other studies, which come first by name, do not make the tree one of JPG."""
    for number in range(30):
        folder = mimic / f"files/p10/p10000000/s{number}"
        folder.mkdir(parents=True)
        (folder / "a.jpg").touch()
    assert index(mimic, MIMIC).journal["tags"]["format"] == "dicom"


@pytest.mark.parametrize("name", ["cxr-record-list.csv.gz", "cxr-record-list.csv"])
def test_without_listed_files_the_first_studies_by_name_decide(mimic, monkeypatch, name):
    """The order of a directory, which differs between file systems, decides nothing."""
    (mimic / "cxr-record-list.csv.gz").unlink()
    (mimic / name).write_bytes(b"neither packed nor a list\n")
    for number in range(30):
        folder = mimic / f"files/p10/p10000000/s{number:02d}"
        folder.mkdir(parents=True)
        (folder / f"a.{'jpg' if number < 20 else 'dcm'}").touch()
    real = Path.glob
    for is_reversed in (False, True):
        order = lambda *given, turn=is_reversed: sorted(real(*given), reverse=turn)  # noqa: E731
        monkeypatch.setattr(Path, "glob", order)
        assert is_mimic_jpg(mimic)


@pytest.mark.parametrize("suffix", [".DCM", ".png", ".PNG", ".jpg", ".dicom"])
@pytest.mark.parametrize("layout", ["rsna", "siim"])
def test_images_of_the_challenges_in_other_forms(index, request, layout, suffix):
    root = request.getfixturevalue(layout)
    before = index(root, {"layout": layout})
    for path in list(root.rglob("*.dcm")):
        path.rename(path.with_suffix(suffix))
    after = index(root, {"layout": layout})
    missing = before.metric("files_missing")
    assert after.metric("files_missing") == missing
    assert sum(file["path"].endswith(suffix) for file in after.files) == len(after.files) - missing


def test_a_dicom_file_goes_before_a_copy(index, rsna):
    before = index(rsna, {"layout": "rsna"}).files
    for path in list(rsna.rglob("*.dcm")):
        path.with_suffix(".png").touch()
        path.with_suffix(".PNG").touch()
    assert index(rsna, {"layout": "rsna"}).files == before


def test_two_files_of_one_kind_are_refused(refusal, rsna):
    (rsna / "stage_2_train_images/a.DCM").touch()
    assert "a.DCM and stage_2_train_images/a.dcm are two files with one image id" in refusal(rsna, {"layout": "rsna"})


def test_ids_of_the_second_stage_with_images_of_the_first(refusal, siim):
    (siim / "train-rle.csv").write_text("ImageId,EncodedPixels\nID_0011fe81e,-1\n")
    line = refusal(siim, {"layout": "siim"})
    assert "dicom-images-train: 3 images, none of which" in line
    assert "row 2 names ID_0011fe81e.dcm" in line
    assert "table and images of the same stage" in line


def test_ids_of_the_second_stage_with_their_images(index, siim):
    (siim / "train-rle.csv").write_text("ImageId,EncodedPixels\nID_0011fe81e,-1\n")
    (siim / "dicom-images-train/ID_0011fe81e.dcm").touch()
    indexed = index(siim, {"layout": "siim"})
    assert [file["path"] for file in indexed.files] == ["dicom-images-train/ID_0011fe81e.dcm"]


def test_the_file_of_the_second_stage_is_recognised(refusal, siim):
    (siim / "train-rle.csv").rename(siim / "stage_2_train.csv")
    line = refusal(siim, {"layout": "siim"})
    assert "train-rle.csv: no such index file; there is stage_2_train.csv: copy it to train-rle.csv" in line


def test_a_zip_beside_the_table_is_recognised(refusal, rsna):
    with zipfile.ZipFile(rsna / "stage_2_train_labels.csv.zip", "w") as archive:
        archive.write(rsna / "stage_2_train_labels.csv", "stage_2_train_labels.csv")
    (rsna / "stage_2_train_labels.csv").unlink()
    assert "there is stage_2_train_labels.csv.zip: unpack it" in refusal(rsna, {"layout": "rsna"})


def test_a_missing_file_of_a_keyed_folder_is_named_by_its_row(index, folder, capsys):
    (folder / "a/3.png").unlink()
    columns = {"image": "file", "patient": "person", "study": "exam", "report": "text"}
    index(folder, {"layout": "folder", "table": "table.csv", "columns": columns})
    assert "(row 4)" in capsys.readouterr().err
