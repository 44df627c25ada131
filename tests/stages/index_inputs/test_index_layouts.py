"""Each layout, read as it is distributed, gives the files and reports that were put there."""

import csv
import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.index_inputs.contract import IndexInputsSettings, index_files

FOLDER = {
    "layout": "folder",
    "table": "table.csv",
    "columns": {"image": "file", "patient": "person", "study": "exam", "report": "text", "view": "projection",
                "license": "terms"},
}  # fmt: skip


def test_mimic_cxr_dicom(index, mimic):
    indexed = index(mimic, {"layout": "mimic_cxr", "shards": 2})
    # in the order of the paths
    assert [file["image_id"] for file in indexed.files] == ["aaaa-1", "cccc-1", "bbbb-1", "bbbb-2"]
    assert indexed.files[2] == {
        "image_id": "bbbb-1", "study_id": "57375967", "patient_id": "10000764", "dataset": "set",
        "path": "files/p10/p10000764/s57375967/bbbb-1.dcm", "sha256": None, "view": "PA",
        "distributed_split": "validate", "inverted": None, "sex": None, "age": None, "shard": 1,
    }  # fmt: skip
    assert indexed.files[3]["view"] is None
    assert [report["study_id"] for report in indexed.reports] == ["50414267", "53189527", "57375967"]
    assert indexed.reports[2] == {
        "study_id": "57375967", "patient_id": "10000764", "distributed_split": "validate",
        "path": "files/p10/p10000764/s57375967.txt", "text": None,
    }  # fmt: skip
    assert (indexed.metric("images"), indexed.metric("reports"), indexed.metric("patients")) == (4, 3, 2)
    assert set(indexed.journal["inputs"]) == {path.name for path in mimic.glob("*.csv.gz")}


def test_mimic_cxr_without_the_optional_tables(index, mimic):
    for name in ("split", "metadata"):
        (mimic / f"mimic-cxr-2.0.0-{name}.csv.gz").unlink()
    indexed = index(mimic, {"layout": "mimic_cxr"})
    assert {file["distributed_split"] for file in indexed.files} == {None}
    assert {file["view"] for file in indexed.files} == {None}
    assert {report["distributed_split"] for report in indexed.reports} == {None}


def test_mimic_views_come_from_the_other_columns_where_view_position_is_empty(index, mimic, write_csv):
    columns = ["dicom_id", "PerformedProcedureStepDescription", "ViewPosition", "ProcedureCodeSequence_CodeMeaning",
               "ViewCodeSequence_CodeMeaning", "PatientOrientationCodeSequence_CodeMeaning"]  # fmt: skip
    rows = [["aaaa-1", "CHEST (PA AND LAT)", "", "", "antero-posterior", "Erect"],
            ["bbbb-1", "CHEST (PORTABLE AP)", "", "CHEST (PA AND LAT)", "", "Recumbent"],
            ["bbbb-2", "CHEST (PA AND LAT)", "", "CHEST", "", "Erect"],
            ["cccc-1", "CHEST (PORTABLE AP)", "LL", "", "postero-anterior", ""]]  # fmt: skip
    write_csv(mimic / "mimic-cxr-2.0.0-metadata.csv.gz", [columns, *rows])
    files = index(mimic, {"layout": "mimic_cxr"}).files
    views = {file["image_id"]: file["view"] for file in files}
    assert views == {"aaaa-1": "AP", "bbbb-1": "AP", "bbbb-2": None, "cccc-1": "LL"}


def test_folder_reads_the_view_from_two_columns_as_chexpert_has_them(index, tmp_path, write_csv):
    root = tmp_path / "chexpert"
    rows = [["Path", "Frontal/Lateral", "AP/PA"], ["1.jpg", "Frontal", "AP"], ["2.jpg", "Lateral", ""],
            ["3.jpg", "", ""]]  # fmt: skip
    write_csv(root / "train.csv", rows)
    columns = {"image": "Path", "view": ["Frontal/Lateral", "AP/PA"]}
    settings = {"layout": "folder", "table": "train.csv", "columns": columns, "identifiers": "distributed"}
    assert [file["view"] for file in index(root, settings).files] == ["Frontal AP", "Lateral", None]


@pytest.mark.parametrize("with_study_list", [True, False])
def test_mimic_cxr_jpg_is_the_same_tree_with_jpg(index, mimic, with_study_list):
    dicom = index(mimic, {"layout": "mimic_cxr"}, dataset="dicom")
    (mimic / "cxr-record-list.csv.gz").unlink()
    if not with_study_list:
        (mimic / "cxr-study-list.csv.gz").unlink()
    jpg = index(mimic, {"layout": "mimic_cxr"}, dataset="jpg")
    expected = [file | {"path": file["path"].replace(".dcm", ".jpg"), "dataset": "jpg"} for file in dicom.files]
    assert jpg.files == expected
    assert jpg.reports == dicom.reports
    assert jpg.journal["tags"]["format"] == "jpg"
    assert jpg.metric("files_missing") == 4  # no JPG was put there


def test_rsna_has_one_file_an_image_and_no_reports(index, rsna):
    indexed = index(rsna, {"layout": "rsna"})
    assert [file["image_id"] for file in indexed.files] == ["a", "b", "c"]
    assert indexed.files[0]["path"] == "stage_2_train_images/a.dcm"
    assert indexed.files[0]["study_id"] == "a"
    assert {file["patient_id"] for file in indexed.files} == {None}
    assert indexed.reports == []


def test_rsna_patients_are_looked_up_by_image(index, rsna, write_csv):
    write_csv(rsna / "patients.csv", [["image_id", "patient_id"], ["b", "P"], ["a", "Q"], ["c", "P"], ["d", "R"]])
    indexed = index(rsna, {"layout": "rsna", "patients": "patients.csv"})
    assert [file["patient_id"] for file in indexed.files] == ["Q", "P", "P"]


def test_siim_walks_for_the_paths_and_accounts_for_what_is_missing(index, siim, capsys):
    indexed = index(siim, {"layout": "siim"})
    assert {file["image_id"]: file["path"] for file in indexed.files} == {
        "1.1": "dicom-images-train/7.1/7.1.4/1.1.dcm",
        "1.2": "dicom-images-train/7.2/7.2.4/1.2.dcm",
        "1.3": "dicom-images-train/1.3.dcm",
    }
    assert indexed.metric("files_missing") == 1
    assert indexed.metric("files_not_in_index") == 1
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1
    assert "1 of 3 files" in warning
    assert "dicom-images-train/1.3.dcm" in warning


def test_siim_follows_links_to_folders_where_its_files_may_be_read(index, siim, tmp_path):
    """Into the root and `roots`, each folder once; a link elsewhere is not followed, as its files are not read."""
    images, store, closed = siim / "dicom-images-train", tmp_path / "store", tmp_path / "elsewhere"
    images.joinpath("7.2").rename(store)
    images.joinpath("7.2").symlink_to(store)
    images.joinpath("loop").symlink_to(siim)
    images.joinpath("7.0").symlink_to(images / "7.1")
    closed.mkdir()
    (closed / "1.3.dcm").touch()
    images.joinpath("7.3").symlink_to(closed)
    indexed = index(siim, {"layout": "siim"}, roots=(store,))
    assert {file["image_id"]: file["path"] for file in indexed.files} == {
        "1.1": "dicom-images-train/7.1/7.1.4/1.1.dcm",
        "1.2": "dicom-images-train/7.2/7.2.4/1.2.dcm",
        "1.3": "dicom-images-train/1.3.dcm",
    }
    assert indexed.metric("files_missing") == 1


@pytest.mark.parametrize("identifiers", ["distributed", "keyed"])
def test_a_folder_of_siim_that_cannot_be_read_is_an_error(index, siim, monkeypatch, capsys, identifiers):
    real, closed = os.scandir, siim / "dicom-images-train" / "7.2"

    def scan(path):
        if str(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(closed))
        return real(path)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(SystemExit, match="2"):
        index(siim, {"layout": "siim", "identifiers": identifiers})
    named = closed if identifiers == "distributed" else f"{closed.parent}: a folder in it"
    assert f"{named}: cannot be read (Permission denied); let yourself read it" in capsys.readouterr().err


def test_folder_joins_the_images_of_a_study_to_one_report(index, folder):
    indexed = index(folder, FOLDER | {"identifiers": "distributed"})
    assert [(file["image_id"], file["study_id"], file["view"]) for file in indexed.files] == [
        ("a/3.png", "e2", "AP"), ("b/1.png", "e1", None), ("b/2.png", "e1", "PA")]  # fmt: skip
    assert indexed.reports == [
        {"study_id": "e1", "patient_id": "Q", "distributed_split": None, "path": None,
         "text": "Clear lungs.\nNo effusion."}]  # fmt: skip
    assert indexed.journal["tags"]["licenses"] == "CC BY: 2; not stated: 1"


def test_folder_without_study_column_has_a_study_an_image(index, folder):
    columns = {"image": "file", "patient": "person", "report_file": "text"}
    indexed = index(
        folder, {"layout": "folder", "table": "table.csv", "columns": columns, "identifiers": "distributed"}
    )
    assert all(file["study_id"] == file["image_id"] for file in indexed.files)
    assert [(report["study_id"], report["text"]) for report in indexed.reports] == [
        ("b/1.png", None),
        ("b/2.png", None),
    ]


@pytest.mark.parametrize("shards", [1, 2, 3, 4, 7])
def test_shards_are_contiguous_blocks_of_nearly_equal_size(index, mimic, shards):
    numbers = [file["shard"] for file in index(mimic, {"layout": "mimic_cxr", "shards": shards}).files]
    assert numbers == sorted(numbers)
    assert all(0 <= number < shards for number in numbers)
    sizes = [numbers.count(shard) for shard in range(shards)]
    assert max(sizes) - min(sizes) <= 1


def test_same_input_same_bytes_whatever_the_order_of_the_rows(index, mimic, write_csv):
    first = index(mimic, {"layout": "mimic_cxr", "shards": 2}).files_path.read_bytes()
    assert index(mimic, {"layout": "mimic_cxr", "shards": 2}).files_path.read_bytes() == first
    with gzip.open(mimic / "cxr-record-list.csv.gz", "rt", newline="") as handle:
        header, *rows = csv.reader(handle)
    write_csv(mimic / "cxr-record-list.csv.gz", [header, *reversed(rows)])
    assert index(mimic, {"layout": "mimic_cxr", "shards": 2}).files_path.read_bytes() == first


def test_index_files_names_what_must_exist(mimic):
    def named(root: Path | None = None, **settings: object) -> list[str]:
        return index_files(IndexInputsSettings.model_validate(settings), root)

    assert named(layout="rsna") == ["stage_2_train_labels.csv"]
    assert named(layout="siim", patients="patients.csv") == ["train-rle.csv", "patients.csv"]
    assert named(**FOLDER) == ["table.csv"]
    assert named(layout="mimic_cxr") == ["cxr-record-list.csv.gz", "cxr-study-list.csv.gz"]
    assert named(mimic, layout="mimic_cxr") == ["cxr-record-list.csv.gz", "cxr-study-list.csv.gz"]
    (mimic / "cxr-record-list.csv.gz").unlink()
    assert named(mimic, layout="mimic_cxr") == ["mimic-cxr-2.0.0-metadata.csv.gz"]


def test_layout_names_import_no_table_library():
    code = "import sys, stages.index_inputs.contract; sys.exit('polars' in sys.modules or 'pyarrow' in sys.modules)"
    root = Path(__file__).resolve().parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.real_data
def test_rsna_sample_as_distributed(index, test_data, capsys):
    indexed = index(test_data / "rsna_sample", {"layout": "rsna", "shards": 4})
    assert len(indexed.files) == 339
    assert len({file["image_id"] for file in indexed.files}) == 339
    assert indexed.metric("files_missing") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.real_data
def test_real_pairs_as_folder(index, test_data):
    columns = {"image": "file", "image_id": "image_id", "patient": "patient_id", "view": "view", "report": "text",
               "license": "license"}  # fmt: skip
    indexed = index(test_data / "real_pairs", {"layout": "folder", "table": "metadata.csv", "columns": columns})
    assert (len(indexed.files), len(indexed.reports), indexed.metric("patients")) == (164, 164, 102)
    assert indexed.metric("files_missing") == 0
    assert indexed.journal["tags"]["licenses"].startswith("CC BY-NC-SA: 107; CC BY-NC-SA 4.0: 49")
    assert not any(report["text"] or report["path"] for report in indexed.reports)  # keyed: they are private
    assert not any(
        "cidc" in file[column] for file in indexed.files for column in ("image_id", "patient_id", "study_id")
    )
