"""Tables of users: any name, separator, encoding or file format; nothing padded, cut or taken for something else."""

import csv
import gzip
import io
from datetime import time, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.data.index_tables import decimal_number, read_index, whole_number
from stages.common.data.own_tables import TableFormat
from stages.common.data.table_files import ROW
from stages.common.errors import InputError
from stages.index_inputs.contract import IndexInputsSettings

COLUMNS = {"image": "file", "patient": "person", "report": "text"}
FOLDER = {"layout": "folder", "table": "t.csv", "columns": COLUMNS, "identifiers": "distributed"}
KEYED = FOLDER | {"identifiers": "keyed"}
ROWS = [["file", "person", "text"], ["1.png", "P", "Größe, normal"], ["2.png", "Q", "No ; effusion"]]


def written(rows: list[list[str]], separator: str = ",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(rows)
    return text.getvalue()


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data").mkdir()
    for row in ROWS[1:]:
        (tmp_path / "data" / row[0]).touch()
    return tmp_path / "data"


@pytest.mark.parametrize(
    "name", ["t[1].csv", "t*.csv", "t?.csv", "file:t.csv", "s3:t.csv", "~t.csv", "{t}.csv", "t .csv"]
)
def test_a_name_is_no_pattern_and_no_address(index, root, name):
    for other in ("t1.csv", "tx.csv", "t.csv", "t"):
        (root / other).write_text(written([ROWS[0], ["wrong.png", "W", "wrong"]]))
    (root / name).write_text(written(ROWS))
    indexed = index(root, FOLDER | {"table": name})
    assert [file["image_id"] for file in indexed.files] == ["1.png", "2.png"]


@pytest.mark.parametrize("name", ["root[1]", "r*", "~", "s3:", "file:"])
def test_a_root_is_no_pattern_and_no_address(index, tmp_path, name):
    for folder, row in ((name, "right.png"), ("root1", "wrong.png"), ("rx", "wrong.png")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t.csv").write_text(f"file,person,text\n{row},P,x\n")
        (tmp_path / folder / row).touch()
    indexed = index(tmp_path / name, FOLDER)
    assert [file["image_id"] for file in indexed.files] == ["right.png"]
    assert indexed.metric("files_missing") == 0


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32"])
def test_separator_and_encoding_are_keys(index, root, separator, encoding):
    (root / "t.csv").write_bytes(written(ROWS, separator).encode(encoding))
    indexed = index(root, FOLDER | {"separator": separator, "encoding": encoding})
    assert [report["text"] for report in indexed.reports] == ["Größe, normal", "No ; effusion"]


@pytest.mark.parametrize(
    ("encoding", "remedy"),
    [
        ("utf-16", "the file looks like UTF-16; set encoding: utf-16"),
        ("utf-16-le", "the file looks like UTF-16; set encoding: utf-16"),
        ("latin-1", "line 2: not utf-8; set encoding, e.g. utf-8, latin-1, cp1252 or utf-16"),
    ],
)
@pytest.mark.parametrize("settings", [FOLDER, KEYED])
def test_another_encoding_names_the_key(refusal, root, settings, encoding, remedy):
    (root / "t.csv").write_bytes(written(ROWS).encode(encoding))
    line = refusal(root, settings)
    assert f"t.csv: {remedy}" in line
    assert "normal" not in line


@pytest.mark.parametrize(
    ("written_in", "declared", "complaint"),
    [
        ("utf-8", "latin-1", "the file is utf-8, not latin-1; set encoding: utf-8"),
        ("cp1252", "latin-1", "the file is cp1252, not latin-1; set encoding: cp1252"),
    ],
)
def test_a_text_that_another_encoding_would_garble_is_refused(refusal, root, written_in, declared, complaint):
    rows = [["file", "who", "text"], ["a.png", "p", "Gr\u00f6\u00dfe \u201cnormal\u201d"]]
    text = "\n".join(",".join(row) for row in rows)
    (root / "t.csv").write_bytes(text.encode(written_in))
    assert complaint in refusal(root, FOLDER | {"encoding": declared})


def test_a_wrong_encoding_key_names_it(refusal, root):
    (root / "t.csv").write_text(written(ROWS), encoding="utf-8")
    assert "t.csv: not utf-16; set encoding, e.g." in refusal(root, FOLDER | {"encoding": "utf-16"})


@pytest.mark.parametrize(("separator", "name"), [(";", "';'"), ("\t", r"'\t'"), ("|", "'|'")])
@pytest.mark.parametrize("settings", [FOLDER, KEYED])
def test_another_separator_names_the_key(refusal, root, settings, separator, name):
    (root / "t.csv").write_text(written([[cell.replace(",", "") for cell in row] for row in ROWS], separator))
    line = refusal(root, settings)
    assert f"no column file, person, text; it has 1 column, its cells seem to be separated by {name}: " in line
    assert line.endswith(f"set separator: {name}")


def test_a_distributed_table_has_no_such_keys(refusal, rsna):
    path = rsna / "stage_2_train_labels.csv"
    path.write_text(path.read_text().replace(",", ";"))
    assert refusal(rsna, {"layout": "rsna"}).endswith("save it with commas")
    path.write_bytes(path.read_text().encode("utf-16"))
    assert "looks like UTF-16; download it again, or save it as UTF-8" in refusal(rsna, {"layout": "rsna"})


@pytest.mark.parametrize(
    ("key", "value"), [("separator", ";;"), ("separator", ""), ("separator", '"'), ("separator", "\n"),
                       ("encoding", "utf-99"), ("encoding", "base64"), ("encoding", "rot13"), ("encoding", "")],
)  # fmt: skip
def test_keys_that_name_no_separator_or_encoding(key, value):
    with pytest.raises(ValueError, match=r"one character|unknown encoding"):
        IndexInputsSettings.model_validate(FOLDER | {key: value})


def test_a_tab_may_be_written_with_a_backslash():
    assert IndexInputsSettings.model_validate(FOLDER | {"separator": r"\t"}).separator == "\t"


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "tsv", "tsv.gz", "parquet", "jsonl", "jsonl.gz", "ndjson", "CSV"])
def test_every_format_holds_the_same_table(index, root, suffix):
    path, frame = root / f"t.{suffix}", pl.DataFrame(ROWS[1:], schema=ROWS[0], orient="row")
    kind = suffix.lower().removesuffix(".gz")
    text = io.BytesIO()
    if kind == "parquet":
        frame.write_parquet(text)
    elif kind in ("jsonl", "ndjson"):
        frame.write_ndjson(text)
    else:
        frame.write_csv(text, separator="\t" if kind == "tsv" else ",")
    path.write_bytes(gzip.compress(text.getvalue()) if suffix.endswith("gz") else text.getvalue())
    indexed = index(root, FOLDER | {"table": path.name})
    assert [(report["study_id"], report["patient_id"], report["text"]) for report in indexed.reports] == [
        tuple(row) for row in ROWS[1:]]  # fmt: skip


def test_cells_of_parquet_and_json_are_text(tmp_path):
    frame = pl.DataFrame({"n": [1, 2], "x": [1.5, float("nan")], "b": [True, None], "s": [" a ", ""], "l": [[1], [2]]})
    frame.write_parquet(tmp_path / "t.parquet")
    read = read_index(tmp_path, "t.parquet", ["n", "x", "b", "s"])
    assert read.rows() == [(1, "1", "1.5", "true", "a"), (2, "2", None, None, None)]
    (tmp_path / "t.jsonl").write_text('{"n": 007}\n')
    with pytest.raises(InputError, match="line 1 is not an object"):
        read_index(tmp_path, "t.jsonl", ["n"])
    (tmp_path / "t.jsonl").write_text('{"n": 1.50, "b": false}\n\n{"n": 12345678901234567890123}\n')
    assert read_index(tmp_path, "t.jsonl", ["n", "b"]).rows() == [
        (1, "1.50", "false"), (3, "12345678901234567890123", None)]  # fmt: skip


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float64])
def test_integers_that_parquet_holds_as_floats_are_integers(tmp_path, dtype):
    """As pandas writes them where a cell is blank; a column with any other number keeps its decimals."""
    cells = {
        "whole": [1000032.0, None, float("nan"), -0.0],
        "mixed": [1.0, 2.5, None, 3.0],
        "endless": [1.0, float("inf"), None, 2.0],
        "huge": [1e20, 1.0, None, 2.0],
        "blank": [None] * 4,
    }
    pl.DataFrame(cells, schema=dict.fromkeys(cells, dtype)).write_parquet(tmp_path / "t.parquet")
    read = read_index(tmp_path, "t.parquet", list(cells))
    assert read["whole"].to_list() == ["1000032", None, None, "0"]
    assert read["mixed"].to_list() == ["1.0", "2.5", None, "3.0"]
    assert read["endless"].to_list() == ["1.0", "inf", None, "2.0"]
    assert read["huge"].to_list()[1] == "1.0"
    assert read["blank"].to_list() == [None] * 4


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("t.jsonl", b'{"file": "1.png"}\n[1, 2]\n', "line 2 is not an object"),
        ("t.jsonl", b'{"file": {"a": 1}}\n', "line 1 is not an object"),
        ("t.jsonl", b'{"file": "1.png"\n', "line 1 is not an object"),
        ("t.jsonl", b'{"file": "1.png"}\n{"file": "1.png", "person": "P", "person": "Q"}', "line 2 has a key twice"),
        ("t.jsonl", b'{"file": "1.png", "person": "P", " person": "Q"}\n', "line 1 has a key twice"),
        ("t.jsonl", b'{"file": "1.png"}\n{"file": "\\ud800"}\n', "line 2 has half of a character"),
        ("t.jsonl", b'{"\\udfff": "1.png"}\n', "line 1 has half of a character"),
        ("t.jsonl", b'{"file": "1.png"}\n' + b"[" * 100_000 + b"]" * 100_000, "line 2 is not an object"),
        ("t.jsonl", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "line 1 is not an object"),
        ("t.parquet", b"file,person\n", "not readable as Parquet"),
        ("t.json", b"[]", "a table is a CSV, .tsv, .parquet or .jsonl file"),
        ("t.xlsx", b"PK\x03\x04", "a table is a CSV, .tsv, .parquet or .jsonl file"),
        ("t.csv", b"PK\x03\x04....", "a ZIP archive or a workbook"),
    ],
)
def test_what_is_no_table_is_one_line(refusal, root, name, content, complaint):
    (root / name).write_bytes(content)
    assert f"{name}: {complaint}" in refusal(root, FOLDER | {"table": name})


@pytest.mark.parametrize(
    "name", ["row", "index", "row_nr", "path", "image_id", "study_id", "patient_id", "report", "sha256"]
)
@pytest.mark.parametrize("image", [False, True])
def test_a_column_may_have_any_name(index, root, name, image):
    """Names that the code uses itself, as a column that nobody asked for and as the image's."""
    header = [name if image else "file", "person", "text", "x" if image else name]
    (root / "t.csv").write_text(written([header, *([*row, "7"] for row in ROWS[1:])]))
    indexed = index(root, FOLDER | {"columns": COLUMNS | {"image": header[0]}})
    assert [file["image_id"] for file in indexed.files] == ["1.png", "2.png"]


@pytest.mark.parametrize("name", ["row", "image_id", "patient_id", "path", "view"])
def test_a_distributed_table_may_have_any_other_column(index, mimic, write_csv, name):
    (mimic / "cxr-record-list.csv.gz").unlink()
    before = index(mimic, {"layout": "mimic_cxr"}).files
    path = mimic / "mimic-cxr-2.0.0-metadata.csv.gz"
    with gzip.open(path, "rt", newline="") as handle:
        rows = list(csv.reader(handle))
    write_csv(path, [[*row, "7" if number else name] for number, row in enumerate(rows)])
    assert index(mimic, {"layout": "mimic_cxr"}).files == before


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n\n", "\n   \n"])
@pytest.mark.parametrize("line", ["\n", "\r\n", "\r"])
def test_blank_lines_are_no_rows(index, root, end, line):
    text = line.join(["file,person,text", "1.png,P,x", "", "2.png,Q,y"]) + end
    (root / "t.csv").write_bytes(text.encode())
    assert [file["image_id"] for file in index(root, FOLDER).files] == ["1.png", "2.png"]


def test_blank_lines_count_as_lines_of_the_file(refusal, root):
    (root / "t.csv").write_text("file,person,text\n1.png,P,x\n\n2.png,,y\n")
    assert "t.csv: row 4: person is empty" in refusal(root, FOLDER)


def test_a_blank_line_at_the_end_of_one_column(tmp_path):
    (tmp_path / "list.csv").write_text("image_id\na\nb\n\n")
    assert read_index(tmp_path, "list.csv", ["image_id"])["image_id"].to_list() == ["a", "b"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("3.png,R", "row 3 has 2 cells, but the header has 3"),
        ("3.png", "row 3 has 1 cells, but the header has 3"),
        ("3.png,R,x,y", "row 3 has 4 cells, but the header has 3"),
        ("3.png,R,x,", "row 3 has 4 cells, but the header has 3"),
        ('3.png,R,"secret', "row 3: unexpected end of data"),
        ('3.png,R,"secret" x', "row 3: ',' expected after"),
    ],
)
@pytest.mark.parametrize("settings", [FOLDER, KEYED])
def test_a_row_is_never_padded_or_cut(refusal, root, settings, row, reason):
    (root / "t.csv").write_text(f"file,person,text\n1.png,P,x\n{row}\n")
    line = refusal(root, settings)
    assert f"t.csv: not readable as CSV ({reason}" in line
    assert "secret" not in line


def test_two_columns_of_one_name_are_no_column(refusal, index, root):
    (root / "t.csv").write_text("file,person, file,text\n1.png,P,2.png,x\n")
    assert "2 columns have the name file; rename or remove all but one" in refusal(root, FOLDER)
    pl.DataFrame({"file": ["1.png"], " file": ["2.png"], "person": ["P"], "text": ["x"]}).write_parquet(
        root / "t.parquet"
    )
    assert "2 columns have the name file" in refusal(root, FOLDER | {"table": "t.parquet"})
    (root / "t.csv").write_text("file,person,text,,\n1.png,P,x,,\n")
    assert len(index(root, FOLDER).files) == 1  # two without a name, which nobody asked for


@pytest.mark.parametrize(
    ("header", "asked", "hint"),
    [
        ("file,patient_id,text", "patientid", "did you mean `patient_id`?"),
        ("file,Patient ID,text", "patient_id", "did you mean `Patient ID`?"),
        ("file,patient_id,text", "patient", "did you mean `patient_id`?"),
        ("file,Smith-Jones,text", "Smithjonesy", ""),
    ],
)
def test_a_near_name_is_suggested_and_the_key_named(refusal, root, header, asked, hint):
    (root / "t.csv").write_text(f"{header}\n1.png,P,x\n")
    line = refusal(root, KEYED | {"columns": COLUMNS | {"patient": asked}})
    assert f"no column {asked}; correct the table or `columns.patient`; it has 3 columns of other names" in line
    assert hint in line
    assert "Smith-Jones" not in line, "without a header, the names of the columns are a patient's row"


def test_columns_of_parquet_that_are_no_text_are_left_out(tmp_path):
    frame = pl.DataFrame({"a": ["x"], "d": [timedelta(1)], "t": [time(1, 2)], "n": [None], "b": [b"x"]})
    frame.write_parquet(tmp_path / "t.parquet")
    assert read_index(tmp_path, "t.parquet", ["a"]).columns == [ROW, "a", "t", "n"]
    with pytest.raises(InputError, match="no column d"):
        read_index(tmp_path, "t.parquet", ["d"])


def test_a_report_may_be_longer_than_csv_allows_by_default(index, root):
    text = "No effusion. " * 100_000
    (root / "t.csv").write_text(f"file,person,text\n1.png,P,{text}\n")
    assert index(root, FOLDER).reports[0]["text"] == text.strip()


@pytest.mark.parametrize("column", ["image", "image_id", "patient", "study"])
@pytest.mark.parametrize("word", ["nan", "NaN", "NA", "None", "null", "n/a", " N/A "])
def test_a_word_for_a_missing_id_is_a_blank_cell(refusal, root, column, word):
    header = ["image", "image_id", "patient", "study", "text"]
    rows = [[f"{number}.png", f"i{number}", f"p{number}", f"s{number}", "x"] for number in range(3)]
    for row in rows[1:]:
        row[header.index(column)] = word
    (root / "t.csv").write_text(written([header, *rows]))
    columns = {"report": "text"} | {name: name for name in header[:4]}
    line = refusal(root, KEYED | {"columns": columns})
    assert f"t.csv: row 3: {column} is {word.strip()}, which stands for a missing value (2 such rows)" in line


def test_a_word_for_a_missing_patient_of_a_challenge_is_a_blank_cell(refusal, rsna, write_csv):
    write_csv(rsna / "patients.csv", [["image_id", "patient_id"], ["a", "p7"], ["b", "nan"], ["c", "nan"]])
    line = refusal(rsna, {"layout": "rsna", "patients": "patients.csv"})
    assert "patients.csv: row 3: patient_id is nan, which stands for a missing value (2 such rows)" in line


PAIRS_OF_IDS = [("p13613796", "p013613796"), ("p1", "P1"), ("7", "007"), ("p 1", "p1"), ("p1", "p\uff11"),
                ("1", "1.0"), ("p1", "p1.00"), ("straße", "STRASSE")]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), PAIRS_OF_IDS)
@pytest.mark.parametrize("settings", [FOLDER, KEYED])
def test_patients_that_are_nearly_one_are_named(index, root, capsys, settings, one, other):
    (root / "t.csv").write_text(f"file,person,text\n1.png,{one},x\n2.png,{other},y\n", encoding="utf-8")
    assert index(root, settings).metric("patients") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "differ only in zeros, case or blanks (1 such)" in line
    named = f"patients {one} and {other} (rows 2 and 3)"
    assert (named if settings is FOLDER else "the patients of rows 2 and 3") in line
    assert settings is FOLDER or "p13613796" not in line


@pytest.mark.parametrize("other", ["p\u200b1", "\ufeffp1", "p\u00ad1", "p\t1", "p\u20601"])
def test_ids_that_differ_in_what_nobody_sees_are_named_as_escapes(index, root, capsys, other):
    (root / "t.csv").write_text(f"file,person,text\n1.png,p1,x\n2.png,{other},y\n", encoding="utf-8")
    index(root, FOLDER)
    assert f"patients p1 and {other!a} (rows 2 and 3) differ only in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("one", "other"),
    [("p10", "p1"), ("1.0.2", "1.2"), ("a", "b"), ("p100", "p1000"), ("1.2.0", "1.2"), ("1.5", "1")],
)
def test_other_patients_are_not_named(index, root, capsys, one, other):
    (root / "t.csv").write_text(f"file,person,text\n1.png,{one},x\n2.png,{other},y\n")
    index(root, FOLDER)
    assert capsys.readouterr().err == ""


def test_patients_of_a_table_of_patients_are_compared(index, rsna, write_csv, capsys):
    write_csv(rsna / "patients.csv", [["image_id", "patient_id"], ["a", "p7"], ["b", "P07"], ["c", "q"]])
    index(rsna, {"layout": "rsna", "patients": "patients.csv"})
    assert "patients.csv: patients p7 and P07 (rows 2 and 3)" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["\uff11\uff12", "1_0", "\u0661", "1\u00a0", "", "x", "\u00b2"])
def test_what_is_no_number(text):
    for number in (whole_number, decimal_number):
        with pytest.raises(ValueError, match=r"number|invalid literal|could not convert"):
            number(text)


@given(st.integers())
def test_numbers(number):
    assert whole_number(str(number)) == number
    assert decimal_number(f"{number}.5") == float(f"{number}.5")


CELLS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5), st.sampled_from([",", ";", "\t", "|"]))
def test_any_cells_come_back(tmp_path_factory, cells, separator):
    root = tmp_path_factory.mktemp("t")
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *cells])
    (root / "t.csv").write_bytes(text.getvalue().encode())
    read = read_index(root, "t.csv", ["a", "b"], form=TableFormat(separator))
    assert read.select("a", "b").rows() == [tuple(cell.strip() or None for cell in row) for row in cells]
    assert read[ROW].to_list() == list(range(2, len(cells) + 2))


def test_a_relative_path_is_shown_where_it_leads(refusal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = tmp_path.resolve()
    assert f"nowhere: no such folder (looked for {here / 'nowhere'})" in refusal("nowhere", FOLDER)
    line = refusal("~/data", FOLDER)
    assert f"~/data: no such folder (looked for {here}/~/data); `~` is not expanded, write the folder out" in line
