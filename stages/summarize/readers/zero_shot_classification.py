"""Zero-shot classification: one result per data set and variant, with the scores of its test part."""

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Float, Int

from ...common.errors import InputError
from ...common.files.arrow_tables import read_table
from ...common.files.schemas import SCORES
from ...common.records import read_record
from ...zero_shot_classification.contract import ZeroShotResult
from ..results_tree import ResultsTree


@dataclass(frozen=True)
class ZeroShot:
    """One row of Table 1, with the scores of the test part."""

    dataset: str
    variant: str
    result: ZeroShotResult
    scores: Float[np.ndarray, "images"]
    targets: Int[np.ndarray, "images"]


def read_zero_shot(tree: ResultsTree) -> list[ZeroShot]:
    """Read the results of zero-shot classification."""
    return [_read(tree, dataset, variant) for dataset, variant in tree.evaluations]


def _read(tree: ResultsTree, dataset: str, variant: str) -> ZeroShot:
    folder = tree.folder("zero_shot_classification", f"{variant}/{dataset}")
    path = folder / "scores.arrow"
    result = read_record(folder / "result.json", ZeroShotResult)
    table = read_table(path, SCORES)
    table = table.filter(pc.equal(table["split"], "test"))
    targets = table["target"].to_numpy().astype(np.int64)
    if len(targets) != result.test_images or int(targets.sum()) != result.test_positives:
        raise InputError(f"{path}: its test part is not that of result.json beside it", remedy="run the stage again")
    return ZeroShot(dataset, variant, result, table["score"].to_numpy().astype(np.float64), targets)
