"""Evaluation of phrase grounding: pointing at a finding on test images, one prompt set after the other.

Every figure stands beside those of baselines that need no understanding of the image. The stage writes figures, the
values behind them, and samples where they may be shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from jaxtyping import Float

from ..audit_splits.contract import read_overlap
from ..common.data.image_store import ImageStore
from ..common.data.labelled_images import read_labels
from ..common.data.prompts import PromptFile, prompt_file, read_prompts
from ..common.data.run_lengths import encode
from ..common.encoders.dual import Checkpoint, load_checkpoint
from ..common.files.arrow_tables import write_rows
from ..common.files.schemas import GROUNDING_VALUES, samples
from ..common.journal.tracking import track_job
from ..common.metrics.ranking import draw_weights, estimate, mean_of
from ..common.records import Estimate, Overlap, write_record
from .contract import GroundingResult, IntegrityMap, LocatedPart, PhraseGroundingJob, PointingGame
from .heatmaps import PromptCosines, describe
from .located_images import SIDES, ZONES, Located, locate
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
    """One prompt set on the test images. `figures` and `values` (per image) map measure -> pointer."""

    slots: tuple[str, ...]  # place words that its phrases fill; empty: they name none
    maps: Maps
    test: Located
    thresholds: dict[str, float | None]  # of the IoU, by pointer, chosen on validation
    figures: dict[str, dict[str, Estimate | None]]
    values: dict[str, dict[str, Values]]


class Grounding:
    """All sets of a prompt file; each image and each prompt is embedded once."""

    def __init__(self, checkpoint: Checkpoint, prompts: PromptFile, parts: Mapping[str, Located]) -> None:
        self._slots = {name: prompts.slots_of(name, tuple(WORDS)) for name in prompts.sets}
        self._filled = {}  # set -> place words -> prompts
        for name, slots in self._slots.items():
            places = product(*(WORDS[slot] for slot in slots))
            self._filled[name] = {
                words: prompts.expanded(**dict(zip(slots, words, strict=True)))[name].positive for words in places
            }
        every = [text for fills in self._filled.values() for texts in fills.values() for text in texts]
        self._parts = parts
        self._cosines = {part: PromptCosines(checkpoint, every, parts[part].pixels) for part in ("validation", "test")}

    def of(self, name: str, draws: int, seed: int) -> Grounded:
        """Measure one set.

        A phrase with a place describes one side only, and so does the truth with which it is compared.
        """
        slots, parts = self._slots[name], self._parts
        if slots:
            parts = {part: located.on_named_side() for part, located in parts.items()}
        scores: dict[str, dict[str, MapScores | None]] = {}
        maps: dict[str, Maps] = {}
        for part, cosines in self._cosines.items():
            located = parts[part]
            maps[part] = cosines.maps([self._filled[name][place.words(slots)] for place in located.places])
            rivals = baselines(located, parts["train"], slots)
            scores[part] = {"heatmap": score(maps[part], located), **rivals}
        test = parts["test"]
        values, thresholds = _values(scores)
        if values["pointing"]["random_in_lung"] is not None:  # it is then the harder baseline of the two
            for pointers in values.values():
                pointers["random_in_content"] = None
            thresholds["random_in_content"] = None
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
    """Return test values by measure and pointer, per image, and the IoU thresholds chosen on validation."""
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


def ground(job: PhraseGroundingJob) -> None:
    """Point with every prompt set, measure beside the baselines, and write result, values and samples."""
    settings, prompt_path = job.settings, prompt_file(job.settings.prompts, job.stage)
    prompts = read_prompts(prompt_path)
    with track_job(job, {"prompts": prompt_path}) as run:
        checkpoint = load_checkpoint(job.checkpoint, torch.device("cpu"))
        labels, store = read_labels(job.labels, prompts.finding), ImageStore(job.images)
        parts = {part: locate(labels, store, part, job.labels) for part in ("train", "validation", "test")}
        overlap = read_overlap(job.audit, job.labels)
        grounding = Grounding(checkpoint, prompts, parts)
        sets = {name: grounding.of(name, settings.draws, settings.seed) for name in prompts.sets}
        run.log_metrics({f"test/{measure}/{name}": figures["heatmap"].value
                         for name, each in sets.items() for measure, figures in each.figures.items()
                         if figures["heatmap"] is not None})  # fmt: skip
        write_rows(job.values, GROUNDING_VALUES, [row for name in sets for row in value_rows(name, sets[name])])
        first = next(iter(sets.values()))  # the set that may be shown
        shown = sample_rows(first, settings.samples, settings.seed) if settings.publish_samples else []
        write_rows(job.samples, samples(store.size), shown)
        phi = checkpoint.integrity_map
        integrity_map = None if phi is None else describe(phi, parts["train"].lungs)
        located = {part: LocatedPart(**each.counts()) for part, each in parts.items()}
        write_record(job.result, grounding_result(prompts.finding, sets, located, integrity_map, overlap))


def grounding_result(
    finding: str,
    sets: Mapping[str, Grounded],
    located: dict[str, LocatedPart],
    integrity_map: IntegrityMap | None,
    overlap: Overlap,
) -> GroundingResult:
    """Build the record of result.json."""
    test = next(iter(sets.values())).test
    return GroundingResult(
        finding=finding,
        images=len(test.labels),
        located=located,
        resampled_by=test.resampled[0],
        place_words={name: list(grounded.slots) for name, grounded in sets.items()},
        pointing={name: PointingGame(**grounded.figures["pointing"]) for name, grounded in sets.items()},
        contrast_to_noise={name: grounded.figures["contrast_to_noise"] for name, grounded in sets.items()},
        iou={name: grounded.figures["iou"] for name, grounded in sets.items()},
        iou_threshold={name: grounded.thresholds for name, grounded in sets.items()},
        integrity_map=integrity_map,
        overlap=overlap,
    )


def value_rows(name: str, grounded: Grounded) -> list[dict]:
    """Return rows of GROUNDING_VALUES, which paired tests between variants need."""
    columns: dict[tuple[str, str], list[float]] = {}
    for measure, pointers in grounded.values.items():
        columns |= {(measure, pointer): each.tolist() for pointer, each in pointers.items()}
    pointing = [pointer for measure, pointer in columns if measure == "pointing"]
    labels = grounded.test.labels
    return [
        {"image_id": image, "patient_id": patient, "prompt_set": name, "pointer": pointer}
        | {measure: columns[measure, pointer][place] if (measure, pointer) in columns else None
           for measure in ("pointing", "contrast_to_noise", "iou")}
        for pointer in pointing
        for place, (image, patient) in enumerate(labels.select("image_id", "patient_id").iter_rows())
    ]  # fmt: skip


def sample_rows(grounded: Grounded, count: int, seed: int) -> list[dict]:
    """Return rows of the samples table: images drawn by seed, in the order of the draw."""
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
