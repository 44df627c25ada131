"""The protocol: what is chosen on validation, what is measured on test, and that neither sees the other."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from stages.common.data.label_matrix import LabelMatrix, label_matrix
from stages.common.errors import InputError
from stages.zero_shot_classification.contract import FindingResult, ZeroShotSettings
from stages.zero_shot_classification.evaluation import Measured, evaluate


def labels(count: int = 300, patients: bool = True) -> pl.DataFrame:
    generator = np.random.default_rng(0)
    names = [f"p{number // 2}" for number in range(count)] if patients else [None] * count
    split = [("train", "validation", "test")[number // 2 % 3] for number in range(count)]
    return pl.DataFrame(
        {
            "image_id": [f"i{number}" for number in range(count)],
            "patient_id": pl.Series(names, dtype=pl.String),
            "finding": "opacity",
            "target": generator.integers(0, 2, count),
            "split": split,
            "subset": 100,
        }
    )


def measured(table: pl.DataFrame, sets: dict[str, np.ndarray], draws: int) -> tuple[Measured, FindingResult]:
    whole = evaluate(label_matrix(table), {"opacity": sets}, ZeroShotSettings(draws=draws))
    return whole, whole.findings["opacity"]


def scores(table: pl.DataFrame, noise: float, seed: int) -> np.ndarray:
    return table["target"].to_numpy() + noise * np.random.default_rng(seed).standard_normal(len(table))


def test_the_set_that_wins_on_validation_is_measured_on_test() -> None:
    table = labels()
    good, poor = scores(table, 0.5, 1), scores(table, 5.0, 2)
    test = (table["split"] == "test").to_numpy()
    swapped = np.where(test, poor, good), np.where(test, good, poor)  # the winner on test loses on validation
    whole, result = measured(table, {"validation_favourite": swapped[0], "test_favourite": swapped[1]}, draws=200)
    assert whole.metrics == result.metrics  # of the only finding
    assert result.prompt_set == "validation_favourite"
    target = table["target"].to_numpy()[test]
    assert result.metrics["auc"].value == pytest.approx(roc_auc_score(target, poor[test]))
    assert result.metrics["f1"].value == pytest.approx(f1_score(target, poor[test] >= result.threshold))
    assert result.test_images == test.sum()
    assert result.test_positives == target.sum()


def test_every_set_keeps_its_test_auc_whatever_was_chosen() -> None:
    table = labels()
    sets = {"declared_first": scores(table, 3.0, 1), "b": scores(table, 0.5, 2), "c": scores(table, 1.0, 3)}
    _, result = measured(table, sets, draws=200)
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
    (_, one), (_, other) = measured(table, sets, 50), measured(flipped, sets, 50)
    assert (one.prompt_set, one.threshold, one.validation_auc) == (
        other.prompt_set,
        other.threshold,
        other.validation_auc,
    )
    assert one.metrics["auc"].value == pytest.approx(1 - other.metrics["auc"].value)


def test_intervals_say_what_they_resample() -> None:
    table, unknown = labels(), labels(patients=False)
    assert measured(table, {"a": scores(table, 1.0, 1)}, 50)[0].resampled_by == "patient"
    assert measured(unknown, {"a": scores(unknown, 1.0, 1)}, 50)[0].resampled_by == "image"


def test_a_part_with_one_class_is_an_error() -> None:
    table = labels().with_columns(target=pl.when(pl.col("split") == "validation").then(0).otherwise(pl.col("target")))
    with pytest.raises(InputError, match="validation part needs positives and negatives"):
        measured(table, {"a": scores(table, 1.0, 1)}, 50)


def several(count: int = 900) -> tuple[LabelMatrix, dict[str, dict[str, np.ndarray]]]:
    """Give three findings: two common ones, of which one is unknown in a third of the images, and one too rare."""
    generator = np.random.default_rng(3)
    parts = [table.with_columns(finding=pl.lit(name)) for name, table in (("a", labels(count)), ("b", labels(count)))]
    parts[1] = parts[1].with_columns(target=pl.Series(generator.integers(0, 2, count)))
    rare = labels(count).with_columns(finding=pl.lit("rare"), target=(pl.int_range(count) < 8).cast(pl.Int64))
    rows = pl.concat([parts[0], parts[1].filter(pl.Series(generator.random(count) < 2 / 3)), rare])
    matrix = label_matrix(rows)
    noise = {name: generator.standard_normal(count) for name in ("a", "b", "rare")}
    return matrix, {name: {"one": matrix.of(name) + noise[name]} for name in matrix.findings}


def test_findings_are_measured_on_their_own_labels_and_averaged() -> None:
    matrix, sets = several()
    result = evaluate(matrix, sets, ZeroShotSettings(draws=300))
    test = matrix.part("test")
    expected = {}
    for name in ("a", "b"):
        known = test.of(name) >= 0
        scores_ = sets[name]["one"][(matrix.images["split"] == "test").to_numpy()][known]
        expected[name] = roc_auc_score(test.of(name)[known], scores_)
        assert result.findings[name].metrics["auc"].value == pytest.approx(expected[name])
        assert result.findings[name].test_images == known.sum()
    assert list(result.findings) == ["a", "b"]
    assert result.not_measured == {"rare": "2 positive and 298 negative images in test"}
    mean = result.metrics["auc"]
    assert mean.value == pytest.approx(np.mean(list(expected.values())))
    assert mean.low < mean.value < mean.high
    widths = [each.metrics["auc"].high - each.metrics["auc"].low for each in result.findings.values()]
    assert mean.high - mean.low < max(widths)  # findings that err independently


def test_the_order_of_findings_and_images_changes_no_figure() -> None:
    matrix, sets = several()
    turned = matrix.among(matrix.findings[::-1])
    one, other = evaluate(matrix, sets, ZeroShotSettings(draws=50)), evaluate(turned, sets, ZeroShotSettings(draws=50))
    assert one.findings == other.findings
    assert one.metrics["auc"].value == pytest.approx(other.metrics["auc"].value)


def test_without_any_finding_to_measure_one_line_says_what_is_lacking() -> None:
    matrix, sets = several()
    rare = matrix.of("rare")
    both = LabelMatrix(("rare", "rarer"), matrix.images, np.stack([rare, rare], axis=1))
    with pytest.raises(InputError, match="no finding has enough positives and negatives in validation"):
        evaluate(both, {"rare": sets["rare"], "rarer": sets["rare"]}, ZeroShotSettings(draws=50))
