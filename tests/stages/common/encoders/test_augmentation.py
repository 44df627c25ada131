"""Augmentation on a processor and on a GPU against bilinear resampling written out in float64."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.common.encoders.augmentation import DRAWS, _sampled, augment
from stages.common.encoders.settings import AugmentationSettings

TENTH = 0.1 / 255  # of a grey level
strengths = st.builds(
    AugmentationSettings,
    min_area=st.floats(0.05, 1),
    rotation=st.sampled_from([0.0, 5.0, 45.0, 180.0]),
    translation=st.sampled_from([0.0, 0.1, 0.5]),
    scale=st.sampled_from([0.0, 0.3]),
    brightness=st.sampled_from([0.0, 0.1, 0.6]),
    contrast=st.sampled_from([0.0, 0.2, 0.9]),
)


def exact(images: np.ndarray, size: int, strength: AugmentationSettings, draw: np.ndarray) -> np.ndarray:
    """The changes one after the other: where an output pixel lies in the image, its value there, contrast, brightness.

    Positions are in shares of the side from the middle, so that rotation and size are about the middle of the crop.
    """
    out = np.empty((len(images), size, size))
    y, x = np.mgrid[0:size, 0:size]
    x, y = (x + 0.5) / size - 0.5, (y + 0.5) / size - 0.5
    for number, image in enumerate(images):
        area, left, top, contrast, brightness, turn, extent, right, down = 2 * draw[:, number].astype(np.float64) - 1
        side = math.sqrt(strength.min_area + (1 - strength.min_area) * (area + 1) / 2)
        angle = math.radians(strength.rotation) * turn
        length = side * (1 + strength.scale * extent)
        u = length * (math.cos(angle) * x - math.sin(angle) * y) + (1 - side) * left / 2 + strength.translation * right
        v = length * (math.sin(angle) * x + math.cos(angle) * y) + (1 - side) * top / 2 + strength.translation * down
        grey = bilinear(image / 255, *((each + 0.5) * len(image) - 0.5 for each in (v, u)))
        grey = (grey - 0.5) * (1 + strength.contrast * contrast) + 0.5 + strength.brightness * brightness
        out[number] = grey.clip(0, 1)
    return out


def bilinear(image: np.ndarray, v: np.ndarray, u: np.ndarray) -> np.ndarray:
    last = len(image) - 1
    v, u = v.clip(0, last), u.clip(0, last)
    row, column = np.floor(v).astype(int), np.floor(u).astype(int)
    below, beside = np.minimum(row + 1, last), np.minimum(column + 1, last)
    v, u = v - row, u - column
    upper = image[row, column] * (1 - u) + image[row, beside] * u
    return upper * (1 - v) + (image[below, column] * (1 - u) + image[below, beside] * u) * v


@given(
    strength=strengths, stored=st.integers(2, 300), size=st.sampled_from([1, 16, 50, 224]), count=st.integers(0, 3),
    seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_both_ways_are_within_a_tenth_of_a_grey_level(strength, stored, size, count, seed) -> None:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, stored, stored), dtype=np.uint8)  # noise: as steep as images can be
    draw = random.random((DRAWS, count), dtype=np.float32)
    expected = exact(images, size, strength, draw)
    found = augment(torch.from_numpy(images), size, strength, torch.from_numpy(draw))
    assert (found.dtype, found.shape) == (torch.float32, (count, size, size))
    np.testing.assert_allclose(found, expected, rtol=0, atol=TENTH)


def test_a_gpus_way_is_the_processors(monkeypatch) -> None:
    """PyTorch's resampling, which a GPU uses, here on the processor."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (8, 200, 200), dtype=np.uint8)
    draw = random.random((DRAWS, 8), dtype=np.float32)
    strength = AugmentationSettings(rotation=30, translation=0.2, scale=0.2)
    monkeypatch.setattr("stages.common.encoders.augmentation._warped", _sampled)
    found = augment(torch.from_numpy(images), 96, strength, torch.from_numpy(draw))
    np.testing.assert_allclose(found, exact(images, 96, strength, draw), rtol=0, atol=TENTH)


def test_an_image_does_not_depend_on_its_batch() -> None:
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.integers(0, 256, (6, 40, 40), dtype=np.uint8))
    draw = torch.from_numpy(random.random((DRAWS, 6), dtype=np.float32))
    whole = augment(images, 32, AugmentationSettings(), draw)
    parts = [augment(images[place], 32, AugmentationSettings(), draw[:, place]) for place in (slice(0, 1), slice(1, 6))]
    assert torch.equal(torch.cat(parts), whole)
