"""Few-shot classification: one result per job (data set, protocol, fraction) and variant."""

from dataclasses import dataclass

from ...common.records import read_record
from ...few_shot_classification.contract import FewShotResult
from ..results_tree import FewShotJob, ResultsTree


@dataclass(frozen=True)
class FewShot:
    """One cell of Table 2."""

    job: FewShotJob
    variant: str
    result: FewShotResult


def read_few_shot(tree: ResultsTree) -> list[FewShot]:
    """Read the results of few-shot classification."""
    stage = "few_shot_classification"
    return [
        FewShot(job, variant, read_record(tree.folder(stage, job.of(variant)) / "result.json", FewShotResult))
        for job, variant in tree.few_shot_evaluations
    ]
