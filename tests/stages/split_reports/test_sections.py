"""Sections by header: a table of layouts, properties under Hypothesis, linear work."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.split_reports.sections import SECTIONS, WHOLE_REPORT, find_headers, select_sections
from stages.split_reports.sentences import fold

BOTH = ("findings", "impression")


def sections_of(text, wanted=BOTH, whole_report=False):
    chosen = select_sections(text, wanted, whole_report)
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
    "words of a sentence": ("FINDINGS: The impression: none.", "F: The impression: none."),
    "markup": ("## IMPRESSION: Normal.", "I: Normal."),
    "empty section": ("FINDINGS: IMPRESSION: Normal.", "F: | I: Normal."),
    "unknown header": ("FINDINGS: Clear.\nBONES: Normal.", "F: Clear. BONES: Normal."),
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
    assert sections_of(text, whole_report=True) == [
        (WHOLE_REPORT, ""),
        (WHOLE_REPORT, ""),
        (WHOLE_REPORT, "Cough. Lungs clear."),
    ]
    assert sections_of("Lungs clear.", whole_report=True) == [(WHOLE_REPORT, "Lungs clear.")]
    assert sections_of("INDICATION: Cough. FINDINGS: Clear.", whole_report=True) == [("findings", "Clear.")]


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
    pieces = sorted(select_sections(text, SECTIONS, whole_report=True), key=lambda section: section.start)
    ends = [0, *(offset for section in pieces for offset in section[1:]), len(text)]
    assert ends == sorted(ends)
    if pieces[0].name == WHOLE_REPORT:  # the pieces and the headers are all of the text
        assert sum(piece.end - piece.start for piece in pieces) + sum(h.end - h.start for h in headers) == len(text)


@pytest.mark.parametrize(
    "unit", [":", "A:", "FINDINGS ", "FINDINGS:", "\n", "\nA", " ", "\n" + " " * 50, "\nFINAL REPORT", "A "]
)
def test_hostile_text_ends(unit):
    text = unit * (300_000 // len(unit))
    assert len(find_headers(text)) <= len(text) // 9
