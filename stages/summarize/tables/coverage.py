"""What is measured on which data set, and why the rest is not; made where something is left out."""

from ...contracts import EVALUATIONS
from ..inputs import Inputs
from ..naming import findings_label
from ..numbers import words
from .table import Block, Cell, Column, Row, Table

HEADERS = {"zero_shot_classification": "zero-shot classification",
           "multi_class_classification": "multi-class classification",
           "few_shot_classification": "few-shot classification",
           "few_shot_segmentation": "few-shot segmentation"}  # fmt: skip


def coverage_tables(inputs: Inputs) -> list[Table]:
    """Make one row per labelled data set; none where every evaluation is measured on all of them."""
    tree = inputs.tree
    if not tree.not_measured:
        return []
    rows = [
        Row(dataset, {"finding": Cell(text=findings_label(card.findings))} | {stage: _cell(inputs, dataset, stage)
                                                                    for stage in EVALUATIONS})
        for dataset, card in zip(tree.evaluate_on, inputs.cards, strict=True)
    ]  # fmt: skip
    columns = [Column("finding", "finding", "text")]
    columns += [Column(stage, HEADERS.get(stage, words(stage)), "text", brief=True) for stage in EVALUATIONS]
    caption = "What is measured on which data set"
    return [Table("measured", caption, tuple(columns), (Block("measured", tuple(rows)),), "data set", task="coverage")]


def _cell(inputs: Inputs, dataset: str, stage: str) -> Cell:
    why = inputs.tree.not_measured.get((dataset, stage))
    return Cell(text="measured" if why is None else f"not measured: {why}")
