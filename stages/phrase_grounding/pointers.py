"""What points at a finding: the heatmap, and what needs no understanding of the image and has to be beaten."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from stages.phrase_grounding.located_images import Located
from stages.phrase_grounding.map_scores import THRESHOLDS, contrast_to_noise, ious
from stages.phrase_grounding.pointing import hits, random_hits

Maps = Float[np.ndarray, "images size size"]


@dataclass(frozen=True)
class MapScores:
    """Image by image. `hit` is 1 or 0, for a random point its probability."""

    hit: Float[np.ndarray, "images"]
    contrast_to_noise: Float[np.ndarray, "images"]
    iou: Float[np.ndarray, "images thresholds"]


def score(maps: Maps, located: Located) -> MapScores:
    return MapScores(
        hits(maps, located.regions, located.content),
        contrast_to_noise(maps, located.regions, located.content),
        ious(maps, located.regions, located.content),
    )


def baselines(located: Located, training: Located, slots: tuple[str, ...]) -> dict[str, MapScores | None]:
    """The rivals of a heatmap on `located`; `slots` are those of `side` and `zone` that the phrases fill.

    random_in_lung: a point drawn evenly from the lungs, and the lungs as a map; None where they are unknown.
    random_in_content: the same of the content of the image, which the padding is no part of. fixed_peak_of_training:
    the mean of the training regions. word_prior: the mean of those training regions that the same words name; None
    without words.
    """
    shape = located.regions.shape
    fixed = np.broadcast_to(mean_region(training), shape)
    words = None
    if slots:
        by_words = word_maps(training, slots)
        maps = [by_words.get(place.words(slots), fixed[0]) for place in located.places]
        words = score(np.stack(maps), located)
    return {
        "random_in_lung": None if located.lungs is None else _random_in_lung(located, located.lungs),
        "random_in_content": _random_in_content(located),
        "fixed_peak_of_training": score(fixed, located),
        "word_prior": words,
    }


def _random_in_lung(located: Located, lungs: Bool[np.ndarray, "images size size"]) -> MapScores:
    flat = score(lungs.astype(np.float32), located)
    return MapScores(random_hits(located.regions, lungs), flat.contrast_to_noise, flat.iou)


def _random_in_content(located: Located) -> MapScores:
    """As a map the whole content: no contrast, and the region's share of it as IoU at any threshold."""
    share = random_hits(located.regions, located.content)
    return MapScores(share, np.zeros_like(share), np.repeat(share[:, np.newaxis], len(THRESHOLDS), axis=1))


def mean_region(training: Located) -> Float[np.ndarray, "size size"]:
    return training.regions.mean(axis=0, dtype=np.float32)


def word_maps(training: Located, slots: tuple[str, ...]) -> Mapping[tuple[str, ...], Float[np.ndarray, "size size"]]:
    """Words -> mean of the training regions that they name."""
    named: dict[tuple[str, ...], list[int]] = {}
    for place, each in enumerate(training.places):
        named.setdefault(each.words(slots), []).append(place)
    parts = [each.part for each in training.places]
    return {words: np.mean([parts[each] for each in members], axis=0, dtype=np.float32)
            for words, members in named.items()}  # fmt: skip


def in_lungs(maps: Maps, located: Located) -> Float[np.ndarray, "images"] | None:
    """Hits of the peak inside the lungs: the fair rival of a random point that is told where the lungs are."""
    return None if located.lungs is None else hits(maps, located.regions, located.lungs)
