"""What a job reports, against scikit-learn and hand-made tables."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score
from split_audit import CLEAN

from stages.common.data.label_matrix import LabelMatrix, label_matrix
from stages.common.few_shot.parts import Parts, split_parts
from stages.few_shot_classification.contract import FewShotResult, LinearJobSettings
from stages.few_shot_classification.evaluation import KnownTargets, SeedScores, result_of, validation_auc


def evaluate(parts: Parts, runs: list[SeedScores], draws: int, seed: int) -> dict:
    """result.json, as it is written and read."""
    result = result_of("linear", LinearJobSettings(draws=draws, seed=seed), parts, runs, CLEAN)
    return FewShotResult.model_validate_json(result.model_dump_json()).model_dump(mode="json")


def targets_of(part: LabelMatrix) -> np.ndarray:
    return part.targets[:, 0].astype(int)


def noisy(parts: Parts, noise: float, seed: int) -> SeedScores:
    random = np.random.default_rng(seed)
    validation, test = (
        (part.targets + noise * random.normal(size=part.targets.shape)).astype(np.float32)
        for part in (parts.validation, parts.test)
    )
    return SeedScores(seed, 7, validation_auc(validation, parts.validation.targets), validation, test)


@pytest.fixture
def parts(labels) -> Parts:
    return split_parts(label_matrix(labels), 10, Path("labels.arrow"))


def test_figures_are_the_means_of_scikit_learns(parts) -> None:
    runs = [noisy(parts, 0.7, seed) for seed in range(3)]
    result = evaluate(parts, runs, draws=200, seed=0)
    targets = targets_of(parts.test)
    truth = [
        {
            "auc": roc_auc_score(targets, run.test[:, 0]),
            "average_precision": average_precision_score(targets, run.test[:, 0]),
            "f1": f1_score(targets, run.test[:, 0] >= each["thresholds"]["lung_opacity"]),
            "accuracy": accuracy_score(targets, run.test[:, 0] >= each["thresholds"]["lung_opacity"]),
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
        best = max(f1_score(targets, run.validation[:, 0] >= level) for level in run.validation[:, 0])
        assert f1_score(targets, run.validation[:, 0] >= each["thresholds"]["lung_opacity"]) == pytest.approx(best)
    flipped = replace(parts, test=replace(parts.test, targets=1 - parts.test.targets))
    other = evaluate(flipped, runs, draws=50, seed=0)
    kept = ("seed", "kept_at", "validation_auc", "thresholds")
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
    unknown = parts.test.images.with_columns(patient_id=pl.lit(None, dtype=pl.String))
    result = evaluate(replace(parts, test=replace(parts.test, images=unknown)), [noisy(parts, 0.7, 0)], 50, 0)
    assert result["resampled_by"] == "image"


def test_a_skipped_job_says_why_and_has_no_figures(labels) -> None:
    spoilt = labels.filter((pl.col("split") != "train") | (pl.col("target") == 0))
    result = evaluate(split_parts(label_matrix(spoilt), 1, Path("labels.arrow")), [], draws=50, seed=0)
    assert "all with target 0" in result["skipped"]
    assert (result["metrics"], result["seeds"]) == ({}, [])
    assert result["images"]["train"]["positives"] == 0


def test_several_findings_are_measured_on_known_labels_and_averaged(labels) -> None:
    generator = np.random.default_rng(5)
    other = labels.with_columns(finding=pl.lit("edema"), target=pl.Series(generator.integers(0, 2, len(labels))))
    known = pl.concat([labels, other.filter(pl.Series(generator.random(len(labels)) < 0.7))])
    parts = split_parts(label_matrix(known), 100, Path("labels.arrow"))
    runs = [noisy(parts, 0.7, seed) for seed in range(2)]
    result = evaluate(parts, runs, draws=100, seed=0)
    by_seed = np.zeros((2, 2))
    for column, finding in enumerate(parts.findings):
        used = parts.test.targets[:, column] >= 0
        targets = parts.test.targets[used, column]
        own = result["findings"][finding]
        assert own["images"]["test"] == {"images": used.sum(), "positives": targets.sum()}
        by_seed[:, column] = [roc_auc_score(targets, run.test[used, column]) for run in runs]
        assert own["metrics"]["auc"]["value"] == pytest.approx(by_seed[:, column].mean())
        assert own["metrics"]["auc"]["spread"] == pytest.approx(by_seed[:, column].std(ddof=1))
    assert result["metrics"]["auc"]["value"] == pytest.approx(by_seed.mean())
    assert result["metrics"]["auc"]["spread"] == pytest.approx(by_seed.mean(axis=1).std(ddof=1))
    assert [each["auc"] for each in result["seeds"]] == pytest.approx(by_seed.mean(axis=1))
    assert runs[0].validation_auc == pytest.approx(
        np.mean([roc_auc_score(*pair) for pair in
                 ((each[0][each[0] >= 0], each[1][each[0] >= 0])
                  for each in zip(parts.validation.targets.T, runs[0].validation.T, strict=True))])
    )  # fmt: skip


def test_unknown_labels_teach_nothing() -> None:
    logits = torch.tensor([[0.3, -2.0], [1.0, 0.5]], requires_grad=True)
    targets = torch.tensor([[1.0, -1.0], [0.0, 1.0]])
    loss = KnownTargets.of(targets).loss(logits)
    p = torch.sigmoid(logits)
    truth = -(p[0, 0].log() + (1 - p[1, 0]).log() + p[1, 1].log()) / 3
    assert loss.item() == pytest.approx(truth.item())
    loss.backward()
    assert logits.grad[0, 1] == 0
    assert KnownTargets.of(torch.full((2, 2), -1.0)).loss(logits).item() == 0
