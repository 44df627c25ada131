"""mlip new-dataset: columns by their names in several languages, roles that the user gives, and what it asks for."""

import polars as pl
import pytest
import yaml

from stages.__main__ import main
from stages.commands.column_names import column_words, patient_column
from workflow.doctor.indexes import Indexes, check_views

NUMBER = 60
FILES = [f"images/{number}.png" for number in range(NUMBER)]
REPORT = "FINDINGS: A large effusion on the left side."


def rows_of(*cells):
    """Rows of an image and one cell of each function of its number."""
    return [[file, *(cell(number) for cell in cells)] for number, file in enumerate(FILES)]


@pytest.mark.parametrize(
    ("name", "words"),
    [("Pat-ID", "pat id"), ("PatID", "pat id"), ("pat_id", "pat id"), ("MRNNumber", "mrn number"),
     ("Num\u00e9ro dossier", "numero dossier")],
)  # fmt: skip
def test_names_are_read_as_words(name, words):
    assert column_words(name) == words


@pytest.mark.parametrize(
    "name",
    ["Pat-ID", "PatID", "pat_id", "PATID", "Pat.-Nr.", "Patienten-ID", "Patientennummer", "MRN", "Subject ID",
     "Proband", "sujet", "ID_paciente", "participant_id"],
)  # fmt: skip
def test_the_patient_is_known_by_many_names(made, name):
    age = [40 + number % 30 for number in range(NUMBER)]
    rows = rows_of(lambda number: f"p{number // 2}", age.__getitem__, lambda _: REPORT)
    written = made(["img", name, "Patientenalter", "text"], rows)
    assert (written.columns["patient"], written.block["pretrain_on"]) == (name, "ours")


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ("Patient Group", "PatientID"),
        ("referring person", "Pat-ID"),
        ("Inpatient ward", "PID"),
        ("PatientBirthYear", "PatientID"),
        ("no_of_patients", "pid"),
        ("Patientengruppe", "Patientennummer"),
        ("PatientName", "pt_id"),
        ("person", "N\u00b0 de patient"),
    ],
)
def test_an_id_is_the_patient_beside_other_columns_of_patients(other, name):
    for names in ([other, name], [name, other]):
        assert patient_column(names, [], pl.DataFrame({each: ["a", "b"] for each in names})) == name


def test_a_patient_column_with_many_blanks_is_said_with_what_follows(made):
    written = made(["img", "Pat-ID", "text"], rows_of(lambda n: f"p{n}" if n % 5 > 1 else "", lambda _: REPORT))
    assert "patients     Pat-ID has 24 blank cells in 60 rows: not used, so that no report is read" in written.said
    assert "no column" not in written.said.split("reports ")[0]


def test_two_columns_of_a_study_are_both_written(made, tmp_path):
    cells = (lambda number: f"p{number // 2}", lambda number: f"e{number % 2}", lambda _: REPORT)
    made(["img", "Pat", "Exam", "text"], rows_of(*cells))
    main(["new-dataset", str(tmp_path / "ours" / "t.csv"), "--output", str(tmp_path / "two"),
          "--column", "study=Pat,Exam"])  # fmt: skip
    block = yaml.safe_load((tmp_path / "two" / "ours.yaml").read_text())
    columns = block["datasets"]["ours"]["index_inputs"]["columns"]
    assert columns == {"image": "img", "patient": "Pat", "study": ["Pat", "Exam"], "report": "text"}


@pytest.mark.parametrize(
    ("header", "box"),
    [(["bbox"], ["1,5 2,5 10,0 12,0"]), (["x", "y", "w", "h"], ["1,5", "2,5", "10,0", "12,0"])],
)
def test_boxes_with_decimal_commas_are_no_report_and_said(made, header, box):
    cells = [lambda _, cell=cell: cell for cell in box]
    written = made(["img", "Pat-ID", "Mass", *header], rows_of(lambda n: f"p{n}", lambda n: n % 2, *cells))
    assert "reports      none" in written.said
    assert f"no boxes     {', '.join(header)}: numbers have decimal commas ({box[0]}), which are read" in written.said
    assert "report" not in written.columns


@pytest.mark.parametrize(
    ("words", "uncertain", "unlabelled"),
    [
        (["ja", "nein", "unklar", "fraglich", "unbekannt", "k.A.", "n/a"], ["fraglich", "unklar"],
         ["k.A.", "n/a", "unbekannt"]),
        (["vorhanden", "nicht vorhanden"], None, None),
        (["j", "n"], None, None),
    ],
)  # fmt: skip
def test_german_labels_are_read(made, words, uncertain, unlabelled):
    written = made(["img", "Pat-ID", "Erguss"], rows_of(lambda n: f"p{n}", lambda n: words[n % len(words)]))
    labels = written.labels
    assert (labels["positive_values"], labels["negative_values"]) == (words[:1], words[1:2])
    assert (labels.get("uncertain_values"), labels.get("unlabelled_values")) == (uncertain, unlabelled)


def test_words_that_are_not_understood_are_quoted(made):
    words = ["ja", "nein", "ja", "nein", "ja", "klein", "gross", "beidseits", "links"]
    written = made(["img", "Pat-ID", "Erguss"], rows_of(lambda n: f"p{n}", lambda n: words[n % 9]))
    said = "Erguss: not understood beside yes and no: 'beidseits', 'gross', 'klein', 'links'; write yes, no or unknown"
    assert f"no finding   {said}" in written.said


@pytest.mark.parametrize("name", ["Fallnummer", "Fall-Nr", "case_id", "N\u00b0 dossier"])
def test_a_case_is_the_patient_where_nothing_else_is(made, name):
    written = made(["img", name, "text"], rows_of(lambda number: f"c{number // 2}", lambda _: REPORT))
    assert written.columns["patient"] == name
    assert "by its name of cases: if a patient has several, name patients: --column patient=COLUMN" in written.said
    assert "# patient" not in written.text


def test_a_case_is_not_the_patient_beside_one(made):
    cells = (lambda number: f"c{number}", lambda number: f"p{number // 2}", lambda _: REPORT)
    assert made(["img", "Fallnummer", "Pat-ID", "text"], rows_of(*cells)).columns["patient"] == "Pat-ID"


def test_candidates_for_the_patient_are_named_and_can_be_given(made, tmp_path, capsys):
    rows = rows_of(lambda number: f"k{number // 2}", lambda number: f"x{number}", lambda _: REPORT)
    written = made(["img", "Key A", "serial", "text"], rows)
    asked = "if `Key A` holds them: --column patient='Key A'; if `serial` holds them: --column patient=serial"
    assert f"patients     in no column that is known by its name; {asked}" in written.said
    assert "      # patient: COLUMN  # ids of patients; reports and the split need it\n" in written.text
    assert "      # view: COLUMN  # PA, AP, LATERAL, ...\n" in written.text
    main(["new-dataset", str(tmp_path / "ours" / "t.csv"), "--output", str(tmp_path / "two"),
          "--column", "patient=Key A", "--column", "study=serial"])  # fmt: skip
    block = yaml.safe_load((tmp_path / "two" / "ours.yaml").read_text())
    columns = block["datasets"]["ours"]["index_inputs"]["columns"]
    assert columns == {"image": "img", "patient": "Key A", "study": "serial", "report": "text"}
    assert "patients     Key A" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("patient=Nam", "--column patient=Nam: {table} has no column Nam (did you mean `Name`?); columns: img"),
        ("person=Name", "--column person=Name: no role with a column; write ROLE=COLUMN, ROLE one of image, patient"),
        ("mask=img,Name", "--column mask=img,Name: too many columns"),
        ("boxes=Name", "--column boxes=Name: holds no boxes"),
        ("split=Name", "--column split=Name: {table} has the cell 'n0', which names no part"),
    ],
)
def test_a_wrong_role_is_refused(made, tmp_path, capsys, given, message):
    made(["img", "Name", "text"], rows_of(lambda number: f"n{number}", lambda _: REPORT))
    table = tmp_path / "ours" / "t.csv"
    with pytest.raises(SystemExit):
        main(["new-dataset", str(table), "--output", str(tmp_path / "two"), "--column", given])
    assert message.format(table=table) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("width", "height"), [("breite", "hoehe"), ("Breite", "H\u00f6he"), ("largeur", "hauteur"), ("ancho", "alto")]
)
def test_boxes_of_one_of_several_findings(made, width, height):
    """The boxes are of the only finding that every row with a box has."""
    cells = [lambda number: f"p{number}", lambda number: number % 2, lambda number: int(number % 3 == 0)]
    boxes = [lambda number, side=side: side if number % 2 else "" for side in (1, 2, 20, 30)]
    written = made(["img", "Pat-ID", "Effusion", "Edema", "x", "y", width, height], rows_of(*cells, *boxes))
    assert written.labels["findings"] == {
        "effusion": {"target": "Effusion", "boxes": ["x", "y", width, height]}, "edema": "Edema"}  # fmt: skip
    assert "boxes: of Effusion, the only finding that is present in every row with one" in written.said
    assert not {"few_shot_segmentation", "phrase_grounding"} & set(written.config.not_measured(written.name))


def test_boxes_of_no_certain_finding_are_asked_for_with_what_to_write(made):
    cells = [lambda number: f"p{number}", lambda number: number % 2, lambda number: int(number % 3 == 0)]
    boxes = [lambda number: "1 2 20 30" if number % 5 else ""]
    written = made(["img", "Pat-ID", "Effusion", "Edema", "bbox"], rows_of(*cells, *boxes))
    assert "boxes: of which finding? Write it under label_images.findings, e.g. `effusion: {target: Effusion, " in (
        written.said)  # fmt: skip
    assert (
        "not measured few_shot_segmentation: no boxes or masks of a known finding (see `boxes` above)" in written.said
    )


def test_images_that_the_default_views_leave_out_are_said_and_written(made):
    views = ("PA", "ap supine", "lateral")
    cells = (lambda number: f"p{number}", lambda number: views[number % 3], lambda _: REPORT)
    written = made(["img", "Pat-ID", "Aufnahme", "text"], rows_of(*cells))
    left = "the default views, PA and AP, leave out 20 of 60 images: LATERAL 20"
    assert f"             {left}; to take all, set `views: []` under dicom_to_arrow" in written.said
    assert f"    dicom_to_arrow:\n      # views: {left}; [] takes all\n      views:\n" in written.text
    (found,) = check_views(written.config, written.name, Indexes(written.config))
    assert (found.status, "20 of 60 images are not of the views PA, AP: LATERAL 20" in found.what) == ("warning", True)


def test_nothing_is_said_of_views_that_are_all_taken(made):
    written = made(["img", "Pat-ID", "Aufnahme"],
                   rows_of(lambda number: f"p{number}", lambda number: ("PA", "AP")[number % 2]))  # fmt: skip
    assert "leave out" not in written.said
    assert "dicom_to_arrow" not in written.data


@pytest.mark.parametrize(
    ("report", "label", "positive", "negative"),
    [
        ("Befund: Erguss links.\nBeurteilung: Erguss.", "Pleuraerguss", "Pleuraerguss vorhanden.",
         "Pleuraerguss nicht vorhanden."),
        ("R\u00e9sultat : un \u00e9panchement.\nConclusion : \u00e9panchement.", "\u00c9panchement",
         "Avec \u00e9panchement.", "Sans \u00e9panchement."),
        ("Hallazgos: derrame izquierdo.\nImpresi\u00f3n: derrame.", "Derrame", "Hay derrame.", "No hay derrame."),
    ],
)  # fmt: skip
def test_prompts_are_in_the_language_of_the_reports(made, report, label, positive, negative):
    cells = (lambda number: f"p{number}", lambda number: number % 2, lambda _: report)
    written = made(["img", "Pat-ID", label, "text"], rows_of(*cells))
    sets = yaml.safe_load(written.prompts.read_text(encoding="utf-8"))["sets"]
    assert sets["there_is"] == {"positive": [positive], "negative": [negative]}
    assert ", with the words of the table: check ours_prompts.yaml" in written.said


def test_english_prompts_of_other_reports_are_said_to_need_a_translation(made):
    report = "Bevindingen: pleuravocht links.\nConclusie: pleuravocht."
    cells = (lambda number: f"p{number}", lambda number: number % 2, lambda _: report)
    written = made(["img", "Pat-ID", "Pleuravocht", "text"], rows_of(*cells))
    assert "prompts      in English, although the reports are dutch: translate ours_prompts.yaml" in written.said
