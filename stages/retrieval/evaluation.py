"""Evaluation of retrieval: ranks of all candidates for every query, and the chance level.

Recall@k and median rank are given for both directions, with intervals by patient and the chance level beside each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..common.data.image_store import ImageStore
from ..common.data.label_matrix import read_label_matrix
from ..common.device import choose_device
from ..common.encoders.dual import load_checkpoint
from ..common.files.arrow_tables import write_rows
from ..common.files.schemas import CLASS_PRECISION, RANKS
from ..common.inference.encoding import choose_precision
from ..common.journal.tracking import track_job
from ..common.metrics.ranking import draw_weights, estimate
from ..common.metrics.retrieval import FirstHits, retrieval_metrics
from ..common.records import AgainstChance, Estimate, write_record
from .by_class import ClassRanked, figures_by_class, rank_by_class
from .contract import Direction, RetrievalByClass, RetrievalFigures, RetrievalJob, RetrievalResult, RetrievalSettings
from .embedded_pairs import EmbeddedPairs, Side, embed_pairs, read_test_pairs

_ROUNDING = 1e-9


def first_hits(
    queries: Float[np.ndarray, "queries width"],
    candidates: Float[np.ndarray, "candidates width"],
    query_groups: Int[np.ndarray, "queries"],
    candidate_groups: Int[np.ndarray, "candidates"],
    at_once: int,
) -> FirstHits:
    """Rank all candidates by inner product, `at_once` queries at a time.

    A candidate of the query's group is a hit; every query needs one.
    """
    parts = []
    for first in range(0, len(queries), at_once):
        rows = slice(first, first + at_once)
        scores = queries[rows] @ candidates.T
        hit = query_groups[rows, None] == candidate_groups
        best = np.where(hit, scores, -np.inf).max(axis=1, keepdims=True)
        level = scores == best
        parts.append([(scores > best).sum(axis=1), (level & ~hit).sum(axis=1), (level & hit).sum(axis=1)])
    return FirstHits(*(np.concatenate(counts) for counts in zip(*parts, strict=True)))


def guessed(query_groups: Int[np.ndarray, "queries"], candidate_groups: Int[np.ndarray, "candidates"]) -> FirstHits:
    """Return the hits if all scores are equal, whose recall is the chance level."""
    sizes = np.bincount(candidate_groups, minlength=int(query_groups.max()) + 1)[query_groups]
    return FirstHits(np.zeros_like(sizes), len(candidate_groups) - sizes, sizes)


def guessed_median_rank(guess: FirstHits) -> float:
    """Return the median rank of the first hit, over queries and orders, when candidates come in random order.

    This is not the median of `expected_ranks`: with several hits the rank is skewed, and its mean lies above its
    median.
    """
    missed = np.ones(len(guess.tied))  # probability that no hit is among the first `rank`
    rank = lower = 0
    while missed.mean() > 0.5 - _ROUNDING:
        missed *= np.maximum(guess.tied - rank, 0) / (guess.tied + guess.hits - rank)
        rank += 1
        if not lower and missed.mean() < 0.5 + _ROUNDING:
            lower = rank
    return (lower + rank) / 2  # the two middle ranks, where there are two


_LAST_RECALL = 50  # on the picture
_QUERIES_PER_IMAGE = 8  # queries ranked at once per item embedded at once: 1,024 x 5,000 x 4 bytes = 20 MB


@dataclass(frozen=True)
class Ranked:
    """One direction: the rank of every query's first hit."""

    queries: Side
    candidates: Side
    found: FirstHits

    def record(self, settings: RetrievalSettings) -> Direction:
        """Measure one direction. The interval resamples the patients of the queries; all candidates stay."""
        chance = guessed(self.queries.texts, self.candidates.texts)
        chances = {f"recall_at_{k}": float(chance.recall(k).mean()) for k in settings.recall_at}
        chances["median_rank"] = guessed_median_rank(chance)
        weights = draw_weights(self.queries.patients, settings.draws, settings.seed)
        figures = {
            name: AgainstChance.of(estimate(metric, weights), chances[name])
            for name, metric in retrieval_metrics(self.found, settings.recall_at).items()
        }
        return Direction(
            queries=len(self.queries.texts),
            candidates=len(self.candidates.texts),
            recall={k: figures[f"recall_at_{k}"] for k in settings.recall_at},
            median_rank=figures["median_rank"],
        )

    def rows(self, direction: str) -> list[dict[str, Any]]:
        """Return rows of RANKS, which paired tests between variants need."""
        columns = (self.queries.ids, self.queries.patients, self.found.above, self.found.tied, self.found.hits)
        names = ("query_id", "patient_id", "above", "tied", "hits")
        lists = (column.tolist() for column in columns)
        return [{"direction": direction} | dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]


def rank(pairs: EmbeddedPairs, settings: RetrievalSettings) -> dict[str, Ranked]:
    """Rank both directions; return them by name."""
    at_once = settings.batch_size * _QUERIES_PER_IMAGE
    directions = {"image_to_report": (pairs.images, pairs.reports), "report_to_image": (pairs.reports, pairs.images)}
    return {
        name: Ranked(one, other, first_hits(one.embeddings, other.embeddings, one.texts, other.texts, at_once))
        for name, (one, other) in directions.items()
    }


def figures_of(pairs: EmbeddedPairs, directions: dict[str, Ranked], settings: RetrievalSettings) -> RetrievalFigures:
    """Measure both directions."""
    return RetrievalFigures(
        images=len(pairs.images.texts),
        reports=len(pairs.reports.texts),
        patients=len(np.unique(pairs.reports.patients)),
        distinct_texts=len(np.unique(pairs.reports.texts)),
        sentences_left_out=pairs.sentences_left_out,
        resampled_by="patient",
        **{name: ranked.record(settings) for name, ranked in directions.items()},
    )


def recall_curves(directions: Mapping[str, Ranked]) -> dict[str, tuple[list[int], list[float]]]:
    """Return recall@k of both directions and of guessing, at every k up to `_LAST_RECALL` and the last candidate."""
    found = {}
    for name, each in directions.items():
        places = list(range(1, min(_LAST_RECALL, len(each.candidates.texts)) + 1))
        guess = guessed(each.queries.texts, each.candidates.texts)
        for title, ranks in ((name, each.found), (f"{name}, guessed", guess)):
            found[title.replace("_", " ")] = (places, [float(ranks.recall(k).mean()) for k in places])
    return found


def measure(job: RetrievalJob) -> None:
    """Embed the test pairs, rank them both ways, and write result and ranks."""
    with track_job(job) as run:
        checkpoint = load_checkpoint(job.checkpoint, choose_device(job.device))
        precision = choose_precision(job.settings.encoder_precision, checkpoint.model.device, run)
        studies = read_test_pairs(job.pairs, job.sentences, checkpoint.model)
        directions: dict[str, Ranked] = {}
        by_class: dict[str, ClassRanked] = {}
        if studies is None:
            skipped = "no pair is in the test part; raise `patient_split.test`"
            result = RetrievalResult(split="test", skipped=skipped, figures=None)
            run.log_tag("skipped", skipped)
        else:
            pairs = embed_pairs(checkpoint, studies, ImageStore(job.images), job.settings.batch_size, precision)
            directions = rank(pairs, job.settings)
            result = RetrievalResult(split="test", skipped=None, figures=figures_of(pairs, directions, job.settings))
            run.log_figures(_figures(result.figures))
            if job.labels is not None:
                labels = read_label_matrix(job.labels, job.settings.classes)
                if (found := rank_by_class(pairs, studies, labels, job.settings)) is None:
                    result = result.model_copy(update={"by_class_skipped": "fewer than two classes have test pairs"})
                else:
                    by_class = found
                    result = result.model_copy(update={"by_class": figures_by_class(found, studies, job.settings)})
            run.log_metrics(_class_metrics(result.by_class))
        rows = [row for name, each in by_class.items() for row in each.rows(name)]
        write_rows(job.class_precision, CLASS_PRECISION, rows)
        write_rows(job.ranks, RANKS, [row for name, each in directions.items() for row in each.rows(name)])
        write_record(job.result, result)
        if directions:
            run.pictures.curves("recall.svg", recall_curves(directions), "k: candidates looked at", "recall@k")


def _figures(figures: RetrievalFigures | None) -> dict[str, Estimate]:
    """Return the figures under the names that MLflow shows."""
    directions = figures.directions if figures else {}
    ranks: dict[str, Estimate] = {f"{name}/median_rank": each.median_rank for name, each in directions.items()}
    return ranks | {f"{name}/recall_at_{k}": figure for name, each in directions.items()
                    for k, figure in each.recall.items()}  # fmt: skip


def _class_metrics(found: RetrievalByClass | None) -> dict[str, float]:
    directions = found.directions if found else {}
    return {f"test/{name}/precision_at_{k}": figure.value
            for name, each in directions.items() for k, figure in each.mean.items()}  # fmt: skip
