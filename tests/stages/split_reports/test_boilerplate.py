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
