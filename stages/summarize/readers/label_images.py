"""Labels: the data card of each data set of the evaluation."""

from ...common.records import read_record
from ...label_images.contract import Card
from ..results_tree import ResultsTree


def read_cards(tree: ResultsTree) -> list[Card]:
    """Read the data cards."""
    return [read_record(tree.folder("label_images", dataset) / "card.json", Card) for dataset in tree.evaluate_on]
