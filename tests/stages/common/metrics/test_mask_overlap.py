"""Dice and IoU against tables made by hand and sets of pixels; predicting nothing scores the share of negatives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.common.metrics.overlap import Overlaps, segmentation_metrics
from stages.few_shot_segmentation.evaluation import THRESHOLDS, best_threshold, count, dice_of_positives, join


def at_one_threshold(truth: list[int], predicted: list[int], both: list[int]) -> Overlaps:
    return Overlaps(np.array(truth), np.array(predicted)[:, None], np.array(both)[:, None])


def figures(overlaps: Overlaps) -> dict[str, float]:
    once = np.ones((1, len(overlaps.truth)))
    return {name: float(metric(once)[0]) for name, metric in segmentation_metrics(overlaps).items()}


def test_a_table_made_by_hand() -> None:
    """Half found; found and as much again; missed; an empty one left empty; an empty one filled."""
    found = figures(at_one_threshold([4, 4, 4, 0, 0], [2, 8, 0, 0, 3], [2, 4, 0, 0, 0]))
    assert found["dice_of_positives"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert found["iou_of_positives"] == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert found["dice"] == pytest.approx((2 / 3 + 2 / 3 + 0 + 1 + 0) / 5)
    assert found["predict_nothing"] == pytest.approx(2 / 5)
    assert found["gain_over_nothing"] == pytest.approx(found["dice"] - 2 / 5)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_pixel_by_pixel(seed: int) -> None:
    draw = np.random.default_rng(seed)
    probabilities = draw.choice(np.append(THRESHOLDS, [0.0, 0.333, 1.0]), (3, 4, 4))  # exactly on thresholds, too
    masks = draw.random((3, 4, 4)) < draw.choice([0.0, 0.5])
    overlaps = count(probabilities, masks)
    for image in range(3):
        for place, threshold in enumerate(THRESHOLDS):
            predicted = {pixel for pixel, p in np.ndenumerate(probabilities[image]) if p >= threshold}
            truth = {pixel for pixel, inside in np.ndenumerate(masks[image]) if inside}
            both, either = len(predicted & truth), len(predicted | truth)
            dice = 2 * both / (len(predicted) + len(truth)) if either else 1
            iou = both / either if either else 1
            assert overlaps.dice()[image, place] == pytest.approx(dice)
            assert overlaps.iou()[image, place] == pytest.approx(iou)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30).filter(any))
@settings(max_examples=30, deadline=None)
def test_predicting_nothing_scores_the_share_of_negatives(truth: list[int]) -> None:
    nothing = at_one_threshold(truth, [0] * len(truth), [0] * len(truth))
    found = figures(nothing)
    assert found["dice"] == found["predict_nothing"] == pytest.approx(truth.count(0) / len(truth))
    assert found["dice_of_positives"] == found["gain_over_nothing"] == 0


def test_weights_are_repeated_images() -> None:
    one = at_one_threshold([4, 0, 2], [2, 3, 2], [2, 0, 1])
    twice = at_one_threshold([4, 4, 2], [2, 2, 2], [2, 2, 1])
    weights = np.array([[2.0, 0.0, 1.0]])
    for name, metric in segmentation_metrics(one).items():
        assert float(metric(weights)[0]) == pytest.approx(figures(twice)[name])


def test_a_draw_without_positives_has_no_figure_of_positives() -> None:
    metrics = segmentation_metrics(at_one_threshold([4, 0], [4, 0], [4, 0]))
    assert np.isnan(metrics["dice_of_positives"](np.array([[0.0, 2.0]]))[0])
    assert metrics["dice"](np.array([[0.0, 2.0]]))[0] == 1


def test_the_threshold_is_the_best_over_all_images_and_the_criterion_asks_positives_alone() -> None:
    """A positive at .4 and a negative with a spot at .6: low thresholds outline both, high ones neither."""
    probabilities = np.zeros((2, 2, 2))
    probabilities[0, 0], probabilities[1, 0, 0] = 0.42, 0.61
    masks = np.zeros((2, 2, 2), dtype=bool)
    masks[0, 0] = True
    overlaps = count(probabilities, masks)
    assert THRESHOLDS[best_threshold(overlaps)] == 0.05  # 1 and 0; above .61: 0 and 1; the lowest of equals
    assert dice_of_positives(overlaps) == 1
    rows = join([count(probabilities[[row]], masks[[row]]) for row in (0, 1)])
    np.testing.assert_array_equal(rows.both, overlaps.both)
    assert overlaps.at(3).predicted.tolist() == [[2], [1]]
