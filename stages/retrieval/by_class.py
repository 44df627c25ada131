"""Retrieval by class: whether reports of an image's finding come first, and images of a report's.

Only pairs of exactly one class take part, on both sides. As published, except that candidates are the reports of all
these pairs, a query's own among them, and not a fixed number of each class; chance says what that makes easy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..common.data.label_matrix import LabelMatrix, exclusive_classes
from ..common.data.paired_reports import Study
from ..common.metrics.classes import macro_mean, mean_within
from ..common.metrics.ranking import Metric, draw_weights, estimate
from ..common.metrics.retrieval import precision_at
from ..common.records import AgainstChance
from .contract import ClassDirection, ClassSize, RetrievalByClass, RetrievalSettings
from .embedded_pairs import EmbeddedPairs, Side


@dataclass(frozen=True)
class ClassRanked:
    """One direction: the precision@k of every query of a class. `classes` are numbers in the order of `names`."""

    names: tuple[str, ...]
    queries: Side
    classes: Int[np.ndarray, "queries"]
    candidates: Int[np.ndarray, "candidates"]  # their classes
    precision: dict[int, Float[np.ndarray, "queries"]]  # by k

    def record(self, settings: RetrievalSettings) -> ClassDirection:
        """Measure the direction. The interval resamples the patients of the queries; all candidates stay."""
        weights = draw_weights(self.queries.patients, settings.draws, settings.seed)
        shares = np.bincount(self.candidates, minlength=len(self.names)) / len(self.candidates)

        def figure(metric: Metric, chance: float) -> AgainstChance:
            return AgainstChance.of(estimate(metric, weights), chance)

        return ClassDirection(
            mean={k: figure(macro_mean(each, self.classes), float(shares.mean()))
                  for k, each in self.precision.items()},
            classes={
                name: {k: figure(mean_within(each, self.classes == number), float(shares[number]))
                       for k, each in self.precision.items()}
                for number, name in enumerate(self.names)
            },
        )  # fmt: skip

    def rows(self, direction: str) -> list[dict[str, Any]]:
        """Return rows of CLASS_PRECISION, which paired tests between variants need."""
        return [
            {"direction": direction, "query_id": query, "patient_id": patient, "class": self.names[number], "k": k,
             "precision": float(value)}
            for k, values in self.precision.items()
            for query, patient, number, value in zip(self.queries.ids.tolist(), self.queries.patients.tolist(),
                                                     self.classes, values, strict=True)
        ]  # fmt: skip


def study_classes(studies: Sequence[Study], labels: LabelMatrix, classes: Sequence[str]) -> Int[np.ndarray, "studies"]:
    """Return the class of each study, -1 unless every image of it has that class and no other."""
    found, _ = exclusive_classes(labels, classes)
    of_image = dict(zip(labels.images["image_id"], found.tolist(), strict=True))
    own = [{of_image.get(image, -1) for image in study.image_ids} for study in studies]
    return np.array([each.pop() if len(each) == 1 else -1 for each in own])


def rank_by_class(
    pairs: EmbeddedPairs, studies: Sequence[Study], labels: LabelMatrix, settings: RetrievalSettings
) -> dict[str, ClassRanked] | None:
    """Rank both directions among the pairs of one class; None where there are not two classes of pairs.

    `pairs` are the embedded `studies`. A class without pairs takes no part.
    """
    named = list(settings.classes or labels.findings)
    among = labels.among(named) if settings.exclusive_among == "classes" else labels
    classes = study_classes(studies, among, named)
    present = np.unique(classes[classes >= 0])
    if len(present) < 2:
        return None
    names, classes = tuple(named[number] for number in present), _renumbered(classes, present)
    of_images = np.repeat(classes, [len(study.image_ids) for study in studies])
    sides = {"image": (pairs.images, of_images), "report": (pairs.reports, classes)}
    chosen = {kind: (_where(side, own >= 0), own[own >= 0]) for kind, (side, own) in sides.items()}
    return {
        f"{one}_to_{other}": _ranked(names, *chosen[one], *chosen[other], settings.precision_at)
        for one, other in (("image", "report"), ("report", "image"))
    }


def _renumbered(classes: Int[np.ndarray, "studies"], present: Int[np.ndarray, "classes"]) -> Int[np.ndarray, "studies"]:
    return np.where(classes >= 0, np.searchsorted(present, classes), -1)


def _where(side: Side, chosen: np.ndarray) -> Side:
    return Side(side.ids[chosen], side.embeddings[chosen], side.texts[chosen], side.patients[chosen])


def _ranked(
    names: tuple[str, ...], queries: Side, own: np.ndarray, candidates: Side, theirs: np.ndarray, ks: Sequence[int]
) -> ClassRanked:
    found: dict[int, list[float]] = {k: [] for k in ks if k <= len(theirs)}
    once = np.ones((1, len(theirs)))
    for query, number in zip(queries.embeddings, own, strict=True):
        scores = candidates.embeddings @ query
        for k, values in found.items():
            values.append(float(precision_at(k, scores, theirs == number)(once)[0]))
    return ClassRanked(names, queries, own, theirs, {k: np.array(values) for k, values in found.items()})


def figures_by_class(
    directions: dict[str, ClassRanked], studies: Sequence[Study], settings: RetrievalSettings
) -> RetrievalByClass:
    """Measure both directions."""
    first, other = directions["image_to_report"], directions["report_to_image"]
    images, reports = (np.bincount(each.classes, minlength=len(each.names)) for each in (first, other))
    return RetrievalByClass(
        classes={
            name: ClassSize(images=int(images[number]), reports=int(reports[number]))
            for number, name in enumerate(first.names)
        },
        studies_left_out=len(studies) - len(other.classes),
        **{name: each.record(settings) for name, each in directions.items()},
    )
