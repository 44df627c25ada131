"""Sections by header: a table of layouts, properties under Hypothesis, linear work."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.split_reports.header_search import find_headers
from stages.split_reports.headers import SECTIONS, header_names
from stages.split_reports.sections import WHOLE_REPORT, read_sections, select_sections
from stages.split_reports.sentences import fold

BOTH = ("findings", "impression")


def sections_of(text, wanted=BOTH, fallback="reject"):
    chosen = select_sections(text, wanted, fallback)
    return [(section.name, fold(text[section.start : section.end])) for section in chosen]


MIMIC = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with cough  // pneumonia?

 TECHNIQUE:  Chest PA and lateral

 COMPARISON:  ___

 FINDINGS:

 LUNGS: Clear on
 both sides.  HEART: Normal.

 IMPRESSION:

 No acute process.

 NOTIFICATION:  Told to Dr. ___ at noon.
"""

# Behind "F:" and "I:" stands what is expected of the two sections, in the order of the settings.
LAYOUTS = {
    "mimic": (MIMIC, "F: LUNGS: Clear on both sides. HEART: Normal. | I: No acute process."),
    "one line": ("FINDINGS: Clear. IMPRESSION: Normal.", "F: Clear. | I: Normal."),
    "one line, titles": ("Findings: Clear. Impression: Normal.", "F: Clear. | I: Normal."),
    "mixed case": ("Findings: Clear.\nimpression : Normal.", "F: Clear. | I: Normal."),
    "no colon": ("FINDINGS\nClear.\n\n  IMPRESSION  \nNormal.", "F: Clear. | I: Normal."),
    "conclusion": ("CONCLUSION: Normal.", "I: Normal."),
    "merged": ("FINDINGS AND IMPRESSION: Clear.", "F: Clear."),
    "merged by a stroke": ("IMPRESSION/RECOMMENDATION(S): Follow up.", "I: Follow up."),
    "merged by a sign": ("FINDINGS & IMPRESSION: Clear.", "F: Clear."),
    "carriage returns": ("FINDINGS:\r\nClear.\r\nIMPRESSION\r\nNormal.", "F: Clear. | I: Normal."),
    "order as configured": ("IMPRESSION: Normal. FINDINGS: Clear.", "F: Clear. | I: Normal."),
    "twice": ("FINDINGS: Clear. IMPRESSION: Normal. FINDINGS: Wires.", "F: Clear. | F: Wires. | I: Normal."),
    "missing blank": ("FINDINGS:Clear.IMPRESSION:Normal.", "F: Clear. | I: Normal."),
    "longer name": ("CHEST FINDINGS: Clear.\nFINAL IMPRESSION: Normal.", "F: Clear. | I: Normal."),
    "a state before": ("FINDINGS: Clear.\nPRELIMINARY IMPRESSION: Normal.", "F: Clear. | I: Normal."),
    "states in small letters": ("Overall preliminary findings: Clear.\nImpression, final: Old.", "F: Clear. | I: Old."),
    "a state on the same line": ("FINDINGS: Clear. WET READ IMPRESSION: Normal.", "F: Clear. | I: Normal."),
    "a state without a colon": ("FINDINGS: Clear.\nPRELIMINARY IMPRESSION\nNormal.", "F: Clear. | I: Normal."),
    "a part of the body before": ("CHEST AND ABDOMEN FINDINGS: Clear.\nABDOMEN FINDINGS: Gas.", "F: Clear. | F: Gas."),
    "a finding before": ("FINDINGS: Clear.\nNORMAL IMPRESSION: Old.", "F: Clear. NORMAL | I: Old."),
    "a finding in words of the body": ("FINDINGS:\nPULMONARY EDEMA IMPRESSION: Old.", "F: PULMONARY EDEMA | I: Old."),
    "a state of a clinical name": ("FINDINGS: Clear.\nADDITIONAL HISTORY: Cough.", "F: Clear."),
    "a state of an examination": ("FINDINGS: Clear.\nOTHER STUDIES: A mass.", "F: Clear. OTHER STUDIES: A mass."),
    "findings before a header": ("LARGE EFFUSION. CHEST TUBE IN PLACE. FINDINGS: Clear.", "F: Clear."),
    "words of a sentence": ("FINDINGS: The impression: none.", "F: The impression: none."),
    "markup": ("## IMPRESSION: Normal.", "I: Normal."),
    "empty section": ("FINDINGS: IMPRESSION: Normal.", "F: | I: Normal."),
    "unknown header": ("FINDINGS: Clear.\nBONES: Normal.", "F: Clear. BONES: Normal."),
    "conclusion of several": ("CONCLUSION(S):\n1. Normal.", "I: 1. Normal."),
    "merged without a link": ("FINDINGS IMPRESSION: Clear.", "F: Clear."),
    "in parentheses": ("IMPRESSION (PRELIMINARY): Normal.", "I: Normal."),
    "with a number behind": ("FINDINGS 1: Clear.\nIMPRESSION #2: Normal.", "F: Clear. | I: Normal."),
    "with a number before": ("1. FINDINGS: Clear.\n2. IMPRESSION: Normal.", "F: Clear. | I: Normal."),
    "in bold": ("**FINDINGS:** Clear.\n\n__IMPRESSION__:\nNormal.", "F: Clear. | I: Normal."),
    "between stars": ("*** FINDINGS ***\nClear.\n=== IMPRESSION ===\nNormal.", "F: Clear. | I: Normal."),
    "dash": ("FINDINGS - Clear.\nIMPRESSION -- Normal.", "F: Clear. | I: Normal."),
    "stop": ("FINDINGS. Clear.\nIMPRESSION. Normal.", "F: Clear. | I: Normal."),
    "neither colon nor line": ("FINDINGS Clear lungs.\nIMPRESSION 1. Normal.", "F: Clear lungs. | I: 1. Normal."),
    "titles alone": ("Findings\nClear.\n\nImpression\nNormal.", "F: Clear. | I: Normal."),
    "a letter missing": ("FINDNGS: Clear.\nIMPRESION: Normal.\nCOMPARSION: Old.", "F: Clear. | I: Normal."),
    "letters swapped": ("FIDNINGS: Clear.\nIMPRESSOIN: Normal.", "F: Clear. | I: Normal."),
    "a letter too many": ("FINDINNGS: Clear.\nIMPRESSSION: Normal.\nCOMPARISION: Old.", "F: Clear. | I: Normal."),
    "a wrong letter": ("Findimgs: Clear.\nImpreasion: Normal.", "F: Clear. | I: Normal."),
    "no slip within a line": ("FINDINGS: See FINDNGS: clear.", "F: See FINDNGS: clear."),
    "examination's name": ("PA AND LATERAL CHEST: Clear.\n\nIMPRESSION: Normal.", "F: Clear. | I: Normal."),
    "chest, views": ("CHEST, TWO VIEWS:\nClear.", "F: Clear."),
    "views of the chest": ("COMPARISON: None.\n\nFRONTAL AND LATERAL VIEWS OF THE CHEST: Clear.", "F: Clear."),
    "portable, with the hour": ("PORTABLE AP CHEST RADIOGRAPH, ___ AT 05:45 HOURS: Clear.", "F: Clear."),
    "single view": ("Single upright portable view of the chest: Clear.", "F: Clear."),
    "no examination's name": ("FINDINGS: Clear.\nCHEST WALL: Normal.", "F: Clear. CHEST WALL: Normal."),
    "an hour is no header": ("FINDINGS: Told at 5:45 pm. Clear.", "F: Told at 5:45 pm. Clear."),
    "provisional": ("PROVISIONAL FINDINGS IMPRESSION (PFI): Old.\nIMPRESSION: Normal.", "I: Normal."),
    "wet read": ("WET READ: ___ 8:40 PM\n Clear.\nFINAL REPORT\nFINDINGS: Clear lungs.", "F: Clear lungs."),
    "wet read version": ("WET READ VERSION #1: Clear.\nIMPRESSION: Normal.", "I: Normal."),
    "addendum with sections": ("ADDENDUM: Late.\nIMPRESSION: Normal.\nFINAL REPORT\nFINDINGS: Clear.",
                               "F: Clear. | I: Normal."),
    "addendum without a colon": ("IMPRESSION: Normal.\n\n ADDENDUM  The line is old.\n ADDENDUM: Told.", "I: Normal."),
    "two reports": ("FINAL REPORT\nFINDINGS: Clear.\nIMPRESSION: Normal.\n____\nFINAL REPORT\nFINDINGS: Same.\n"
                    "IMPRESSION: No change.", "F: Clear. | F: Same. | I: Normal. ____ | I: No change."),
    "header of nothing at the end": ("FINDINGS: Clear.\nIMPRESSION:", "F: Clear. | I:"),
    "in capitals, behind words": ("LUNGS ARE CLEAR IMPRESSION: NORMAL.", "I: NORMAL."),
    "no blank before, a letter": ("FINDINGS: ClearIMPRESSION: Normal.", "F: ClearIMPRESSION: Normal."),
    "reason and findings": ("REASON FOR EXAM: Cough. FINDINGS: Clear.", "F: Clear."),
    "other ends": ("FINDINGS: Clear.\nRECOMMENDATION(S): CT.\nNOTIFICATION: Told.", "F: Clear."),
    "open-i": ("COMPARISON: None.\nINDICATION: XXXX.\nFINDINGS: Clear.\nIMPRESSION: Normal.", "F: Clear. | I: Normal."),
    "no header": ("Lungs: clear. Heart: normal.", ""),
    "other headers only": ("INDICATION: Cough.\nLungs clear.", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name):
    text, expected = LAYOUTS[name]
    found = [f"{section[0].upper()}: {content}".strip() for section, content in sections_of(text)]
    assert " | ".join(found) == expected


def test_a_merged_section_is_the_first_that_is_asked_for():
    text = "FINDINGS AND IMPRESSION: Clear."
    assert sections_of(text, ("impression", "findings")) == [("impression", "Clear.")]
    assert sections_of(text, ("impression",)) == [("impression", "Clear.")]


def test_whole_report_leaves_out_headers_alone():
    text = "FINAL REPORT\nINDICATION: Cough.\nLungs clear."
    assert sections_of(text, fallback="whole_report") == [
        (WHOLE_REPORT, ""),
        (WHOLE_REPORT, ""),
        (WHOLE_REPORT, "Cough. Lungs clear."),
    ]
    assert sections_of("Lungs clear.", fallback="whole_report") == [(WHOLE_REPORT, "Lungs clear.")]
    assert sections_of("INDICATION: Cough. FINDINGS: Clear.", fallback="whole_report") == [("findings", "Clear.")]


UNHEADED = {
    "plain text": ("Lungs clear.", ["Lungs clear."]),
    "behind the title": ("FINAL REPORT\n Lungs clear.\n\n Heart normal.", ["Lungs clear. Heart normal."]),
    "behind the clinical sections": (
        " FINAL REPORT\n INDICATION:  Cough\n fever.\n\n COMPARISON:\n\n ___.\n \n Lungs clear.\n\n Heart normal.\n",
        ["Lungs clear. Heart normal."],
    ),
    "behind carriage returns": ("TECHNIQUE: Two views.\r\n\r\nLungs clear.", ["Lungs clear."]),
    "before the first header": ("Lungs clear.\nINDICATION: Cough.", ["Lungs clear."]),
    "not the wet read where there is more": (
        "WET READ: Tube high.\nFINAL REPORT\nHISTORY: Cough.\n\nTube low.",
        ["Tube low."],
    ),
    "the wet read where there is nothing else": ("WET READ: Tube high.\nFINAL REPORT\nHISTORY: Cough.", ["Tube high."]),
    "an addendum": ("ADDENDUM: Tube high.", ["Tube high."]),
    "an empty section that was asked for": ("INDICATION: Cough.\n\nLungs clear.\n\nIMPRESSION: ___.", ["Lungs clear."]),
    "nothing but clinical sections": ("INDICATION: Cough.\nCOMPARISON: None.", []),
    "not the recommendation": ("RECOMMENDATION: CT.\n\nIn a year.", []),
}


@pytest.mark.parametrize("name", UNHEADED)
def test_without_a_wanted_header_what_stands_under_none_is_taken(name):
    text, expected = UNHEADED[name]
    assert sections_of(text, fallback="unheaded") == [(WHOLE_REPORT, content) for content in expected]


def test_wanted_sections_are_not_mixed_with_the_rest():
    text = "Lungs clear.\nIMPRESSION: Normal."
    assert sections_of(text, fallback="unheaded") == [("impression", "Normal.")]
    assert sections_of(text, ("wet_read",), "unheaded") == [(WHOLE_REPORT, "Lungs clear.")]


PIECES = [
    *("FINDINGS", "Findings", "impression", "FINAL REPORT", "HISTORY", "AND", "(S)", "Clear", "a"),
    *("/", "&", ":", ".", " ", "\n", "\r\n", "\t"),
]


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.lists(st.sampled_from(PIECES), max_size=20).map("".join), st.text(max_size=40)))
def test_headers_and_sections_tile_the_text(text):
    headers = find_headers(text)
    offsets = [0, *(offset for header in headers for offset in header[:2]), len(text)]
    assert offsets == sorted(offsets)
    pieces = sorted(select_sections(text, SECTIONS, "whole_report"), key=lambda section: section.start)
    ends = [0, *(offset for section in pieces for offset in section[1:]), len(text)]
    assert ends == sorted(ends)
    if pieces[0].name == WHOLE_REPORT:  # the pieces and the headers are all of the text
        assert sum(piece.end - piece.start for piece in pieces) + sum(h.end - h.start for h in headers) == len(text)


@pytest.mark.parametrize(
    "unit",
    [
        ":",
        "A:",
        "FINDINGS ",
        "FINDINGS:",
        "_",
        "\n_",
        "* ",
        "=",
        "(",
        ")",
        "1",
        "1.",
        "\r",
        "A.",
        "FINDINGS",
        "5:",
        "\0",
        "\n",
        "\nA",
        " ",
        "\n" + " " * 50,
        "\nFINAL REPORT",
        "A ",
    ],
)
def test_hostile_text_ends(unit):
    text = unit * (300_000 // len(unit))
    assert len(find_headers(text)) <= len(text) // 9


BEHIND_ANOTHER_HEADER = {
    "TECHNIQUE: AP.\nThere is a large left pneumothorax.\nIMPRESSION: Stable lines.": (
        ["Stable lines.", "There is a large left pneumothorax."], []),
    "COMPARISON: None. There is a nodule.\nIMPRESSION: ok": (["ok", "There is a nodule."], []),
    "EXAM: CHEST 2 VIEWS. Nodule.\nIMPRESSION: ok": (["ok", "Nodule."], []),
    "HISTORY: TB. LUNGS: Large nodule. HEART: normal. IMPRESSION: ok": (
        ["LUNGS: Large nodule. HEART: normal.", "ok"], []),
    "HISTORY: TB\nNARRATIVE: Large nodule.\nIMPRESSION: ok": (["Large nodule.", "ok"], []),
    "HISTORY: TB\nSUPPORT APPARATUS: Tube high.\nIMPRESSION: ok": (["SUPPORT APPARATUS: Tube high.", "ok"], []),
    "HISTORY: TB\nNOTE: Tube high.\nIMPRESSION: ok": (["NOTE: Tube high.", "ok"], []),
    "HISTORY: TB\nX-RAY REPORT: Large nodule.\nIMPRESSION: ok": (["ok", "Large nodule."], []),
    "FINDINGS: Clear.\n\nNOTIFICATION: Dr X told.\n\nA left pneumothorax is seen.": (
        ["Clear."], ["A left pneumothorax is seen."]),
    "FINDINGS: Clear. Comparison: none. There is a nodule.": (["Clear."], ["There is a nodule."]),
    "FINDINGS: clear.\nADDENDUM: Nodule is seen.": (["clear."], ["Nodule is seen."]),
    "INDICATION: Cough.\n Evaluate for pneumonia.\nIMPRESSION: Clear.": (["Clear."], []),
    "HISTORY: Cough. Rule out pneumonia.\nIMPRESSION: clear": (["clear"], []),
    "COMPARISON: Chest radiograph of ___ and CT of ___.\nIMPRESSION: Clear.": (["Clear."], []),
}  # fmt: skip


@pytest.mark.parametrize("text", BEHIND_ANOTHER_HEADER)
def test_a_finding_behind_an_unwanted_header_is_kept_or_counted(text):
    found = read_sections(text, ["findings", "impression"], "unheaded")
    kept, lost = BEHIND_ANOTHER_HEADER[text]
    assert [text[each.start : each.end].strip() for each in found.kept] == kept
    assert [text[each.start : each.end].strip() for each in found.lost] == lost


@pytest.mark.parametrize(
    "sentence",
    [
        "Lungs clear. IN COMPARISON: THE NODULE IS LARGER.",
        "In keeping with HISTORY: Nodule",
        "GIVEN THE HISTORY: nodule larger",
        "A nodule seen on both VIEWS: it is new.",
        "Nodule, see RECOMMENDATION: CT in a year.",
    ],
)
def test_a_name_within_a_sentence_is_no_header(sentence):
    text = f"FINDINGS: {sentence}"
    assert sections_of(text) == [("findings", sentence)]


@pytest.mark.parametrize(
    ("language", "text", "kept"),
    [
        (
            "spanish",
            "ANTECEDENTES: TB. PULMONES: N\u00f3dulo grande. CONCLUSI\u00d3N: ok",
            "PULMONES: N\u00f3dulo grande.",
        ),
        ("french", "ANT\u00c9C\u00c9DENTS: TB. POUMONS: Gros nodule. CONCLUSION: ok", "POUMONS: Gros nodule."),
        ("german", "TECHNIK: ap.\nGro\u00dfer Pneumothorax.\nBEURTEILUNG: gleich", "Gro\u00dfer Pneumothorax."),
        ("german", "BEFUND: Im VERGLEICH: Knoten neu.", "Im VERGLEICH: Knoten neu."),
        ("italian", "ANAMNESI: TB. POLMONI: Nodulo. CONCLUSIONI: ok", "POLMONI: Nodulo."),
        (
            "portuguese",
            "HIST\u00d3RIA: TB. PULM\u00d5ES: N\u00f3dulo. CONCLUS\u00c3O: ok",
            "PULM\u00d5ES: N\u00f3dulo.",
        ),
        ("dutch", "ANAMNESE: TB. LONGEN: Nodus. CONCLUSIE: ok", "LONGEN: Nodus."),
    ],
)
def test_findings_behind_other_headers_are_kept_in_every_language(language, text, kept):
    found = read_sections(text, ["findings", "impression"], "unheaded", header_names(language)).kept
    assert kept in [text[each.start : each.end].strip() for each in found]


def test_a_line_end_of_two_characters_is_no_empty_line():
    text = "INDICATION: Cough\r\nand fever.\r\nIMPRESSION: Clear."
    for ends in (text, text.replace("\r\n", "\n"), text.replace("\r\n", "\r")):
        found = read_sections(ends, ["findings", "impression"], "unheaded")
        assert [ends[each.start : each.end].strip() for each in found.kept] == ["Clear."]
        assert not found.lost


def test_a_placeholder_is_left_out_of_the_whole_report_too():
    assert sections_of("HISTORY: Cough.\nFINDINGS: nan", fallback="whole_report")[1:] == [
        (WHOLE_REPORT, "Cough."),
        (WHOLE_REPORT, ""),
    ]


def test_a_placeholder_of_a_section_that_is_not_kept_is_no_empty_report():
    assert not read_sections("COMPARISON: None.\nFINDINGS: ---", ["findings"], "reject").has_placeholder
    assert read_sections("COMPARISON: Prior.\nFINDINGS: nan", ["findings"], "reject").has_placeholder
