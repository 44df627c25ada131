"""What a job reports, against scikit-learn and hand-made tables."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score
from split_audit import CLEAN

from stages.common.few_shot.parts import Parts, split_parts, targets_of
from stages.few_shot_classification.contract import FewShotResult, LinearJobSettings
from stages.few_shot_classification.evaluation import SeedScores, result_of


def evaluate(parts: Parts, runs: list[SeedScores], draws: int, seed: int) -> dict:
    """result.json, as it is written and read."""
    result = result_of("linear", LinearJobSettings(draws=draws, seed=seed), parts, runs, CLEAN)
    return FewShotResult.model_validate_json(result.model_dump_json()).model_dump(mode="json")


def noisy(parts: Parts, noise: float, seed: int) -> SeedScores:
    random = np.random.default_rng(seed)
    validation, test = (
        (targets_of(part) + noise * random.normal(size=part.height)).astype(np.float32)
        for part in (parts.validation, parts.test)
    )
    return SeedScores(seed, 7, roc_auc_score(targets_of(parts.validation), validation), validation, test)


@pytest.fixture
def parts(labels) -> Parts:
    return split_parts(labels, 10, Path("labels.arrow"))


def test_figures_are_the_means_of_scikit_learns(parts) -> None:
    runs = [noisy(parts, 0.7, seed) for seed in range(3)]
    result = evaluate(parts, runs, draws=200, seed=0)
    targets = targets_of(parts.test)
    truth = [
        {
            "auc": roc_auc_score(targets, run.test),
            "average_precision": average_precision_score(targets, run.test),
            "f1": f1_score(targets, run.test >= each["threshold"]),
            "accuracy": accuracy_score(targets, run.test >= each["threshold"]),
        }
        for run, each in zip(runs, result["seeds"], strict=True)
    ]
    for name, figure in result["metrics"].items():
        values = [each[name] for each in truth]
        assert figure["value"] == pytest.approx(np.mean(values))
        assert figure["spread"] == pytest.approx(np.std(values, ddof=1))
        assert figure["low"] < figure["value"] < figure["high"]
        assert [each[name] for each in result["seeds"]] == pytest.approx(values)
    assert result["images"]["test"] == {"images": len(targets), "positives": targets.sum()}
    assert result["resampled_by"] == "patient"


def test_thresholds_come_from_validation(parts) -> None:
    runs = [noisy(parts, 0.7, seed) for seed in range(2)]
    result = evaluate(parts, runs, draws=50, seed=0)
    for run, each in zip(runs, result["seeds"], strict=True):
        targets = targets_of(parts.validation)
        best = max(f1_score(targets, run.validation >= level) for level in run.validation)
        assert f1_score(targets, run.validation >= each["threshold"]) == pytest.approx(best)
    flipped = Parts(parts.finding, parts.train, parts.validation, parts.test.with_columns(target=1 - pl.col("target")))
    other = evaluate(flipped, runs, draws=50, seed=0)
    kept = ("seed", "kept_at", "validation_auc", "threshold")
    assert [[each[key] for key in kept] for each in result["seeds"]] == [
        [each[key] for key in kept] for each in other["seeds"]
    ]
    assert other["metrics"]["auc"]["value"] == pytest.approx(1 - result["metrics"]["auc"]["value"])


def test_scores_that_know_nothing_have_one_half_in_their_interval(parts) -> None:
    figure = evaluate(parts, [noisy(parts, 1e6, seed) for seed in range(3)], 500, 0)["metrics"]["auc"]
    assert figure["low"] < 0.5 < figure["high"]


def test_perfect_scores(parts) -> None:
    metrics = evaluate(parts, [noisy(parts, 0.0, 0)], 50, 0)["metrics"]
    assert {(figure["value"], figure["low"], figure["high"]) for figure in metrics.values()} == {(1, 1, 1)}
    assert metrics["auc"]["spread"] is None  # one repetition says nothing about others


def test_patients_unknown_are_resampled_as_images(parts) -> None:
    unknown = parts.test.with_columns(patient_id=pl.lit(None, dtype=pl.String))
    result = evaluate(Parts(parts.finding, parts.train, parts.validation, unknown), [noisy(parts, 0.7, 0)], 50, 0)
    assert result["resampled_by"] == "image"


def test_a_skipped_job_says_why_and_has_no_figures(labels) -> None:
    spoilt = labels.filter((pl.col("split") != "train") | (pl.col("target") == 0))
    result = evaluate(split_parts(spoilt, 1, Path("labels.arrow")), [], draws=50, seed=0)
    assert "all with target 0" in result["skipped"]
    assert (result["metrics"], result["seeds"]) == ({}, [])
    assert result["images"]["train"]["positives"] == 0
