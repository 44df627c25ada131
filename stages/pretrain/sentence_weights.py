"""Inverse document frequency of sentences: "No pneumothorax." recurs everywhere and says little (docs/method.md)."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

MIN_DOCUMENT_FREQUENCY = 5  # a rarer sentence is as rare as one that recurs five times: rarity itself is no merit
MAX_WEIGHT = 5.0


def normalised(sentence: str) -> str:
    """Case, digits and blanks folded: "1.5 cm  nodule." and "2.0 cm nodule." are one sentence."""
    folded = "".join("0" if character.isdigit() else character for character in sentence.lower())
    return " ".join(folded.split())


def idf_weights(reports: Iterable[Iterable[str]]) -> dict[str, float]:
    """log(reports / reports with the sentence) for every normalised sentence of the training reports.

    Document frequency counts at least `MIN_DOCUMENT_FREQUENCY`; the weight lies in [0, MAX_WEIGHT].
    """
    frequency: Counter[str] = Counter()
    count = 0
    for sentences in reports:
        frequency.update({normalised(sentence) for sentence in sentences})
        count += 1
    return {
        sentence: min(MAX_WEIGHT, max(0.0, math.log(count / max(seen, MIN_DOCUMENT_FREQUENCY))))
        for sentence, seen in frequency.items()
    }


def weight_of(sentence: str, weights: Mapping[str, float]) -> float:
    """The weight of a sentence; one that training never saw counts as the rarest."""
    return weights.get(normalised(sentence), max(weights.values(), default=1.0))
