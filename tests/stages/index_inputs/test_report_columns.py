"""Reports in two columns: composed with headers that split_reports finds, whatever the language of the reports."""

from typing import get_args

import pytest

from stages.common.errors import InputError
from stages.common.settings import validating
from stages.index_inputs.contract import IndexInputsSettings
from stages.split_reports.headers import Language, header_names
from stages.split_reports.languages import better_language
from stages.split_reports.sections import select_sections

TEXTS = {
    "english": ("The lungs are clear. No effusion.", "No acute process."),
    "spanish": ("Pulmones claros. Sin derrame.", "Sin hallazgos agudos."),
    "french": ("Les poumons sont clairs.", "Pas d'épanchement."),
    "german": ("Keine Stauung. Herz normal groß.", "Kein Erguss."),
    "italian": ("Polmoni espansi.", "Nessun versamento."),
    "portuguese": ("Pulmões limpos.", "Sem derrame."),
    "dutch": ("De longen zijn helder.", "Geen pleuravocht."),
}


def settings(report: object, **more) -> dict:
    columns = {"image": "file", "patient": "person", "report": report}
    return {"layout": "folder", "table": "t.csv", "columns": columns, "identifiers": "distributed"} | more


def texts(index, root, report: object, rows: list[list[str]], write_csv) -> dict[str, str]:
    write_csv(root / "t.csv", [["file", "person", "F", "Impression"], *rows])
    return {report["study_id"]: report["text"] for report in index(root, settings(report)).reports}


def test_blank_cells_leave_their_section_out(index, tmp_path, write_csv):
    rows = [["1.png", "P", "Clear.", "Normal."], ["2.png", "P", "", "Normal."], ["3.png", "P", "Clear.", " "],
            ["4.png", "P", "", ""]]  # fmt: skip
    found = texts(index, tmp_path, {"findings": "F", "impression": "Impression"}, rows, write_csv)
    assert found == {"1.png": "FINDINGS: Clear.\n\nIMPRESSION: Normal.", "2.png": "IMPRESSION: Normal.",
                     "3.png": "FINDINGS: Clear."}  # fmt: skip


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize("start", ["", "FINDINGS: "])
def test_split_reports_finds_both_sections_in_every_language(index, tmp_path, write_csv, language, start):
    findings, impression = TEXTS[language]
    rows = [["1.png", "P", start + findings + "\n\nZweite Zeile", impression]]
    text = texts(index, tmp_path, {"findings": "F", "impression": "Impression"}, rows, write_csv)["1.png"]
    sections = select_sections(text, ["findings", "impression"], "reject", header_names(language))
    said = {name: "".join(text[each.start : each.end] for each in sections if each.name == name).strip()
            for name in ("findings", "impression")}  # fmt: skip
    assert said == {"findings": f"{findings}\n\nZweite Zeile", "impression": impression}
    assert better_language([text] * 20, language) is None


def test_headers_of_the_settings_still_come_first():
    names = header_names("german", {"IMPRESSION": "findings"})
    [section] = select_sections("IMPRESSION: Kein Erguss.", ["findings"], "reject", names)
    assert section.name == "findings"


def test_a_list_names_columns_by_their_sections(index, tmp_path, write_csv):
    write_csv(tmp_path / "t.csv", [["file", "person", "Findings", "Impression"], ["1.png", "P", "Clear.", "Normal."]])
    reports = index(tmp_path, settings(["Findings", "Impression"])).reports
    assert [report["text"] for report in reports] == ["FINDINGS: Clear.\n\nIMPRESSION: Normal."]


@pytest.mark.parametrize(
    ("report", "complaint"),
    [
        (["text", "more"], "name the columns by what they hold: {findings: COLUMN, impression: COLUMN}"),
        ({"finding": "a"}, "name the columns by what they hold"),
        ({}, "name the columns by what they hold"),
        ([], "name the columns by what they hold"),
        ({"findings": "a", "impression": "a"}, "findings and impression are one column"),
    ],
)
def test_columns_without_a_section_are_refused(report, complaint):
    with pytest.raises(InputError) as refused, validating("config.yaml", IndexInputsSettings):
        IndexInputsSettings.model_validate(settings(report))
    assert complaint in str(refused.value)


def test_a_missing_column_is_named_with_its_key(refusal, tmp_path, write_csv):
    write_csv(tmp_path / "t.csv", [["file", "person", "Findings"], ["1.png", "P", "Clear."]])
    line = refusal(tmp_path, settings({"findings": "Findings", "impression": "Conclusion"}))
    assert "no column Conclusion; correct the table or `columns.report`" in line
