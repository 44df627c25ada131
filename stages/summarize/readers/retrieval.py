"""Retrieval between images and reports: one result a variant."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from ..results_tree import ResultsTree
from .record import Count, Estimate, Part, read_record


class AgainstChance(Estimate):
    """A figure beside that of candidates in random order."""

    chance: float


class Direction(Part):
    """Queries of one kind among candidates of the other; `recall` maps k to recall@k."""

    queries: Count
    candidates: Count
    recall: dict[int, AgainstChance] = Field(min_length=1)
    median_rank: AgainstChance


class RetrievalFigures(Part):
    """What was measured, where there was something to measure."""

    images: Count
    reports: Count
    patients: Count
    distinct_texts: Count
    resampled_by: Literal["patient"]
    image_to_report: Direction
    report_to_image: Direction

    @property
    def directions(self) -> dict[str, Direction]:
        return {"image_to_report": self.image_to_report, "report_to_image": self.report_to_image}


class RetrievalResult(Part):
    """result.json of retrieval; `skipped` says why there are no figures."""

    split: str
    skipped: str | None
    figures: RetrievalFigures | None

    @model_validator(mode="before")
    @classmethod
    def _take_figures(cls, record: dict) -> dict:
        """In the file the figures stand beside the other two keys."""
        return record | {"figures": record if record.get("skipped") is None else None}

    def measured_on(self) -> object:
        """What does not depend on the encoders."""
        if self.figures is None:
            return self.skipped
        directions = self.figures.directions
        chances = [{k: figure.chance for k, figure in each.recall.items()} for each in directions.values()]
        return chances, self.figures.model_dump(exclude=set(directions))


@dataclass(frozen=True)
class Retrieval:
    variant: str
    result: RetrievalResult


def read_retrieval(tree: ResultsTree) -> list[Retrieval]:
    return [
        Retrieval(variant, read_record(tree.folder("retrieval", variant) / "result.json", RetrievalResult))
        for variant in tree.with_text
    ]
