"""Pointing: planted peaks, the baselines' closed forms, and geometry against a drawn image."""

import cv2
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from stages.common.data.labelled_images import region, to_stored
from stages.common.encoders.dual import to_pixels
from stages.phrase_grounding.heatmaps import describe
from stages.phrase_grounding.pointing import hits, peak, random_hits


def square(size: int, top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_a_planted_peak_hits_its_region_and_padding_never_wins() -> None:
    heatmap = np.zeros((2, 8, 8))
    heatmap[:, 2, 5] = 1
    heatmap[:, 0, 0] = 9  # in the padding
    allowed = np.ones((2, 8, 8), dtype=bool)
    allowed[:, 0] = False
    regions = np.stack([square(8, 2, 4, 2), square(8, 4, 4, 2)])
    assert peak(heatmap[0], allowed[0]) == (2, 5)
    assert hits(heatmap, regions, allowed).tolist() == [1, 0]


def test_chance_in_the_lungs_is_the_share_of_lung_covered() -> None:
    lungs = np.stack([square(8, 0, 0, 4), square(8, 0, 0, 4)])
    regions = np.stack([square(8, 0, 0, 2), square(8, 3, 3, 4)])
    assert random_hits(regions, lungs).tolist() == [4 / 16, 1 / 16]


def test_a_miss_by_one_pixel_is_a_miss() -> None:
    """No tolerance, unlike the game as it was first played."""
    heatmap = np.zeros((1, 8, 8))
    heatmap[0, 2, 5] = 1
    everywhere = np.ones((1, 8, 8), dtype=bool)
    assert hits(heatmap, square(8, 2, 6, 2)[np.newaxis], everywhere).tolist() == [0]


def test_a_box_and_its_mask_are_one_region() -> None:
    box = region({"mask": None, "boxes": [[2.0, 1.0, 3.0, 2.0]]}, rows=6, columns=8)
    expected = np.zeros((6, 8), dtype=bool)
    expected[1:3, 2:5] = True
    np.testing.assert_array_equal(box, expected)
    np.testing.assert_array_equal(region({"mask": [10, 3, 18, 3], "boxes": []}, 6, 8), expected)


@pytest.mark.parametrize(("rows", "columns", "content_box"), [(80, 40, [16, 0, 32, 64]), (40, 80, [0, 16, 64, 32])])
def test_a_mask_lands_where_the_picture_lands(rows: int, columns: int, content_box: list[int]) -> None:
    """Draw a rectangle, resize and pad the picture by itself: the mask must follow it to the pixel."""
    mask = np.zeros((rows, columns), dtype=bool)
    mask[10:30, 10:30] = True
    x, y, width, height = content_box
    picture = np.zeros((64, 64), dtype=np.uint8)
    shrunk = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA)
    picture[y : y + height, x : x + width] = shrunk
    np.testing.assert_array_equal(to_stored(mask, content_box, 64), picture >= 128)


def test_grid_values_are_row_major_on_the_image() -> None:
    values = torch.zeros(1, 9)
    values[0, 5] = 1  # second row, third column
    pixels = to_pixels(values, 30)[0].numpy()
    row, column = peak(pixels, np.ones((30, 30), dtype=bool))
    assert 10 <= row < 20 <= column


def test_integrity_map_is_described_by_its_scale_and_its_lean_into_the_lungs() -> None:
    phi = torch.randn(16, generator=torch.Generator().manual_seed(0))
    lungs = np.stack([square(8, 2, 2, 4)] * 3)
    described = describe(phi, lungs)
    pixels = to_pixels(phi.unsqueeze(0), 8)[0].numpy().ravel()
    assert described.lung_auc == pytest.approx(roc_auc_score(lungs[0].ravel(), pixels))
    assert (described.smallest, described.largest) == (float(phi.min()), float(phi.max()))
    assert describe(phi, None).lung_auc is None
