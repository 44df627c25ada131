"""Pointing at a finding on test images, set of prompts by set of prompts, beside what fools the figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float

from stages.common.dual_encoder import Checkpoint
from stages.common.prompts import PromptFile
from stages.common.ranking_metrics import Estimate, draw_weights, estimate, mean_of
from stages.phrase_grounding.heatmaps import PromptCosines
from stages.phrase_grounding.located_images import Located
from stages.phrase_grounding.map_scores import THRESHOLDS, best_threshold
from stages.phrase_grounding.places import SIDES, ZONES
from stages.phrase_grounding.pointers import Maps, MapScores, baselines, in_lungs, score

WORDS = {"side": SIDES, "zone": ZONES}  # slots of a prompt file that each image fills with its own place
Values = Float[np.ndarray, "images"]


@dataclass(frozen=True)
class Grounded:
    """One set of prompts on the test images. `figures` and `values` (image by image): measure -> pointer."""

    slots: tuple[str, ...]  # the words of place that its phrases fill; empty: they name none
    maps: Maps
    test: Located
    thresholds: dict[str, float | None]  # of the IoU, by pointer, chosen on validation
    figures: dict[str, dict[str, Estimate | None]]
    values: dict[str, dict[str, Values]]

    def record(self) -> dict:
        measures = {
            measure: {pointer: figure and figure.record() for pointer, figure in pointers.items()}
            for measure, pointers in self.figures.items()
        }
        return measures | {"iou_threshold": self.thresholds}


class Grounding:
    """All sets of a prompt file: each image and each prompt is embedded once."""

    def __init__(self, checkpoint: Checkpoint, prompts: PromptFile, parts: Mapping[str, Located]) -> None:
        self._slots = {name: prompts.slots_of(name, tuple(WORDS)) for name in prompts.sets}
        self._filled = {}  # set -> words of place -> prompts
        for name, slots in self._slots.items():
            places = product(*(WORDS[slot] for slot in slots))
            self._filled[name] = {
                words: prompts.expanded(**dict(zip(slots, words, strict=True)))[name].positive for words in places
            }
        every = [text for fills in self._filled.values() for texts in fills.values() for text in texts]
        self._parts = parts
        self._cosines = {part: PromptCosines(checkpoint, every, parts[part].pixels) for part in ("validation", "test")}

    def of(self, name: str, draws: int, seed: int) -> Grounded:
        """Measure one set. A phrase with a place speaks of one side: so does the truth that it is held against."""
        slots, parts = self._slots[name], self._parts
        if slots:
            parts = {part: located.on_named_side() for part, located in parts.items()}
        scores, maps = {}, {}
        for part, cosines in self._cosines.items():
            located = parts[part]
            maps[part] = cosines.maps([self._filled[name][place.words(slots)] for place in located.places])
            scores[part] = {"heatmap": score(maps[part], located)} | baselines(located, parts["train"], slots)
        test = parts["test"]
        values, thresholds = _values(scores)
        if values["pointing"]["random_in_lung"] is not None:  # then it is the harder rival of the two
            for each in (*values.values(), thresholds):
                each["random_in_content"] = None
        values["pointing"]["heatmap_in_lung"] = in_lungs(maps["test"], test)
        weights = draw_weights(test.resampled[1], draws, seed)
        figures = {
            measure: {
                pointer: None if each is None else estimate(mean_of(each), weights)
                for pointer, each in pointers.items()
            }
            for measure, pointers in values.items()
        }
        known = {
            measure: {pointer: each for pointer, each in pointers.items() if each is not None}
            for measure, pointers in values.items()
        }
        return Grounded(slots, maps["test"], test, thresholds, figures, known)


def _values(
    scores: dict[str, dict[str, MapScores | None]],
) -> tuple[dict[str, dict[str, Values | None]], dict[str, float | None]]:
    """Test values, measure by measure and image by image, and the thresholds that validation chose for the IoU."""
    measures: dict[str, dict[str, Values | None]] = {"pointing": {}, "contrast_to_noise": {}, "iou": {}}
    thresholds: dict[str, float | None] = {}
    for pointer, found in scores["test"].items():
        validation = scores["validation"][pointer]
        if found is None or validation is None:
            for values in measures.values():
                values[pointer] = None
            thresholds[pointer] = None
            continue
        chosen = best_threshold(validation.iou)
        measures["pointing"][pointer] = found.hit
        measures["contrast_to_noise"][pointer] = found.contrast_to_noise
        measures["iou"][pointer] = found.iou[:, chosen]
        thresholds[pointer] = float(THRESHOLDS[chosen])
    return measures, thresholds
