"""Headers that are more than a name: an examination's name opens the findings, and no tail of it is a header."""

import pytest

from stages.api.reports import split_report

# What MIT-LCP's published section parser takes for findings, in labels as they are written.
LABELS = (
    *("PORTABLE CHEST, 5:45 A.M.", "LEFT RIBS, TWO VIEWS", "CHEST, FIVE VIEWS", "CHEST", "PORTABLE", "RIBS"),
    *("PA AND LATERAL", "LATERAL AND PA", "AP AND LATERAL", "LATERAL AND AP", "FRONTAL AND OBLIQUE", "PA AND LAT"),
    *("TWO VIEWS", "FRONTAL VIEW", "PA VIEW", "AP VIEW", "ONE VIEW", "LATERAL VIEW", "BONE WINDOWS"),
    *("FRONTAL UPRIGHT", "FRONTAL SEMI-UPRIGHT", "REFERENCE FINDINGS", "CHEST, PORTABLE TECHNIQUE"),
    *("CT OF THE CHEST WITH CONTRAST", "PORTABLE ABDOMEN, ONE VIEW", "CHEST AND LEFT RIBS (FOUR VIEWS)"),
    *("CHEST, SINGLE AP PORTABLE VIEW, ___ AT 0545 HOURS", "CHEST, TWO VIEWS ON 3/4/2011 AT 17:45"),
    *("LEFT SHOULDER, THREE VIEWS", "ABDOMEN, 2 VIEWS", "Left ribs, two views", "Chest x-ray"),
)
BOTH = [("findings", "Fracture of the seventh rib."), ("impression", "Rib fracture.")]


def sentences_of(text, **options):
    return [(each.section, each.text) for each in split_report(text, **options)]


@pytest.mark.parametrize("before", ["", "INDICATION: Cough.\n\n", " FINAL REPORT\n COMPARISON: None.\n "])
@pytest.mark.parametrize("label", LABELS)
def test_an_examination_s_name_opens_the_findings(label, before):
    assert sentences_of(f"{before}{label}: Fracture of the seventh rib.\n\n IMPRESSION: Rib fracture.") == BOTH


KEPT = {
    "within a line": ("INDICATION: Cough. PORTABLE CHEST, TWO VIEWS: Clear. IMPRESSION: Normal.",
                      ["Clear.", "Normal."]),
    "alone on its line": ("CHEST, TWO VIEWS\n\nClear.\n\nIMPRESSION: Normal.", ["Clear.", "Normal."]),
    "a label of findings": ("INDICATION: Cough.\nLUNGS: Clear.\nHEART: Normal.\n\nIMPRESSION: Fine.",
                            ["LUNGS: Clear.", "HEART: Normal.", "Fine."]),
    "the reason is none": ("REASON FOR PORTABLE CHEST: Cough.\n\nFINDINGS: Clear.", ["Clear."]),
    "a label within findings": ("FINDINGS: Clear.\nCOMPARISON TO CHEST X-RAY: Nodule is new.",
                                ["Clear.", "COMPARISON TO CHEST X-RAY: Nodule is new."]),
    "a tail within findings": ("FINDINGS: Clear.\nLEFT SHOULDER, TWO VIEWS: Fracture.",
                               ["Clear.", "LEFT SHOULDER, TWO VIEWS: Fracture."]),
    "paragraphs without a header": ("INDICATION: Cough.\n\nClear lungs.\n\nLEFT RIBS: Fracture.",
                                    ["Fracture.", "Clear lungs."]),
    "paragraphs beside the impression": ("INDICATION: Cough.\n\nClear lungs.\n\nIMPRESSION: Normal.",
                                         ["Normal.", "Clear lungs."]),
    "no stop": ("Findings: Lungs are clear Impression: Normal", ["Lungs are clear", "Normal"]),
    "a placeholder": ("FINDINGS: nan\nIMPRESSION: Normal.", ["Normal."]),
    "a placeholder, text elsewhere": ("INDICATION: Cough.\n\nClear lungs.\n\nFINDINGS: nan", ["Clear lungs."]),
    "none is an answer": ("FINDINGS: Effusion? None.", ["Effusion?", "None."]),
    "escaped line ends": (r"FINDINGS:\nClear lungs.\n\nIMPRESSION:\r\nNormal.", ["Clear lungs.", "Normal."]),
    "html": ("<p><b>FINDINGS:</b> Heart&nbsp;normal. Nodule &lt;5 mm.</p><div>IMPRESSION: Patient&#39;s "
             "&eacute;panchement.<br/>Clear</div>",
             ["Heart normal.", "Nodule <5 mm.", "Patient's épanchement.", "Clear"]),
    "no html": ("FINDINGS: Nodule <5 mm & p<0.05 or >3.", ["Nodule <5 mm & p<0.05 or >3."]),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_kept(name):
    text, expected = KEPT[name]
    assert [sentence for _, sentence in sentences_of(text)] == expected


@pytest.mark.parametrize("text", ["nan", "None", "N/A", "n/a.", "[None]", "#N/A", "<NA>", "FINDINGS: nan", "NULL"])
def test_placeholders_are_no_report(text):
    assert sentences_of(text) == []


def test_cleaned_text_keeps_offsets():
    text = r"<p>FINDINGS: Clear.<br>\nHeart&nbsp;normal.</p>"
    for each in split_report(text):
        assert text[each.start : each.end].replace("&nbsp;", " ") == each.text
