"""Paths and report texts of keyed data sets: only the private folder has them, and only its tables fit the index."""

import stat

import pytest

from stages.common.data.private_sources import is_keyed, reveal
from stages.common.errors import InputError
from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table

FOLDER = {"layout": "folder", "table": "table.csv", "columns": {"image": "file", "patient": "person", "study": "exam",
                                                                "report": "text"}}  # fmt: skip


@pytest.fixture
def both(index, folder):
    """The same data set keyed and as distributed."""
    return index(folder, FOLDER, dataset="ours"), index(
        folder, FOLDER | {"identifiers": "distributed"}, dataset="plain"
    )


def tables(indexed):
    reports = indexed.files_path.with_name("reports.arrow")
    return read_table(indexed.files_path, schemas.FILES), read_table(reports, schemas.REPORTS)


def test_hidden_columns_come_back_row_by_row(both):
    ours, plain = both
    for hidden, open_ in zip(tables(ours), tables(plain), strict=True):
        assert is_keyed(hidden)
        assert not is_keyed(open_)
        assert hidden["path"].null_count == len(hidden)
        back = reveal(hidden, ours.private)
        assert back["path"].equals(open_["path"])
        assert reveal(open_, None) is open_
    assert reveal(tables(ours)[1], ours.private)["text"].to_pylist() == ["Clear lungs.\nNo effusion."]


def test_private_tables_are_private(both):
    for path in both[0].private.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_no_byte_of_the_tables_names_a_file_or_quotes_a_report(both):
    for name in ("files.arrow", "reports.arrow", "journal.json"):
        content = both[0].files_path.with_name(name).read_bytes()
        assert b"effusion" not in content
        assert b".png" not in content


@pytest.mark.parametrize("column", ["text", "file"])
def test_a_changed_report_or_path_changes_the_table_that_stages_depend_on(index, folder, column):
    settings = FOLDER | {"columns": FOLDER["columns"] | {"image_id": "projection"}}
    text = "file,person,exam,text,projection\na.png,Q,e1,Clear.,i1\n"
    contents = []
    for version in (text, text.replace("Clear." if column == "text" else "a.png", "changed")):
        (folder / "table.csv").write_text(version)
        indexed = index(folder, settings)
        contents.append([indexed.files_path.with_name(f"{name}.arrow").read_bytes() for name in ("files", "reports")])
    assert contents[0] != contents[1]


def test_without_the_private_table_the_remedy_is_named(both):
    ours = both[0]
    files, reports = tables(ours)
    with pytest.raises(InputError, match="--private"):
        reveal(files, None)
    (ours.private / "ours_files.arrow").unlink()
    (ours.private / "ours_reports.arrow").write_bytes(b"another")
    for table in (files, reports):
        with pytest.raises(InputError, match="run index_inputs of the data set again"):
            reveal(table, ours.private)


def test_errors_of_keyed_data_sets_quote_nothing(index, folder, mimic, siim, rsna, write_csv, capsys):
    """A table without a header, ids that repeat, studies in two splits: each of them used to be named."""
    keyed = {"identifiers": "keyed"}
    (folder / "table.csv").write_text("canary.png,canary,canary,canary\n")
    (mimic / "mimic-cxr-2.0.0-split.csv.gz").unlink()
    records = [["subject_id", "study_id", "dicom_id", "path"], *[["1", "2", "canary", "x"]] * 2]
    write_csv(mimic / "cxr-record-list.csv.gz", records)
    write_csv(rsna / "patients.csv", [["image_id", "patient_id"], ["canary", "P"]])
    (siim / "dicom-images-train" / "1.1.dcm").touch()
    cases = [(folder, FOLDER), (mimic, {"layout": "mimic_cxr"} | keyed), (siim, {"layout": "siim"} | keyed),
             (rsna, {"layout": "rsna", "patients": "patients.csv"} | keyed)]  # fmt: skip
    for root, settings in cases:
        with pytest.raises(SystemExit):
            index(root, settings, dataset="ours")
        message = capsys.readouterr().err
        assert message.startswith("error: ")
        journal = (root.parent / "out" / "ours" / "journal.json").read_text()
        for shown in (message, journal):
            assert "canary" not in shown
            assert "1.1.dcm" not in shown
            assert "image a" not in shown
