"""CNR and IoU against closed forms and scikit-learn, places against drawn regions."""

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from stages.phrase_grounding.located_images import place_of
from stages.phrase_grounding.pointing import THRESHOLDS, MapScores, best_threshold, contrast_to_noise, ious

EVERYWHERE = np.ones((1, 12, 12), dtype=bool)


def box(top: int, left: int, height: int, width: int, size: int = 12) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


def test_contrast_of_two_levels_with_noise_by_hand() -> None:
    """Inside 3 +- 1, outside 1 +- 1: (3 - 1) / sqrt(1 + 1)."""
    region = box(0, 0, 6, 12)[None]
    ripple = np.tile([1.0, -1.0], (12, 6))[None]
    maps = np.where(region, 3, 1) + ripple
    assert contrast_to_noise(maps, region, EVERYWHERE)[0] == pytest.approx(2 / np.sqrt(2))
    assert contrast_to_noise(-maps, region, EVERYWHERE)[0] == pytest.approx(-2 / np.sqrt(2))
    assert contrast_to_noise(maps * 7 + 3, region, EVERYWHERE)[0] == pytest.approx(2 / np.sqrt(2))


def test_flat_maps_and_regions_that_fill_the_image_have_no_contrast() -> None:
    flat = np.full((1, 12, 12), 0.3)
    assert contrast_to_noise(flat, box(0, 0, 3, 3)[None], EVERYWHERE)[0] == 0
    assert contrast_to_noise(np.random.default_rng(0).random((1, 12, 12)), EVERYWHERE, EVERYWHERE)[0] == 0
    assert ious(flat, box(0, 0, 3, 3)[None], EVERYWHERE).max() == 0


def test_padding_counts_for_nothing() -> None:
    region, content = box(2, 2, 3, 3)[None], box(1, 1, 10, 10)[None]
    maps = np.random.default_rng(1).random((1, 12, 12))
    loud = np.where(content, maps, 99)
    assert contrast_to_noise(loud, region, content)[0] == contrast_to_noise(maps, region, content)[0]
    np.testing.assert_array_equal(ious(loud, region, content), ious(maps, region, content))


def test_ious_equal_scikit_learn_at_every_threshold() -> None:
    generator = np.random.default_rng(0)
    maps, region = generator.normal(size=(1, 12, 12)), generator.random((1, 12, 12)) < 0.3
    region[0, 0, 0] = True
    scaled = (maps - maps.min()) / (maps.max() - maps.min())
    truth = [jaccard_score(region.ravel(), (scaled >= level).ravel()) for level in THRESHOLDS]
    np.testing.assert_allclose(ious(maps, region, EVERYWHERE)[0], truth, atol=1e-12)


def test_the_region_itself_as_a_map_has_iou_one_and_the_threshold_is_the_best_of_all() -> None:
    region = box(3, 4, 5, 2)[None]
    assert ious(region.astype(float), region, EVERYWHERE).min() == 1
    scores = np.array([[0.1, 0.5, 0.5], [0.3, 0.4, 0.4]])
    assert best_threshold(scores) == 1


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (box(0, 1, 2, 3), ("right", "upper")),
        (box(5, 8, 2, 3), ("left", "mid")),
        (box(9, 7, 3, 4), ("left", "lower")),
        (box(9, 1, 3, 9), ("right", "lower")),  # five columns on the right side, four on the left
    ],
)
def test_places_have_the_words_of_the_patients_side_and_the_zone(region: np.ndarray, words: tuple[str, str]) -> None:
    place = place_of(region, np.ones((12, 12), dtype=bool))
    assert place.words(("side", "zone")) == words
    assert place.words(()) == ()
    assert place.words(("zone",)) == words[1:]
    assert (place.part <= region).all()
    assert place.part.any()


def test_zones_are_thirds_of_the_lungs_where_they_are_known() -> None:
    region = box(3, 7, 1, 2)
    assert place_of(region, box(0, 0, 12, 12)).zone == "upper"
    assert place_of(region, box(0, 0, 4, 12)).zone == "lower"
    assert place_of(region, box(0, 6, 12, 6)).side == "right"  # the midline is that of the frame


def test_of_a_finding_on_both_sides_the_named_part_is_the_larger_one() -> None:
    both = box(0, 0, 2, 3) | box(0, 8, 2, 4)
    place = place_of(both, np.ones((12, 12), dtype=bool))
    assert place.side == "left"
    np.testing.assert_array_equal(place.part, box(0, 8, 2, 4))


def test_mean_iou_is_over_five_fixed_thresholds_by_hand() -> None:
    """Half of the box at 1, the other at .35: IoU 1 at .1 .2 .3, and 1/2 at .4 .5. A map upside down finds the rest."""
    region = box(2, 4, 4, 4)[None]
    maps = np.where(box(2, 4, 4, 2), 1.0, np.where(region, 0.35, 0.0))
    assert MapScores(np.ones(1), np.ones(1), ious(maps, region, EVERYWHERE)).mean_iou == pytest.approx([0.8])
    upside_down = MapScores(np.ones(1), np.ones(1), ious(-maps, region, EVERYWHERE)).mean_iou
    assert upside_down == pytest.approx([8 / 144])  # all of the image but the brighter half of the box, at each of them


def test_mean_iou_is_the_mean_of_scikit_learns() -> None:
    generator = np.random.default_rng(1)
    maps, region = generator.normal(size=(1, 12, 12)), generator.random((1, 12, 12)) < 0.3
    scaled = (maps - maps.min()) / (maps.max() - maps.min())
    truth = np.mean([jaccard_score(region.ravel(), (scaled >= level).ravel()) for level in (0.1, 0.2, 0.3, 0.4, 0.5)])
    assert MapScores(np.ones(1), np.ones(1), ious(maps, region, EVERYWHERE)).mean_iou == pytest.approx([truth])
