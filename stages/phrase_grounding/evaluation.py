"""Pointing at a finding on test images, set of prompts by set of prompts, beside what fools the figures.

What the stage writes: figures, the values behind them, and samples where they may be shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float

from ..common.data.prompts import PromptFile
from ..common.data.run_lengths import encode
from ..common.encoders.dual import Checkpoint
from ..common.metrics.ranking import draw_weights, estimate, mean_of
from ..common.records import Estimate
from .heatmaps import PromptCosines
from .located_images import SIDES, ZONES, Located
from .pointing import (
    THRESHOLDS,
    Maps,
    MapScores,
    baselines,
    best_threshold,
    in_lungs,
    peak,
    score,
)

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
            measure: {pointer: figure and figure.model_dump() for pointer, figure in pointers.items()}
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


def grounding_record(finding: str, sets: Mapping[str, Grounded]) -> dict:
    """result.json: figures by measure, set of prompts and pointer."""
    test = next(iter(sets.values())).test
    measures = {name: grounded.record() for name, grounded in sets.items()}
    keys = ("pointing", "contrast_to_noise", "iou", "iou_threshold")
    return {
        "finding": finding,
        "images": len(test.labels),
        "resampled_by": test.resampled[0],
        "place_words": {name: list(grounded.slots) for name, grounded in sets.items()},
        **{key: {name: record[key] for name, record in measures.items()} for key in keys},
    }


def value_rows(name: str, grounded: Grounded) -> list[dict]:
    """Rows of GROUNDING_VALUES: what paired tests between variants need."""
    columns = {}
    for measure, pointers in grounded.values.items():
        columns |= {(measure, pointer): each.tolist() for pointer, each in pointers.items()}
    pointers = [pointer for measure, pointer in columns if measure == "pointing"]
    labels = grounded.test.labels
    return [
        {"image_id": image, "patient_id": patient, "prompt_set": name, "pointer": pointer}
        | {measure: columns[measure, pointer][place] if (measure, pointer) in columns else None
           for measure in ("pointing", "contrast_to_noise", "iou")}
        for pointer in pointers
        for place, (image, patient) in enumerate(labels.select("image_id", "patient_id").iter_rows())
    ]  # fmt: skip


def sample_rows(grounded: Grounded, count: int, seed: int) -> list[dict]:
    """Rows of the samples table: images drawn by seed, in the order of the draw."""
    test, maps = grounded.test, grounded.maps
    rows = []
    for place in np.random.default_rng(seed).permutation(len(maps))[:count]:
        at = peak(maps[place], test.content[place])
        rows.append(
            {
                "image_id": test.labels["image_id"][int(place)],
                "pixels": test.pixels[place].tobytes(),
                "heatmap": maps[place].ravel().tolist(),
                "region": encode(test.regions[place]),
                "peak": list(at),
                "hit": bool(test.regions[place][at]),
            }
        )
    return rows
