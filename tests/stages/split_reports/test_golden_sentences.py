"""Precision and recall of sentence boundaries on texts that were written and labelled by hand."""

import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from stages.split_reports.sentences import split_sentences

FOLDER = Path(__file__).parent
_ESCAPE = re.compile(r"\\(?:([nrt])|u([0-9a-f]{4}))")


class Golden(NamedTuple):
    kind: str
    text: str
    boundaries: list[int]  # offsets


class Score(NamedTuple):
    sentences: int
    precision: float
    recall: float
    wrong: list[Golden]  # texts with a boundary too many or too few


def golden(name: str) -> list[Golden]:
    """The texts of a file; the marks are taken out."""
    texts, kind = [], ""
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            kind = line[3:]
        elif line and not line.startswith("#"):
            marked = _ESCAPE.sub(
                lambda found: {"n": "\n", "r": "\r", "t": "\t"}.get(found[1]) or chr(int(found[2], 16)), line
            )
            parts = marked.split("|")
            ends = [sum(map(len, parts[:count])) for count in range(1, len(parts))]
            texts.append(Golden(kind, "".join(parts), ends))
    return texts


def score(texts: list[Golden], split) -> Score:
    """A boundary is found where the gap between two sentences (blanks, a list number, a bullet) touches its place."""
    found = expected = right_found = right_expected = 0
    wrong = []
    for item in texts:
        spans = split(item.text)
        gaps = [(end, start) for (_, end), (start, _) in pairwise(spans)]
        hits = sum(any(end <= place <= start for place in item.boundaries) for end, start in gaps)
        recalled = sum(any(end <= place <= start for end, start in gaps) for place in item.boundaries)
        found, expected = found + len(gaps), expected + len(item.boundaries)
        right_found, right_expected = right_found + hits, right_expected + recalled
        if hits < len(gaps) or recalled < len(item.boundaries):
            wrong.append(item)
    return Score(expected + len(texts), right_found / found, right_expected / expected, wrong)


# Floors just below what is reached; what is missed stands in the output of a failure.
@pytest.mark.parametrize(
    ("name", "sentences", "precision", "recall"),
    [("golden_sentences.txt", 700, 0.98, 0.99), ("held_out_sentences.txt", 160, 0.99, 0.97)],
)
def test_boundaries(name, sentences, precision, recall):
    reached = score(golden(name), split_sentences)
    assert reached.sentences >= sentences
    assert reached.precision >= precision, reached.wrong
    assert reached.recall >= recall, reached.wrong


def test_the_score_knows_a_bad_splitter():
    texts = golden("golden_sentences.txt")
    whole = score(texts, lambda text: [(0, len(text))] if "|" in text else [(0, 1), (1, len(text))])
    assert whole.precision < 0.1
    assert whole.recall < 0.1


def test_sentencex_for_comparison(capsys):
    """sentencex 1.x knows many languages, and not the traps of reports; where both are right says nothing new."""
    sentencex = pytest.importorskip("sentencex")
    texts = golden("golden_sentences.txt")

    def split(text: str) -> list[tuple[int, int]]:
        spans, place = [], 0
        for sentence in sentencex.segment("en", text):
            stripped = sentence.strip()
            if stripped:
                start = text.index(stripped, place)
                place = start + len(stripped)
                spans.append((start, place))
        return spans

    ours, other = score(texts, split_sentences), score(texts, split)
    with capsys.disabled():
        print(f"\nsentencex: precision {other.precision:.3f}, recall {other.recall:.3f};", end=" ")
        print(f"ours {ours.precision:.3f}, {ours.recall:.3f}; it differs on {len(other.wrong)} texts")
    assert ours.precision > other.precision
    assert ours.recall > other.recall
