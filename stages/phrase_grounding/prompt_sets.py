"""What one set of prompts points at: its maps on the test images, scored beside those of the baselines."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float

from ..common.data.prompts import FindingPrompts
from ..common.encoders.dual import Checkpoint
from ..common.metrics.ranking import draw_weights, estimate, mean_of
from ..common.records import Estimate
from ..common.settings import Precision
from .heatmaps import PromptCosines
from .located_images import SIDES, ZONES, Located
from .pointing import THRESHOLDS, Maps, MapScores, baselines, best_threshold, in_lungs, score

WORDS = {"side": SIDES, "zone": ZONES}  # slots of a prompt file that each image fills with its own place
Values = Float[np.ndarray, "images"]


@dataclass(frozen=True)
class Grounded:
    """One prompt set on the test images. `figures` and `values` (per image) map measure -> pointer."""

    slots: tuple[str, ...]  # place words that its phrases fill; empty: they name none
    maps: Maps
    test: Located
    thresholds: dict[str, float | None]  # of the IoU, by pointer, chosen on validation
    figures: dict[str, dict[str, Estimate | None]]
    values: dict[str, dict[str, Values]]


class Grounding:
    """All prompt sets of a finding; each image and each prompt is embedded once."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        prompts: FindingPrompts,
        parts: Mapping[str, Located],
        precision: Precision = "fp32",
    ) -> None:
        self._slots = {name: prompts.slots_of(name, tuple(WORDS)) for name in prompts.sets}
        self._filled = {}  # set -> place words -> prompts
        for name, slots in self._slots.items():
            places = product(*(WORDS[slot] for slot in slots))
            self._filled[name] = {
                words: prompts.expanded(**dict(zip(slots, words, strict=True)))[name].positive for words in places
            }
        every = [text for fills in self._filled.values() for texts in fills.values() for text in texts]
        self._parts = parts
        measured_parts = [part for part in ("validation", "test") if part in parts]
        self._cosines = {part: PromptCosines(checkpoint, every, parts[part].pixels, precision)
                         for part in measured_parts}  # fmt: skip

    def of(self, name: str, draws: int, seed: int) -> Grounded:
        """Measure one set.

        A phrase with a place describes one side only, and so does the truth with which it is compared.
        """
        slots, parts = self._slots[name], self._parts
        if slots:
            parts = {part: located.on_named_side() for part, located in parts.items()}
        maps = {
            part: cosines.maps([self._filled[name][place.words(slots)] for place in parts[part].places])
            for part, cosines in self._cosines.items()
        }
        return measured(maps, parts, slots, draws, seed)


def measured(
    maps: Mapping[str, Maps], parts: Mapping[str, Located], slots: tuple[str, ...], draws: int, seed: int
) -> Grounded:
    """Score the maps of test beside the baselines; those of validation choose the threshold of the IoU.

    Without a validation part no IoU has a threshold, without a training part the baselines that learn from it are left
    out.
    """
    scores: dict[str, dict[str, MapScores | None]] = {}
    for part, own in maps.items():
        rivals = baselines(parts[part], parts.get("train"), slots)
        scores[part] = {"heatmap": score(own, parts[part]), **rivals}
    test = parts["test"]
    values, thresholds = _values(scores["test"], scores.get("validation"))
    if values["pointing"]["random_in_lung"] is not None:  # it is then the harder baseline of the two
        for pointers in values.values():
            pointers["random_in_content"] = None
        thresholds["random_in_content"] = None
    values["pointing"]["heatmap_in_lung"] = in_lungs(maps["test"], test)
    weights = draw_weights(test.resampled[1], draws, seed)
    figures = {
        measure: {
            pointer: None if each is None else estimate(mean_of(each), weights) for pointer, each in pointers.items()
        }
        for measure, pointers in values.items()
    }
    known = {
        measure: {pointer: each for pointer, each in pointers.items() if each is not None}
        for measure, pointers in values.items()
    }
    return Grounded(slots, maps["test"], test, thresholds, figures, known)


def _values(
    test: Mapping[str, MapScores | None], validation: Mapping[str, MapScores | None] | None
) -> tuple[dict[str, dict[str, Values | None]], dict[str, float | None]]:
    """Return test values by measure and pointer, per image, and the IoU thresholds chosen on validation.

    A pointer that validation lacks (lungs unknown there) has no values; without a validation part, none has an IoU.
    """
    measures: dict[str, dict[str, Values | None]] = {
        measure: dict.fromkeys(test)
        for measure in ("pointing", "contrast_to_noise", "absolute_contrast_to_noise", "iou", "mean_iou")
    }
    thresholds: dict[str, float | None] = dict.fromkeys(test)
    for pointer, found in test.items():
        chosen = None if validation is None else validation[pointer]
        if found is None or (validation is not None and chosen is None):
            continue
        measures["pointing"][pointer] = found.hit
        measures["contrast_to_noise"][pointer] = found.contrast_to_noise
        measures["absolute_contrast_to_noise"][pointer] = np.abs(found.contrast_to_noise)
        measures["mean_iou"][pointer] = found.mean_iou
        if chosen is not None:
            place = best_threshold(chosen.iou)
            measures["iou"][pointer] = found.iou[:, place]
            thresholds[pointer] = float(THRESHOLDS[place])
    return measures, thresholds
