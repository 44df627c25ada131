"""Zero-shot classification: one result a data set and variant, with the scores of its test part."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Float, Int
from pydantic import Field, model_validator

from ...common.errors import InputError
from ...common.files.arrow_tables import read_table
from ...common.files.schemas import SCORES
from ..results_tree import ResultsTree
from .few_shot_classification import Overlap
from .record import METRICS, Count, Estimate, Part, read_record


class ZeroShotResult(Part):
    """result.json of zero_shot_classification."""

    finding: str
    score: Literal["global", "local"] = "global"
    prompt_set: str
    validation_auc: dict[str, float]
    threshold: float
    metrics: dict[Literal["auc", "average_precision", "f1", "accuracy"], Estimate]
    test_auc: dict[str, Estimate] = Field(default_factory=dict)  # by prompt set; results of versions before lack it
    resampled_by: str
    test_images: Count
    test_positives: Count
    overlap: Overlap

    @model_validator(mode="after")
    def _is_whole(self) -> "ZeroShotResult":
        if missing := set(METRICS) - set(self.metrics):
            raise ValueError(f"metrics lacks {', '.join(sorted(missing))}")
        if self.prompt_set not in self.validation_auc:
            raise ValueError(f"validation_auc lacks the chosen set {self.prompt_set}")
        if self.test_auc and self.test_auc.get(self.prompt_set) != self.metrics["auc"]:
            raise ValueError(f"test_auc of the chosen set {self.prompt_set} is not the AUC of metrics")
        return self


@dataclass(frozen=True)
class ZeroShot:
    """One row of Table 1, with the scores of the test part."""

    dataset: str
    variant: str
    result: ZeroShotResult
    scores: Float[np.ndarray, "images"]
    targets: Int[np.ndarray, "images"]


def read_zero_shot(tree: ResultsTree) -> list[ZeroShot]:
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
