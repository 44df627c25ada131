"""Recall@k and median rank of both directions, with intervals by patient and the chance level beside each."""

from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from stages.common.ranking_metrics import draw_weights, estimate
from stages.retrieval.embedded_pairs import EmbeddedPairs, Side
from stages.retrieval.first_hits import first_hits, guessed, guessed_median_rank, weighted_median
from stages.retrieval.settings import RetrievalSettings

_QUERIES_PER_IMAGE = 8  # ranked at once for each that is embedded at once: 1,024 x 5,000 x 4 bytes = 20 MB


def evaluate(pairs: EmbeddedPairs, settings: RetrievalSettings) -> dict[str, Any]:
    """The figures of result.json. The interval resamples the patients of the queries; all candidates stay."""
    return {
        "images": len(pairs.images.texts),
        "reports": len(pairs.reports.texts),
        "patients": len(np.unique(pairs.reports.patients)),
        "distinct_texts": len(np.unique(pairs.reports.texts)),
        "sentences_left_out": pairs.sentences_left_out,
        "resampled_by": "patient",
        "image_to_report": _direction(pairs.images, pairs.reports, settings),
        "report_to_image": _direction(pairs.reports, pairs.images, settings),
    }


def _direction(queries: Side, candidates: Side, settings: RetrievalSettings) -> dict[str, Any]:
    found = first_hits(
        queries.embeddings,
        candidates.embeddings,
        queries.texts,
        candidates.texts,
        settings.batch_size * _QUERIES_PER_IMAGE,
    )
    chance = guessed(queries.texts, candidates.texts)
    weights = draw_weights(queries.patients, settings.draws, settings.seed)
    ranks = found.expected_ranks()
    median = asdict(estimate(lambda drawn: weighted_median(ranks, drawn), weights))
    return {
        "queries": len(ranks),
        "candidates": len(candidates.texts),
        "recall": {
            str(k): asdict(estimate(partial(_weighted_mean, found.recall(k)), weights))
            | {"chance": float(chance.recall(k).mean())}
            for k in settings.recall_at
        },
        "median_rank": median | {"chance": guessed_median_rank(chance)},
    }


def _weighted_mean(
    values: Float[np.ndarray, "queries"], weights: Float[np.ndarray, "draws queries"]
) -> Float[np.ndarray, "draws"]:
    return weights @ values / weights.sum(axis=1)
