"""Sentences: a golden set of traps, properties under Hypothesis, linear time by counting, real reports."""

import csv
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stages.split_reports.sentences import fold, split_sentences

# Written for this test. "|" stands where a sentence ends; "~" in front of what belongs to no sentence.
GOLDEN = {
    "plain": "The lungs are clear.| No pleural effusion.| Heart size is normal.",
    "decimal": "A 1.5 cm nodule lies in the left apex.| It measured 0.9 cm before.",
    "decimal without zero": "Nodule of .5 cm in the right base.| No other.",
    "decimal first": ".5 cm nodule.| No other nodule.",
    "title": "Discussed with Dr. Lee by telephone.| He agreed.",
    "title and blank": "Findings were told to Dr. ___.| No other change.",
    "title and initials": "Read by Dr. A. B. Moss at noon.| No effusion.",
    "initial without title": "Approved by J. Moss today.| No effusion.",
    "letter that is no initial": "Known hepatitis B. |No ascites.",
    "morning in a sentence": "Obtained at 8:30 a.m. on the day of surgery.| No effusion.",
    "afternoon at the end": "Paged at 4:15 p.m.| The tube was moved.",
    "afternoon and two stops": "Paged at 4:15 p.m..| Tube was moved.",
    "clock and blank": "Told at 9:05 a.m. ___ by phone.| Tube is high.",
    "example": "Devices, e.g. a pacemaker, are absent.| Clear lungs.",
    "that is": "Both bases, i.e. the costophrenic angles, are sharp.",
    "versus": "Atelectasis vs. Pneumonia in the left base.| Follow up.",
    "about": "Tip approx. 3 cm above the carina.| No pneumothorax.",
    "about, in capitals": "TIP APPROX. FIVE CM ABOVE CARINA.| NO EFFUSION.",
    "figure": "See Fig. 2 of the earlier study.| Unchanged.",
    "number": "Image No. 3 shows the line.| No kink.",
    "the word no at the end": "Is there effusion?| No.| Lungs clear.",
    "numbered list": "~1. |No pneumothorax.| ~2. |Small effusion.| ~3. |Normal heart.",
    "list without stops": "~1. |Clear lungs |~2. |Normal heart |~3. |No effusion",
    "list in parentheses": "~1) |Clear lungs.| ~2) |Normal heart.",
    "list in parentheses without stops": "~(1) |Clear lungs |~(2) |Normal heart",
    "list behind a colon": "The tubes are as follows:| ~1. |Endotracheal tube high |~2. |Gastric tube low",
    "list on lines": "~1. |Clear lungs\n|~2. |Normal heart,\n   stable\n|~3. |No effusion",
    "list without blanks": "~1.|No effusion.|~2.|Normal heart.",
    "list glued on": "Clear lungs.|~2. |Normal heart.",
    "number in a wrapped line": "Compression of T\n12. |No effusion.",
    "level at the end": "Wedge deformity of T5.| The C1-C2 joint is normal.",
    "level without blank": "Wedge deformity of T5.|The rest is normal.",
    "missing blank": "There is no pneumothorax.|Heart is normal.|No effusion.",
    "missing blank in capitals": "NO PNEUMOTHORAX.|HEART IS NORMAL.",
    "missing blank behind a short word": "Tip is at 2 cm.|The tube is fine.",
    "wrapped": "There is a small effusion\n on the left and\n none on the right.| Heart\n is normal.",
    "wrapped with carriage returns": "There is a small\r\neffusion.|\r\nHeart is\r\nnormal.",
    "paragraphs": "Lungs clear\n\n|Heart normal\r\n\r\n|No effusion",
    "ellipsis within": "Small nodule ... in the left base.| Normal heart.",
    "ellipsis at the end": "Lines as before...| No effusion.",
    "ellipsis as one character": "Lines as before… |No effusion.",
    "two stops": "No acute disease..| Normal heart.",
    "stray stop": "Normal heart.| ~. |No effusion.",
    "bullets on lines": "~- |Clear lungs\n|~- |Normal heart\n|~* |No effusion",
    "bullets behind stops": "~- |Clear lungs.| ~- |Normal heart.",
    "dash within": "Right lower lobe - likely atelectasis - is unchanged.| Stable.",
    "hyphen at a line's start": "A well\n-defined nodule is seen.",
    "labels on lines": "Lungs: Clear\n|Heart: Normal size\n|Bones/soft tissue: No fracture",
    "label within": "Lines and tubes: endotracheal tube at 3 cm.| Good.",
    "question": "Is this pneumonia?| Clinical correlation.",
    "question within": "Opacity (?pneumonia) in the base.| A second mass (?) is seen.",
    "query first": "? pneumonia in the left base.| Stable.",
    "exclamation": "Critical result!| Dr. Lee was paged.",
    "quotation": 'Reported as "clear." |He agreed.| "No change." |Stable.',
    "parentheses": "Small nodule (see the prior CT.)| It is stable.| (No effusion.)",
    "brackets within": "Small effusion (max. 2 cm) on the left.| Stable.",
    "units with stops": "Nodule of 8 mm. in diameter.| Mass of 3 cm.| Stable.",
    "clipped words": "Rt. lung is clear.| Lt. base is hazy.| Pt. rotated.",
    "one clipped letter": "Normal L. lung and R. lung with E. coli in blood.| Stable.",
    "lower case throughout": "the lungs are clear.| no effusion.| heart is normal.",
    "capitals throughout": "THE LUNGS ARE CLEAR.| NO EFFUSION. |HEART NORMAL.",
    "blanks of de-identification": "Compared to ___, no change.| ___ was told at ___.| ~___. |Stable.",
    "date of blanks": "Compared with ___.| Since ___, the edema is less.",
    "only digits": "~5/5. |Lungs clear.| ~12. |Normal heart.",
    "initials of a country": "Trained in the U.S. navy.| U.S.A. exam.",
    "year at the end": "Last seen in 2009.| No change.",
    "number at a sentence's start": "No effusion.| 5 mm nodule is stable.| 3 ribs are broken.",
    "no stop at the end": "Lungs are clear.| Heart is normal",
    "accents": "État après drainage.| Épanchement à gauche.|Été calme.",
    "etcetera": "Lines, tubes, etc. are unchanged.| Pads, leads, etc.| Stable.",
    "month": "Since Jan. 5 there is less edema.| Seen in Feb.| Stable.",
    "version": "Software v2.1.3 was used.| Done.",
    "nothing": "",
    "blanks": "~ \n\t ",
    "stops": "~. . ... ..",
}  # fmt: skip


def _golden(marked: str) -> tuple[str, list[str]]:
    """The text without its marks, and the sentences folded."""
    pieces = [piece for piece in marked.split("|") if piece]
    kept = [fold(piece) for piece in pieces if not piece.lstrip().startswith("~")]
    return "".join(pieces).replace("~", ""), kept


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name):
    text, sentences = _golden(GOLDEN[name])
    assert [fold(text[start:end]) for start, end in split_sentences(text)] == sentences


# Texts made of the pieces on which the rules turn, so that Hypothesis meets them in every order.
PIECES = st.sampled_from(
    [
        *" \n\t.?!…,;:()[]'\"-*•/_",
        *("\r\n", "\n\n", "\n- ", " ", ". ", ".", "..", "...", ": ", "\n1. ", "\n2. ", " 1) ", " 2) "),
        *("1", "2", "3", "12", "2009", "1.5", ".5", "cm", "Dr", "dr", "vs", "e.g", "a.m", "No", "no", "approx", "Fig"),
        *(
            "T5",
            "A",
            "B",
            "J",
            "a",
            "by",
            "XXXX",
            "___",
            "Heart",
            "pneumothorax",
            "EFFUSION",
            "the",
            "Été",
            "É",
            "中文",
        ),
        *("\ufeff", "²", "Heart:", "\nHeart: "),
    ]
)
TEXTS = st.one_of(st.lists(PIECES, max_size=24).map("".join), st.text(max_size=40))


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_offsets_are_ordered_disjoint_and_inside(text):
    spans = split_sentences(text)
    flat = [0, *(offset for span in spans for offset in span), len(text)]
    assert flat == sorted(flat)
    assert all(start < end for start, end in spans)
    for start, end in spans:
        assert not text[start].isspace()
        assert not text[end - 1].isspace()
        assert re.search(r"[^\W\d_]", text[start:end])


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_every_letter_is_in_a_sentence(text):
    outside = list(text)
    for start, end in split_sentences(text):
        outside[start:end] = " " * (end - start)
    assert not re.search(r"[^\W\d_]", "".join(outside))


@settings(max_examples=800, deadline=None)
@given(TEXTS)
def test_a_sentence_alone_is_itself(text):
    for start, end in split_sentences(text):
        alone = fold(text[start:end])
        assert split_sentences(alone) == [(0, len(alone))]


@settings(max_examples=300, deadline=None)
@given(TEXTS, TEXTS, TEXTS)
@example("", "cm.T", "")
@example("", "XXXX.the", "")
def test_a_part_is_split_as_if_it_were_alone(before, text, after):
    inner = [(start + len(before) + 2, end + len(before) + 2) for start, end in split_sentences(text)]
    whole = f"{before}: {text}\n{after}"
    assert split_sentences(whole, len(before) + 2, len(before) + 2 + len(text)) == inner


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(["Heart is normal.", "No effusion.", "See Dr. Lee at 8 a.m. on Monday.", "A 1.5 cm mass?"])
    )
)
@example([])
def test_joined_sentences_come_back(sentences):
    text = "  ".join(sentences)
    assert [text[start:end] for start, end in split_sentences(text)] == sentences


HOSTILE = {
    "stops": ".", "stop and blank": ". ", "blanks": " ", "lines": "\n", "carriage returns": "\r\n", "letters": "a",
    "capitals": "A", "bullets": "- ", "list numbers": "1. ", "parentheses": "1) ", "opening": "(", "closing": ")",
    "colons": ":", "initials": "J. ", "titles": "Dr. ", "digits": "1", "underscores": "_", "ellipses": "... ",
    "lines and blanks": "\n" + " " * 50, "stops and blanks": "." + " " * 50, "stop and bracket": ".(", "quote": '."',
    "label": "\nAaaaa", "glued": "heart.Heart", "list": "1. a ", "dashes": "-", "line and dashes": "\n--",
    "item": "\n1.",
}  # fmt: skip


class _Counted(str):
    """Text that counts the characters it hands out by slices (the Python part of the work)."""

    handed_out = 0

    def __getitem__(self, key):
        part = super().__getitem__(key)
        _Counted.handed_out += len(part)
        return part


@pytest.mark.parametrize("name", [*HOSTILE, "all"])
def test_hostile_text_costs_linear_work(name):
    """Quadratic work on a million characters would not end. The slices taken are counted, so no clock is asked."""
    size = 1_000_000 if name == "all" else 100_000
    unit = "".join(each * 100 for each in HOSTILE.values()) if name == "all" else HOSTILE[name]
    text = _Counted(unit * (size // len(unit)))
    _Counted.handed_out = 0
    split_sentences(text)
    assert _Counted.handed_out <= 60 * len(text)


@pytest.mark.real_data
def test_real_reports(test_data):
    with (test_data / "openi_reports" / "openi_reports.csv").open(encoding="utf-8", newline="") as file:
        texts = [f"{row['findings']}\n\n{row['impression']}" for row in csv.DictReader(file)]
    assert len(texts) == 3955
    per_report = []
    for number, text in enumerate(texts):  # a failure names the row, never its text
        spans = split_sentences(text)
        flat = [0, *(offset for span in spans for offset in span), len(text)]
        alone = [fold(text[start:end]) for start, end in spans]
        covered = sum(map(str.isalpha, text)) == sum(sum(map(str.isalpha, sentence)) for sentence in alone)
        whole = all(split_sentences(sentence) == [(0, len(sentence))] for sentence in alone)
        if flat != sorted(flat) or not covered or not whole:
            pytest.fail(f"report in row {number} breaks an invariant", pytrace=False)
        per_report.append(len(spans))
    spoken = [count for count in per_report if count]
    assert 5.3 < sum(spoken) / len(spoken) < 6.3
    assert 25 <= len(texts) - len(spoken) <= 45  # without findings and impression
    assert max(spoken) < 60


ENDS = {
    "initials behind to": ("Reported to J. K. Miller, R.N. by phone. Clear.", 2),
    "initials behind told": ("Told J. Miller, R.N. on Monday.", 1),
    "a hyphenated word ends the line": ("Right-sided\n Port-A-Cath ends in the atrium.", 1),
    "a hyphen ends the line": ("Right upper-\nLobe nodule.", 1),
    "a title with a hyphen": ("Follow-up\nThe lungs are clear.", 2),
    "a stop within a count": ("Nodules of 3, 4. and 5 mm", 1),
    "a number at the end": ("Image 4. there is a nodule.", 2),
    "full-width stops": ("\u80ba\u6e05\u3002\u5fc3\u5927\uff1f\u65e0\uff01\u53f3", 4),
    "a full-width stop within quotes": ("\u80ba\u3002\u300c\u6b63\u5e38\u3002\u300d\u5fc3\u3002", 3),
}


@pytest.mark.parametrize("name", ENDS)
def test_number_of_sentences(name):
    text, expected = ENDS[name]
    assert len(split_sentences(text)) == expected
