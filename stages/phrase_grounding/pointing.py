"""Scores of maps: pointing game, contrast-to-noise ratio, IoU, and the baselines that need no model.

In the pointing game (Zhang et al., IJCV 2018) a map hits if its peak lies in the finding. The others say how well a
map agrees with a region beyond its peak. BioViL's table has two of them (Boecking et al., ECCV 2022), from which these
differ: its contrast-to-noise ratio has no sign, and its mean IoU thresholds the cosine itself, where ours thresholds
the map scaled to 0..1 over the content of its image. Cosines of another encoder have another range, so that at fixed
thresholds its mean IoU says as much about that range as about places.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from .located_images import Located

# There is no tolerance: Zhang et al. also count a peak that misses a region by at most 15 pixels.


def peak(heatmap: Float[np.ndarray, "rows columns"], allowed: Bool[np.ndarray, "rows columns"]) -> tuple[int, int]:
    """Return row and column of the largest value inside `allowed` (a padded image's content); of several the first."""
    flat = int(np.where(allowed, heatmap, -np.inf).argmax())
    return flat // heatmap.shape[1], flat % heatmap.shape[1]


def hits(
    heatmaps: Float[np.ndarray, "images rows columns"],
    regions: Bool[np.ndarray, "images rows columns"],
    allowed: Bool[np.ndarray, "images rows columns"],
) -> Float[np.ndarray, "images"]:
    """Return 1 where the peak of the heatmap lies in the region, else 0."""
    peaks = [peak(heatmap, inside) for heatmap, inside in zip(heatmaps, allowed, strict=True)]
    return np.array([float(region[place]) for region, place in zip(regions, peaks, strict=True)])


def random_hits(
    regions: Bool[np.ndarray, "images rows columns"], allowed: Bool[np.ndarray, "images rows columns"]
) -> Float[np.ndarray, "images"]:
    """Return the probability of a hit for a point drawn evenly from `allowed`, lungs or content; nothing is drawn."""
    inside = (regions & allowed).sum(axis=(1, 2))
    return inside / np.maximum(1, allowed.sum(axis=(1, 2)))


THRESHOLDS = np.arange(1, 20) / 20  # of the map scaled to 0..1 over the content of its image
_AVERAGED = slice(1, 10, 2)  # those of `mean_iou`: .1 .2 .3 .4 .5, as BioViL's


def contrast_to_noise(
    maps: Float[np.ndarray, "images rows columns"],
    regions: Bool[np.ndarray, "images rows columns"],
    content: Bool[np.ndarray, "images rows columns"],
) -> Float[np.ndarray, "images"]:
    """Return the contrast-to-noise ratio over the content (Boecking et al., ECCV 2022).

    It is (mean inside - mean outside) / sqrt(var inside + var outside), with its sign, so that a map that is darkest on
    the finding is not rewarded; 0 where a map has no noise at all.
    """
    return np.array([_contrast(*each) for each in zip(maps, regions, content, strict=True)])


def _contrast(
    values: Float[np.ndarray, "rows columns"],
    region: Bool[np.ndarray, "rows columns"],
    content: Bool[np.ndarray, "rows columns"],
) -> float:
    inside, outside = values[region & content], values[content & ~region]
    if not len(inside) or not len(outside):
        return 0.0
    noise = np.sqrt(inside.var(dtype=np.float64) + outside.var(dtype=np.float64))
    difference = inside.mean(dtype=np.float64) - outside.mean(dtype=np.float64)
    return float(difference / noise) if noise > 0 else 0.0


def ious(
    maps: Float[np.ndarray, "images rows columns"],
    regions: Bool[np.ndarray, "images rows columns"],
    content: Bool[np.ndarray, "images rows columns"],
) -> Float[np.ndarray, "images thresholds"]:
    """Return the IoU of `scaled map >= threshold` with the region, at each of THRESHOLDS; 0 for a flat map."""
    return np.stack([_ious(*each) for each in zip(maps, regions, content, strict=True)])


def _ious(
    values: Float[np.ndarray, "rows columns"],
    region: Bool[np.ndarray, "rows columns"],
    content: Bool[np.ndarray, "rows columns"],
) -> Float[np.ndarray, "thresholds"]:
    inside, own = values[content].astype(np.float64), region[content]
    low, high = inside.min(), inside.max()
    scaled = (inside - low) / (high - low) if high > low else np.zeros_like(inside)
    reached = np.searchsorted(THRESHOLDS, scaled, side="right")  # number of thresholds that a pixel reaches
    predicted, both = _at_least(reached), _at_least(reached[own])
    return both / np.maximum(1, predicted + region.sum() - both)


def _at_least(reached: Int[np.ndarray, "pixels"]) -> Int[np.ndarray, "thresholds"]:
    """Return the number of pixels that reach each threshold."""
    counts = np.bincount(reached, minlength=len(THRESHOLDS) + 1)
    return counts[::-1].cumsum()[::-1][1:]


def best_threshold(validation: Float[np.ndarray, "images thresholds"]) -> int:
    """Return the index in THRESHOLDS of the largest mean IoU; of several, the lowest. For validation images only."""
    return int(validation.mean(axis=0).argmax())


Maps = Float[np.ndarray, "images size size"]


@dataclass(frozen=True)
class MapScores:
    """Scores of each image. `hit` is 1 or 0, or the probability of a hit for a random point."""

    hit: Float[np.ndarray, "images"]
    contrast_to_noise: Float[np.ndarray, "images"]
    iou: Float[np.ndarray, "images thresholds"]

    @property
    def mean_iou(self) -> Float[np.ndarray, "images"]:
        """Return the mean IoU over five fixed thresholds, of which none is chosen."""
        return self.iou[:, _AVERAGED].mean(axis=1)


def mean_score(scores: Sequence[MapScores]) -> MapScores:
    """Return the mean of each image's scores over several maps of it."""
    return MapScores(
        np.mean([each.hit for each in scores], axis=0),
        np.mean([each.contrast_to_noise for each in scores], axis=0),
        np.mean([each.iou for each in scores], axis=0),
    )


def score(maps: Maps, located: Located) -> MapScores:
    """Return the scores of one map per image."""
    return MapScores(
        hits(maps, located.regions, located.content),
        contrast_to_noise(maps, located.regions, located.content),
        ious(maps, located.regions, located.content),
    )


def baselines(located: Located, training: Located | None, slots: tuple[str, ...]) -> dict[str, MapScores | None]:
    """Return the baselines of a heatmap on `located`; `slots` are the words `side` and `zone` that the phrases fill.

    random_in_lung: a point drawn evenly from the lungs, and the lungs as a map; None where they are unknown.
    random_in_content: the same for the content of the image, without its padding. fixed_peak_of_training: the mean of
    the training regions. word_prior: the mean of the training regions that the same words name; None without words.
    Both are None without a training part.
    """
    fixed = None if training is None else np.broadcast_to(mean_region(training), located.regions.shape)
    words = None
    if slots and training is not None and fixed is not None:
        by_words = word_maps(training, slots)
        maps = [by_words.get(place.words(slots), fixed[0]) for place in located.places]
        words = score(np.stack(maps), located)
    return {
        "random_in_lung": None if located.lungs is None else _random_in_lung(located, located.lungs),
        "random_in_content": _random_in_content(located),
        "fixed_peak_of_training": None if fixed is None else score(fixed, located),
        "word_prior": words,
    }


def _random_in_lung(located: Located, lungs: Bool[np.ndarray, "images size size"]) -> MapScores:
    flat = score(lungs.astype(np.float32), located)
    return MapScores(random_hits(located.regions, lungs), flat.contrast_to_noise, flat.iou)


def _random_in_content(located: Located) -> MapScores:
    """Score the whole content as a map: no contrast, and the region's share of it as IoU at any threshold."""
    share = random_hits(located.regions, located.content)
    return MapScores(share, np.zeros_like(share), np.repeat(share[:, np.newaxis], len(THRESHOLDS), axis=1))


def mean_region(training: Located) -> Float[np.ndarray, "size size"]:
    """Return the share of training images whose region covers each pixel."""
    return training.regions.mean(axis=0, dtype=np.float32)


def word_maps(training: Located, slots: tuple[str, ...]) -> Mapping[tuple[str, ...], Float[np.ndarray, "size size"]]:
    """Return words -> mean of the training regions that they name."""
    named: dict[tuple[str, ...], list[int]] = {}
    for place, each in enumerate(training.places):
        named.setdefault(each.words(slots), []).append(place)
    parts = [each.part for each in training.places]
    return {words: np.stack([parts[each] for each in members]).mean(axis=0, dtype=np.float32)
            for words, members in named.items()}  # fmt: skip


def in_lungs(maps: Maps, located: Located) -> Float[np.ndarray, "images"] | None:
    """Return hits of the peak inside the lungs, the fair comparison for a random point within known lungs."""
    return None if located.lungs is None else hits(maps, located.regions, located.lungs)
