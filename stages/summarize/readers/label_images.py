"""Labels: the data card of each data set of the evaluation."""

from ..results_tree import ResultsTree
from .record import Count, Part, read_record


class CardSplit(Part):
    images: Count
    patients: Count | None
    positives: Count
    prevalence: float | None
    sha256: str


class CardRemainder(Part):
    count: Count  # the ids themselves stay in the card


class Card(Part):
    """card.json of label_images."""

    dataset: str
    finding: str
    license: str
    how_to_get: str
    images: Count
    labelled: Count
    positives: Count
    boxes: Count
    masks: Count
    lung_masks: Count
    split_by: str
    splits: dict[str, CardSplit]
    pixels_in_several_splits: Count
    rejects: dict[str, CardRemainder]


def read_cards(tree: ResultsTree) -> list[Card]:
    return [read_record(tree.folder("label_images", dataset) / "card.json", Card) for dataset in tree.evaluate_on]
