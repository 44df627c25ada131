"""The protocol: what is chosen on validation, what is measured on test, and that neither sees the other."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from stages.common.errors import InputError
from stages.zero_shot_classification.evaluation import evaluate


def labels(count: int = 300, patients: bool = True) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    names = [f"p{number // 2}" for number in range(count)] if patients else [None] * count
    split = [("train", "validation", "test")[number // 2 % 3] for number in range(count)]
    return pl.DataFrame(
        {
            "image_id": [f"i{number}" for number in range(count)],
            "patient_id": pl.Series(names, dtype=pl.String),
            "split": split,
            "target": generator.integers(0, 2, count),
        }
    )


def scores(table: pl.DataFrame, noise: float, seed: int) -> np.ndarray:
    return table["target"].to_numpy() + noise * np.random.default_rng(seed).standard_normal(len(table))


def test_the_set_that_wins_on_validation_is_measured_on_test() -> None:
    table = labels()
    good, poor = scores(table, 0.5, 1), scores(table, 5.0, 2)
    test = (table["split"] == "test").to_numpy()
    swapped = np.where(test, poor, good), np.where(test, good, poor)  # the winner on test loses on validation
    result = evaluate(table, {"validation_favourite": swapped[0], "test_favourite": swapped[1]}, draws=200, seed=0)
    assert result.prompt_set == "validation_favourite"
    target = table["target"].to_numpy()[test]
    assert result.metrics["auc"].value == pytest.approx(roc_auc_score(target, poor[test]))
    assert result.metrics["f1"].value == pytest.approx(f1_score(target, poor[test] >= result.threshold))
    assert result.test_images == test.sum()
    assert result.test_positives == target.sum()


def test_every_set_keeps_its_test_auc_whatever_was_chosen() -> None:
    table = labels()
    sets = {"declared_first": scores(table, 3.0, 1), "b": scores(table, 0.5, 2), "c": scores(table, 1.0, 3)}
    result = evaluate(table, sets, draws=200, seed=0)
    assert result.prompt_set == "b"
    assert list(result.test_auc) == list(sets)
    test = (table["split"] == "test").to_numpy()
    for name, each in sets.items():
        found = result.test_auc[name]
        assert found.value == pytest.approx(roc_auc_score(table["target"].to_numpy()[test], each[test]))
        assert found.low < found.value < found.high
    assert result.test_auc["b"] == result.metrics["auc"]


def test_test_labels_do_not_move_the_choice() -> None:
    table = labels()
    sets = {"a": scores(table, 1.0, 1), "b": scores(table, 1.2, 2)}
    flipped = table.with_columns(
        target=pl.when(pl.col("split") == "test").then(1 - pl.col("target")).otherwise(pl.col("target"))
    )
    one, other = evaluate(table, sets, 50, 0), evaluate(flipped, sets, 50, 0)
    assert (one.prompt_set, one.threshold, one.validation_auc) == (
        other.prompt_set,
        other.threshold,
        other.validation_auc,
    )
    assert one.metrics["auc"].value == pytest.approx(1 - other.metrics["auc"].value)


def test_intervals_say_what_they_resample() -> None:
    table, unknown = labels(), labels(patients=False)
    assert evaluate(table, {"a": scores(table, 1.0, 1)}, 50, 0).resampled_by == "patient"
    assert evaluate(unknown, {"a": scores(unknown, 1.0, 1)}, 50, 0).resampled_by == "image"


def test_a_part_with_one_class_is_an_error() -> None:
    table = labels().with_columns(target=pl.when(pl.col("split") == "validation").then(0).otherwise(pl.col("target")))
    with pytest.raises(InputError, match="validation part needs positives and negatives"):
        evaluate(table, {"a": scores(table, 1.0, 1)}, 50, 0)
