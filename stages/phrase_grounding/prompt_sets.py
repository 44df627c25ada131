"""Score what one set of prompts points at: its maps on the test images, beside those of the rivals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
from jaxtyping import Float

from ..common.data.prompts import FindingPrompts, PromptSet
from ..common.metrics.ranking import draw_weights, estimate, mean_of
from ..common.records import Estimate
from .contract import ReadingHits
from .heatmaps import GridMaps, grid_hits, on_pixels
from .located_images import SIDES, ZONES, Located
from .pointers import ByPart, Pointed, Pointers
from .pointing import THRESHOLDS, Maps, MapScores, baselines, best_threshold, in_lungs, mean_score, score

WORDS = {"side": SIDES, "zone": ZONES}  # slots of a prompt file that each image fills with its own place
Values = Float[np.ndarray, "images"]


@dataclass(frozen=True)
class Grounded:
    """One prompt set on the test images. `figures` and `values` (per image) map measure -> pointer."""

    slots: tuple[str, ...]  # place words of the image that its prompts fill; empty: they favour no place
    maps: Maps
    test: Located
    thresholds: dict[str, float | None]  # of the IoU, by pointer, chosen on validation
    figures: dict[str, dict[str, Estimate | None]]
    values: dict[str, dict[str, Values]]
    readings: dict[str, ReadingHits]  # of the heatmap; `reading` is the one that was chosen
    reading: str
    random_encoders: list[float] = field(default_factory=list)  # hits of each
    prompts: list[list[str]] = field(default_factory=list)  # that each image affirms; empty for phrases of reports


def ground_prompts(
    pointers: Pointers, finding: str, prompts: FindingPrompts, parts: Mapping[str, Located], draws: int, seed: int
) -> dict[str, Grounded]:
    """Measure every set of a finding's prompts.

    A phrase with a place describes one side only, and so does the truth with which it is compared.
    """
    slots_of = {name: prompts.slots_of(name, tuple(WORDS)) for name in prompts.sets}
    sets = {name: _filled(prompts, name, slots, parts) for name, slots in slots_of.items()}
    pointed = pointers.at(finding, parts, sets)
    named = {part: located.on_named_side() for part, located in parts.items()} if any(slots_of.values()) else {}
    return {
        name: replace(
            measured(pointed[name], named if slots else parts, slots, draws, seed),
            prompts=[each.positive for each in sets[name]["test"]],
        )
        for name, slots in slots_of.items()
    }


def _filled(
    prompts: FindingPrompts, name: str, slots: tuple[str, ...], parts: Mapping[str, Located]
) -> dict[str, list[PromptSet]]:
    """Return the prompts of each image by part, filled with the words of its own place."""
    fills = {words: prompts.expanded(**dict(zip(slots, words, strict=True)))[name]
             for words in product(*(WORDS[slot] for slot in slots))}  # fmt: skip
    return {part: [fills[place.words(slots)] for place in own.places] if slots else [fills[()]] * len(own.labels)
            for part, own in parts.items() if part != "train"}  # fmt: skip


def measured(pointed: Pointed, parts: Mapping[str, Located], slots: tuple[str, ...], draws: int, seed: int) -> Grounded:
    """Score the maps of test beside the baselines; those of validation choose each reading and the IoU's threshold.

    Without a validation part the first reading by name is taken and no IoU has a threshold; without a training part the
    rivals that learn from it are left out.
    """
    validation, test = parts.get("validation"), parts["test"]
    validated = _validated(pointed.heatmap, validation)
    reading = _best(validated)
    chosen = {"heatmap": [pointed.heatmap[reading]]}
    if pointed.supervised_probe:
        chosen["supervised_probe"] = [best_of(pointed.supervised_probe, validation)]
    if pointed.random_encoders:
        chosen["random_encoders"] = [best_of(each, validation) for each in pointed.random_encoders]
    if pointed.brightness is not None:
        chosen["brightness"] = [pointed.brightness]
    scored = {
        part: {pointer: [score(on_pixels(each[part], parts[part]), parts[part]) for each in maps]
               for pointer, maps in chosen.items()}
        for part in ("validation", "test") if part in parts
    }  # fmt: skip
    scores = {part: _means(own) | baselines(parts[part], parts.get("train"), slots) for part, own in scored.items()}
    values, thresholds = _values(scores["test"], scores.get("validation"))
    if values["pointing"]["random_in_lung"] is not None:  # it is then the harder baseline of the two
        for pointers in values.values():
            pointers["random_in_content"] = None
        thresholds["random_in_content"] = None
    for pointer in ("heatmap", "brightness", "random_encoders"):
        values["pointing"][f"{pointer}_in_lung"] = _in_lungs([each["test"] for each in chosen.get(pointer, [])], test)
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
    readings = {
        name: ReadingHits(validation=validated[name], test=estimate(mean_of(grid_hits(own["test"], test)), weights))
        for name, own in pointed.heatmap.items()
    }
    by_encoder = [float(each.hit.mean()) for each in scored["test"].get("random_encoders", [])]
    heatmap = on_pixels(pointed.heatmap[reading]["test"], test)
    return Grounded(slots, heatmap, test, thresholds, figures, known, readings, reading, by_encoder)


def _means(scored: Mapping[str, Sequence[MapScores]]) -> dict[str, MapScores | None]:
    """Return the mean of each pointer's scores, which several random encoders have."""
    return {pointer: mean_score(each) for pointer, each in scored.items()}


def _in_lungs(maps: Sequence[GridMaps], test: Located) -> Values | None:
    """Return the mean hits of several maps' peaks inside the lungs; None where these are unknown, or without maps."""
    found = [in_lungs(on_pixels(each, test), test) for each in maps]
    known = [each for each in found if each is not None]
    return np.mean(known, axis=0) if known else None


def best_of(alternatives: Mapping[str, ByPart], validation: Located | None) -> ByPart:
    """Return the maps with most hits on validation; of several, and without that part, the first by name."""
    return alternatives[_best(_validated(alternatives, validation))]


def _validated(alternatives: Mapping[str, ByPart], validation: Located | None) -> dict[str, float | None]:
    """Return the share of hits of each alternative on validation; None without that part."""
    return {name: None if validation is None else float(grid_hits(own["validation"], validation).mean())
            for name, own in alternatives.items()}  # fmt: skip


def _best(validated: Mapping[str, float | None]) -> str:
    """Return the name of the alternative with most hits on validation, as `best_of` takes it."""
    return max(sorted(validated), key=lambda name: validated[name] or 0.0)


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
