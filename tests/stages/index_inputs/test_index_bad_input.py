"""Bad input is one line that names file, row or id and says what to do."""

import gzip

import pytest

from stages.common.errors import InputError
from stages.common.settings import Settings
from stages.index_inputs.contract import IndexInputsSettings

FOLDER = {"layout": "folder", "table": "table.csv", "columns": {"image": "file", "patient": "person", "study": "exam",
                                                                "report": "text"}}  # fmt: skip


@pytest.fixture
def refusal(index, capsys):
    def run(root, settings, **options) -> str:
        with pytest.raises(SystemExit) as stop:
            index(root, settings, **options)
        assert stop.value.code == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("error: ")
        return lines[0]

    return run


def test_missing_root(refusal, tmp_path):
    assert "nowhere: no such folder" in refusal(tmp_path / "nowhere", {"layout": "rsna"})


@pytest.mark.parametrize(
    ("layout", "file", "source"),
    [
        ("mimic", "cxr-study-list.csv.gz", "PhysioNet"),
        ("rsna", "stage_2_train_labels.csv", "Kaggle"),
        ("siim", "train-rle.csv", "Kaggle"),
    ],
)
def test_missing_index_file_says_where_to_get_it(refusal, request, layout, file, source):
    root = request.getfixturevalue(layout)
    (root / file).unlink()
    line = refusal(root, {"layout": "mimic_cxr" if layout == "mimic" else layout})
    assert f"{file}: no such index file" in line
    assert source in line


def test_missing_folder_of_images(refusal, rsna):
    (rsna / "stage_2_train_images").rename(rsna / "images")
    assert "stage_2_train_images: no such folder of images; it comes with" in refusal(rsna, {"layout": "rsna"})


@pytest.mark.parametrize("text", ["", "patientId,x,y,width,height,Target\n"])
def test_empty_index(refusal, rsna, text):
    (rsna / "stage_2_train_labels.csv").write_text(text)
    line = refusal(rsna, {"layout": "rsna"})
    assert "stage_2_train_labels.csv: " in line
    assert "empty" in line or "no row below the header" in line


def test_missing_column(refusal, rsna):
    (rsna / "stage_2_train_labels.csv").write_text("patient,Target\na,1\n")
    assert "no column patientId; correct the table or the column name; it has patient, Target" in refusal(
        rsna, {"layout": "rsna"}
    )


def test_damaged_compression(refusal, mimic):
    whole = (mimic / "cxr-record-list.csv.gz").read_bytes()
    (mimic / "cxr-record-list.csv.gz").write_bytes(whole[: len(whole) // 2])
    assert "cxr-record-list.csv.gz: not readable as CSV" in refusal(mimic, {"layout": "mimic_cxr"})


def test_ragged_row(refusal, rsna):
    (rsna / "stage_2_train_labels.csv").write_text("patientId,Target\na,1,2,3\n")
    assert "not readable as CSV" in refusal(rsna, {"layout": "rsna"})


def test_duplicate_image_names_id_and_rows(refusal, mimic):
    with gzip.open(mimic / "cxr-record-list.csv.gz", "at") as handle:
        handle.write("10000032,53189527,bbbb-2,files/x.dcm\n")
    line = refusal(mimic, {"layout": "mimic_cxr"})
    assert "rows 4 and 6 have the same dicom_id bbbb-2" in line


def test_duplicate_image_of_a_folder_is_named_by_its_rows(refusal, folder):
    with (folder / "table.csv").open("a") as handle:
        handle.write("a/3.png,R,e9,,AP,\n")
    line = refusal(folder, FOLDER)
    assert "have the same image (1 such); keep one of them" in line
    assert "3.png" not in line


def test_empty_id(refusal, folder):
    with (folder / "table.csv").open("a") as handle:
        handle.write("a/4.png,,e4,,AP,\n")
    assert "person is empty (1 such rows)" in refusal(folder, FOLDER)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.png", "a/../../x.png", "a/..", "C:/x.png", "a\\..\\x.png"])
def test_path_that_leaves_the_root_names_its_row(refusal, folder, write_csv, path):
    rows = [["file", "person", "exam", "text"], ["a/1.png", "Q", "e1", ""], [path, "Q", "e2", ""]]
    write_csv(folder / "table.csv", rows)
    assert "table.csv: row 3: the path is absolute, contains '..' or a backslash" in refusal(folder, FOLDER)


def test_report_path_that_leaves_the_root(refusal, mimic, write_csv):
    write_csv(mimic / "cxr-study-list.csv.gz", [["subject_id", "study_id", "path"], ["10000032", "50414267", "/a.txt"]])
    assert "cxr-study-list.csv.gz: row 2: the path is absolute" in refusal(mimic, {"layout": "mimic_cxr"})


def test_dots_within_a_name_are_no_step_upwards(index, folder, write_csv):
    write_csv(folder / "table.csv", [["file", "person", "exam", "text"], ["a/1..2.png", "Q", "e1", ""]])
    assert index(folder, FOLDER | {"identifiers": "distributed"}).files[0]["path"] == "a/1..2.png"


def test_study_with_two_reports_names_both_rows(refusal, folder, write_csv):
    rows = [["file", "person", "exam", "text"], ["1", "Q", "e", "One."], ["2", "Q", "e", "Two."]]
    write_csv(folder / "table.csv", rows)
    assert "rows 2 and 3 have the same study but different reports" in refusal(folder, FOLDER)


def test_an_image_with_two_reports_is_said_without_a_study_that_the_user_does_not_have(refusal, folder, write_csv):
    rows = [["file", "person", "text"], ["1", "Q", "One."], ["1", "Q", "Two."]]
    write_csv(folder / "table.csv", rows)
    columns = {"image": "file", "patient": "person", "report": "text"}
    line = refusal(folder, FOLDER | {"columns": columns})
    assert "rows 2 and 3 name the same image but different reports or patients; correct them, or keep one" in line
    assert "stud" not in line


def test_blank_reports_and_identical_rows_are_counted_with_the_first_row(index, folder, write_csv, capsys):
    """A study with a report in another row, and rows that differ in a column that is not read, are not counted."""
    rows = [["file", "person", "exam", "text", "box"], ["1", "Q", "e", "", "1"], ["2", "Q", "e", "One.", "2"],
            ["2", "Q", "e", "One.", "3"], ["3", "R", "f", "nan", "4"], ["4", "S", "g", "", "5"],
            ["4", "S", "g", "", "5"]]  # fmt: skip
    write_csv(folder / "table.csv", rows)
    columns = {"image": "file", "patient": "person", "study": "exam", "report": "text"}
    found = index(folder, FOLDER | {"columns": columns})
    said = capsys.readouterr().err
    assert "table.csv: 1 rows are identical to earlier ones, first row 7; each is read once" in said
    assert "table.csv: 2 of 4 images have no report, first row 5; they are left out of pre-training" in said
    assert found.metric("repeated_rows") == 2


def test_study_of_two_patients(refusal, folder, write_csv):
    rows = [["file", "person", "exam", "text"], ["1", "Q", "e", ""], ["2", "R", "e", ""]]
    write_csv(folder / "table.csv", rows)
    assert "has images of more than one patient" in refusal(folder, FOLDER)


def test_study_in_two_distributed_splits(refusal, mimic, write_csv):
    rows = [["dicom_id", "study_id", "subject_id", "split"], ["bbbb-1", "", "", "train"], ["bbbb-2", "", "", "test"]]
    write_csv(mimic / "mimic-cxr-2.0.0-split.csv.gz", rows)
    assert "study 57375967 is in more than one split" in refusal(mimic, {"layout": "mimic_cxr"})


def test_patients_must_name_every_image(refusal, rsna, write_csv):
    write_csv(rsna / "patients.csv", [["image_id", "patient_id"], ["a", "P"]])
    assert "no patient for image" in refusal(rsna, {"layout": "rsna", "patients": "patients.csv"})


def test_siim_with_two_files_of_one_image(refusal, siim):
    (siim / "dicom-images-train/1.1.dcm").touch()
    assert "are two files with one image id" in refusal(siim, {"layout": "siim"})


def test_data_set_name_that_is_a_path(refusal, rsna):
    assert "--dataset '../x'" in refusal(rsna, {"layout": "rsna"}, dataset="../x")


def test_warning_of_a_keyed_folder_names_no_path(index, folder, capsys):
    (folder / "a/3.png").unlink()
    index(folder, FOLDER)
    warning = capsys.readouterr().err
    assert "1 of 3 files" in warning
    assert "image-" in warning
    assert "3.png" not in warning


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ("{layout: folder}", "needs `table` and `columns`"),
        ("{layout: rsna, table: x.csv}", "belong to layout `folder`"),
        ("{layout: mimic_cxr, patients: x.csv}", "belongs to layouts `rsna` and `siim`"),
        ("{layout: folder, table: t, columns: {image: a, report: b}}", "reports need `patient`"),
        ("{layout: folder, table: t, columns: {image: a, patient: p, report: b, report_file: c}}", "keep one"),
        ("{layout: rsna, shards: 0}", "shards"),
        ("{layout: chexpert}", "layout"),
    ],
)
def test_settings_that_contradict(settings, complaint):
    model: type[Settings] = IndexInputsSettings
    with pytest.raises(InputError) as error:
        model.from_text(settings)
    assert complaint in str(error.value)


@pytest.mark.parametrize("path", ["./a/1.png", "a//1.png", "a/./1.png", "././a/.//1.png", " a/1.png  ", "a/1.png/"])
@pytest.mark.parametrize("ids", [{}, {"image_id": "exam"}])
def test_one_file_written_in_two_ways_is_one_image(refusal, folder, write_csv, path, ids):
    rows = [["file", "person", "exam", "text"], ["a/1.png", "Q", "e1", ""], [path, "R", "e2", ""]]
    write_csv(folder / "table.csv", rows)
    settings = {"layout": "folder", "table": "table.csv", "columns": {"image": "file", "patient": "person"} | ids}
    line = refusal(folder, settings)
    assert "table.csv: rows 2 and 3 have the same" in line
    assert "1.png" not in line, "a path may hold a name"


def test_a_path_has_one_spelling_as_id_and_on_disk(index, folder, write_csv):
    write_csv(folder / "table.csv", [["file", "person", "exam", "text"], ["./a//3.png", "Q", "e1", ""]])
    settings = {"layout": "folder", "table": "table.csv", "columns": {"image": "file"}, "identifiers": "distributed"}
    (file,) = index(folder, settings).files
    assert (file["image_id"], file["path"]) == ("a/3.png", "a/3.png")


def test_paths_in_other_case_are_one_file_where_the_file_system_says_so(refusal, index, folder, write_csv, capsys):
    rows = [["file", "person", "exam", "text"], ["a/3.png", "Q", "e1", ""], ["A/3.PNG", "Q", "e2", ""]]
    write_csv(folder / "table.csv", rows)
    assert len(index(folder, FOLDER).files) == 2, "the second is missing here"
    (folder / "A").mkdir()
    (folder / "A" / "3.PNG").touch()
    assert len(index(folder, FOLDER).files) == 2, "another file"
    (folder / "A" / "3.PNG").unlink()
    (folder / "A" / "3.PNG").hardlink_to(folder / "a" / "3.png")  # what a file system that folds case does
    capsys.readouterr()
    assert "table.csv: rows 2 and 3 name the same file" in refusal(folder, FOLDER)
