"""What is left out of a report: every kind in several wordings, and findings that only look like it."""

import pytest

from stages.split_reports.sentences import fold, split_sentences
from stages.split_reports.vocabulary import KINDS, boilerplate_kind

LEFT_OUT = {
    "dictated by": ["Dictated by: Dr. A. Moss.", "Dictated and signed by Dr. Moss", "DICTATED BY: ___", "D: 3/4/2011"],
    "transcribed by": ["Transcribed by: KL", "Typed by KL on 3/4/05.", "Transcriptionist: KL", "T: 03/04/2011"],
    "signed by": [
        "Electronically signed by: Ada Moss, MD.",
        "Signed by ___ on ___.",
        "Electronic signature on file.",
        "Signature: A. Moss",
        "Finalized by Dr. Moss.",
    ],
    "approved by": ["Approved by: Dr. Moss.", "Reviewed and approved by A. Moss.", "Radiologist: ___", "Read by: KL"],
    "attestation": [
        "I have personally reviewed the images and agree with the findings above.",
        "I, Dr. Moss, have reviewed the images and the report.",
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
