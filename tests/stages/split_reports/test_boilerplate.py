"""What is left out of a report: every kind in several wordings, and findings that only look like it."""

import pytest

from stages.split_reports.sentences import fold, split_sentences
from stages.split_reports.vocabulary import KINDS, boilerplate_kind

LEFT_OUT = {
    "dictated by": [
        "Dictated by: Jane Doe, M.D. Date: 3/4/11 Time: 17:45",
        "Dictated by: Dr. A. Moss.",
        "Dictated and signed by Dr. Moss",
        "DICTATED BY: ___",
        "D: 3/4/2011",
    ],
    "transcribed by": ["Transcribed by: KL", "Typed by KL on 3/4/05.", "Transcriptionist: KL", "T: 03/04/2011"],
    "signed by": [
        "Electronically signed by: Ada Moss, MD.",
        "Signed by ___ on ___.",
        "Electronically Signed By: Moss, Ada, MD  Wednesday, March 4, 2011 at 5:45 PM",
        "Electronic signature on file.",
        "Signature: A. Moss",
        "Finalized by Dr. Moss.",
    ],
    "approved by": ["Approved by: Dr. Moss.", "Reviewed and approved by A. Moss.", "Radiologist: ___", "Read by: KL"],
    "attestation": [
        "I have personally reviewed the images and agree with the findings above.",
        "I, Dr. Moss, have reviewed the images and the report.",
        "I, the attending radiologist, have personally reviewed the images and agree with the interpretation.",
        "I HAVE PERSONALLY REVIEWED THE IMAGES AND AGREE WITH THE RESIDENT'S FINDINGS.",
    ],
    "end of report": ["END OF IMPRESSION", "End of report.", "*** END OF ADDENDUM ***", "END OF FINAL REPORT"],
    "page break": ["(Over)", "(Cont)", "(Continued)"],
}
KEPT = [
    "The study was dictated by the finding of a mass.",
    "Signs of failure.",
    "End of the tube is in the stomach.",
    "End of the catheter lies below the report's marker.",
    "Approved device is in place.",
    "The heart is over the spine.",
    "I have reviewed no prior images.",
    "Images were reviewed and the nodule is stable.",
    "T: normal.",
    "Transcription factor scan is absent.",
    "Verified position of the tube.",
    "I have personally reviewed the images and agree with the report except for a new right apical pneumothorax.",
    "I have reviewed the study and disagree with the report: there is a left lower lobe pneumonia.",
    "I have reviewed the images and report no pneumothorax.",
    "I HAVE REVIEWED THE STUDY AND DISAGREE WITH THE REPORT.",
    "I HAVE REVIEWED THE IMAGES AND AGREE EXCEPT FOR A NODULE",
    "Transcription error: left should read right pleural effusion.",
    "Verified by CT as a granuloma.",
    "VERIFIED BY CT AS A GRANULOMA.",
    "Verified by CT.",
    "Physicians: please note the new pneumothorax.",
    "Read by: Dr. X. Nodule in the right apex.",
    "READ BY: DR. X. NEW RIGHT APICAL NODULE.",
    "Read by: Dr. X. Cardiomegaly.",
    "Signed by: Dr. Moss, large effusion.",
    "Dictated by Dr. Moss: new effusion",
    "D: 3/4/2011 nodule",
    "T: 12 compression fracture",
    "Approved: pacemaker in place",
    "Electronically signed by Dr. Moss. Addendum: pneumothorax",
    "(Over) inflated lungs",
]


def test_every_kind_is_tested():
    assert set(LEFT_OUT) == set(KINDS)


@pytest.mark.parametrize(("kind", "sentence"), [(kind, each) for kind, texts in LEFT_OUT.items() for each in texts])
def test_left_out(kind, sentence):
    assert boilerplate_kind(sentence) == kind


@pytest.mark.parametrize("sentence", KEPT)
def test_kept(sentence):
    assert boilerplate_kind(sentence) is None


@pytest.mark.parametrize(
    "last", ["Dictated by: A. Moss", "Electronically signed by A. Moss", "END OF IMPRESSION", "Approved by A. Moss"]
)
def test_boilerplate_on_a_line_of_its_own_takes_no_finding_with_it(last):
    text = f"The lungs are clear and the heart is of normal size without a stop\n{last}"
    sentences = [fold(text[start:end]) for start, end in split_sentences(text)]
    assert [boilerplate_kind(sentence) is None for sentence in sentences] == [True, False]


SIGNATURES = ["Dictated by: Dr. Moss", "Signed by Dr. Moss", "Read by Moss", "Approved by: Ada Moss, MD",
              "Radiologist: Dr. Moss", "Electronically signed by MOSS, ADA, MD", "Transcribed by: KL",
              "D: 3/4/2011", "T: 12:30"]  # fmt: skip
FINDINGS = ["Empyema", "CHF", "COPD", "RLL", "5 MM RLL", "4.5 CM AORTA", "Bulla", "Aorta Tortuous", "Widgetoid", "Quux"]


@pytest.mark.parametrize("signature", SIGNATURES)
@pytest.mark.parametrize("joiner", ["\n", ", ", " - ", "; ", " and ", " / ", "\r\n"])
def test_no_finding_is_a_name_behind_a_signature(signature: str, joiner: str) -> None:
    """Words that no list has, too: only behind a blank on the same line may one be the end of a name."""
    assert boilerplate_kind(signature) is not None
    for finding in FINDINGS:
        assert boilerplate_kind(f"{signature}{joiner}{finding}.") is None, finding


@pytest.mark.parametrize("word", ["Bronch", "Angio", "Surgery", "Thoracentesis", "CT", "Widget"])
def test_what_verifies_a_finding_is_no_person(word: str) -> None:
    assert (boilerplate_kind(f"Verified by {word}") is None) == (word != "Widget")
    assert boilerplate_kind(f"Electronic signature {word}") is None


def test_a_report_in_capitals_keeps_what_stands_below_its_signature() -> None:
    text = "FINDINGS: CLEAR.\nDICTATED BY: DR SMITH\nEMPYEMA."
    kept = [text[start:end] for start, end in split_sentences(text) if boilerplate_kind(text[start:end]) is None]
    assert any("EMPYEMA" in sentence for sentence in kept)


@pytest.mark.parametrize(
    "sentence",
    [
        "Electronically signed by SMITH, JOHN on 1/2/2020",
        "Signed by Ada Moss and Bob Roe, MD",
        "Electronically signed John Smith MD",
        "I, John Smith, MD, have reviewed the images and agree",
        "Dictated by:\nAda Moss, MD\nRadiology",
        "Electronically signed by: ADA MOSS\nMD\n3/4/2011 5:45 PM",
    ],
)
def test_persons_are_still_left_out(sentence: str) -> None:
    assert boilerplate_kind(sentence) is not None


@pytest.mark.parametrize(
    "sentence",
    ["Radiologist: Kerley B", "Attending: Aorta Tortuous", "Signature: Covid", "Read by Dr. Lee: Bulla", "T: 98 Fever",
     "Read by Lee: Stent, Hardware", "READ BY DR LEE EMPYEMA"],
)  # fmt: skip
def test_a_role_alone_makes_no_person(sentence: str) -> None:
    assert boilerplate_kind(sentence) is None
