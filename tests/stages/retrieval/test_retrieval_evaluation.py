"""Both directions with chance and intervals, on embeddings whose truth is known."""

import numpy as np
import pytest

from stages.retrieval.contract import RetrievalSettings
from stages.retrieval.embedded_pairs import EmbeddedPairs, Side
from stages.retrieval.evaluation import figures_of, rank

DIRECTIONS = ("image_to_report", "report_to_image")


def pairs(images: np.ndarray, reports: np.ndarray, texts: np.ndarray, study_of: np.ndarray) -> EmbeddedPairs:
    """Two studies a patient."""
    patients = np.array([f"p{number // 2}" for number in range(len(texts))])
    return EmbeddedPairs(
        Side(study_of, images.astype(np.float32), texts[study_of], patients[study_of]),
        Side(np.arange(len(texts)), reports.astype(np.float32), texts, patients),
        sentences_left_out=3,
    )


def evaluate(pairs: EmbeddedPairs, settings: RetrievalSettings) -> dict:
    return figures_of(pairs, rank(pairs, settings), settings).model_dump(mode="json")


def test_perfect_embeddings_with_several_images_a_study() -> None:
    study_of = np.repeat(np.arange(20), 2)
    result = evaluate(pairs(np.eye(20)[study_of], np.eye(20), np.arange(20), study_of), RetrievalSettings(draws=50))
    assert (result["images"], result["reports"], result["patients"], result["distinct_texts"]) == (40, 20, 10, 20)
    for direction, queries, candidates in zip(DIRECTIONS, (40, 20), (20, 40), strict=True):
        part = result[direction]
        assert (part["queries"], part["candidates"]) == (queries, candidates)
        assert part["median_rank"]["value"] == 1
        assert {figure["low"] for figure in part["recall"].values()} == {1}
    assert result["image_to_report"]["recall"]["5"]["chance"] == pytest.approx(5 / 20)
    assert result["image_to_report"]["median_rank"]["chance"] == pytest.approx(21 / 2)
    assert result["report_to_image"]["recall"]["1"]["chance"] == pytest.approx(2 / 40)
    assert (
        result["report_to_image"]["median_rank"]["chance"] == 12
    )  # P(rank <= 12) = 1 - 28 x 27 / (40 x 39) = .52, of 11: .48


@pytest.mark.parametrize("texts_shared_by", [1, 3])
def test_embeddings_that_know_nothing_are_at_chance(texts_shared_by: int) -> None:
    """In most of 40 intervals; in none of them if chance or median were those of another number of hits."""
    covered = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        vectors = [random.normal(size=(240, 16)) for _ in range(2)]
        result = evaluate(
            pairs(*vectors, np.arange(240) // texts_shared_by, np.arange(240)), RetrievalSettings(draws=200)
        )
        for direction in DIRECTIONS:
            figures = [result[direction]["recall"]["10"], result[direction]["median_rank"]]
            covered += [figure["low"] <= figure["chance"] <= figure["high"] for figure in figures]
    assert np.mean(covered) > 0.75


def test_the_interval_resamples_patients() -> None:
    """Half of the patients found, half not: the recall of 100 patients has the spread of 100 coins, not of 200."""
    found = np.repeat(np.arange(100) % 2, 2).astype(bool)
    images = np.where(found[:, None], np.eye(200), np.roll(np.eye(200), 7, axis=0))
    study = np.arange(200)
    figure = evaluate(pairs(images, np.eye(200), study, study), RetrievalSettings(draws=2000))["image_to_report"]
    recall = figure["recall"]["1"]
    assert recall["value"] == 0.5
    assert recall["high"] - recall["low"] == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(100), rel=0.1)
