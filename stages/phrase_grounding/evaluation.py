"""Evaluation of phrase grounding: pointing at a finding on test images, one prompt set after the other.

Every figure stands beside those of baselines that need no understanding of the image. The stage writes figures, the
values behind them, and samples where they may be shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Float

from ..audit_splits.contract import read_overlap
from ..common.data.image_store import ImageStore
from ..common.data.label_matrix import resampled
from ..common.data.labelled_images import read_labels
from ..common.data.prompts import FindingPrompts, prompt_file, read_prompts
from ..common.data.run_lengths import encode
from ..common.encoders.dual import Checkpoint, load_checkpoint
from ..common.errors import InputError
from ..common.files.arrow_tables import write_rows
from ..common.files.schemas import GROUNDING_VALUES, samples
from ..common.journal.tracking import Run, track_job
from ..common.metrics.findings import mean_of_known
from ..common.metrics.ranking import draw_weights, estimate, estimate_of, mean_of
from ..common.records import FEWEST, Estimate, Overlap, write_record
from .contract import FindingResult, GroundingResult, IntegrityMap, LocatedPart, PhraseGroundingJob, PointingGame
from .heatmaps import PromptCosines, describe
from .located_images import SIDES, ZONES, Located, NoLocationError, locate
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
    """All prompt sets of a finding; each image and each prompt is embedded once."""

    def __init__(self, checkpoint: Checkpoint, prompts: FindingPrompts, parts: Mapping[str, Located]) -> None:
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


@dataclass(frozen=True)
class GroundedFinding:
    """A finding with its parts and what each of its prompt sets points at."""

    finding: str
    parts: Mapping[str, Located]
    sets: Mapping[str, Grounded]

    @property
    def first(self) -> Grounded:
        """Return the prompt set that may be shown."""
        return next(iter(self.sets.values()))


def ground(job: PhraseGroundingJob) -> None:
    """Point with every prompt set, measure beside the baselines, and write result, values and samples."""
    settings, prompt_path = job.settings, prompt_file(job.settings.prompts, job.stage)
    prompts = read_prompts(prompt_path)
    with track_job(job, {"prompts": prompt_path}) as run:
        checkpoint = load_checkpoint(job.checkpoint, torch.device("cpu"))
        store, overlap = ImageStore(job.images), read_overlap(job.audit, job.labels)
        located, not_measured = locate_findings(list(prompts), job.labels, store)
        grounded = []
        for finding, parts in located.items():
            grounding = Grounding(checkpoint, prompts[finding], parts)
            sets = {name: grounding.of(name, settings.draws, settings.seed) for name in prompts[finding].sets}
            grounded.append(GroundedFinding(finding, parts, sets))
        rows = [
            row for each in grounded for name in each.sets for row in value_rows(each.finding, name, each.sets[name])
        ]
        write_rows(job.values, GROUNDING_VALUES, rows)
        count = settings.samples if settings.publish_samples else 0
        shown = [row for each in grounded for row in sample_rows(each.finding, each.first, count, settings.seed)]
        write_rows(job.samples, samples(store.size), shown)
        phi = checkpoint.integrity_map
        results = []
        for each in grounded:
            integrity_map = None if phi is None else describe(phi, each.parts["train"].lungs)
            counts = {part: LocatedPart(**own.counts()) for part, own in each.parts.items()}
            results.append(finding_result(each.finding, each.sets, counts, integrity_map, overlap))
        mean = mean_hits([each.first for each in grounded], settings.draws, settings.seed)
        write_record(job.result, GroundingResult(findings=results, not_measured=not_measured, mean_hits=mean))
        _log(run, grounded, mean)


def _log(run: Run, grounded: Sequence[GroundedFinding], mean: Estimate) -> None:
    """Log the figures of the heatmap; those of several findings under their names, with the mean of their hits."""
    several = len(grounded) > 1
    for each in grounded:
        behind = f"/{each.finding}" if several else ""
        run.log_metrics({f"test/{measure}/{name}{behind}": figures["heatmap"].value
                         for name, own in each.sets.items() for measure, figures in own.figures.items()
                         if figures["heatmap"] is not None})  # fmt: skip
    if several:
        run.log_metrics({"test/pointing": mean.value})


def locate_findings(
    findings: Sequence[str], labels: Path, store: ImageStore
) -> tuple[dict[str, dict[str, Located]], dict[str, str]]:
    """Return the located positives of each finding by part, and why the other findings are not measured.

    One of several findings is left out where a part has no located positive, or test has few. Raises InputError where
    none is left, and for a finding without labels.
    """
    located: dict[str, dict[str, Located]] = {}
    not_measured: dict[str, str] = {}
    for finding in findings:
        rows = read_labels(labels, finding)
        try:
            parts = {part: locate(rows, store, part, labels) for part in ("train", "validation", "test")}
        except NoLocationError as error:
            if len(findings) == 1:
                raise
            not_measured[finding] = error.why
            continue
        few = len(parts["test"].labels)
        if len(findings) > 1 and few < FEWEST:
            not_measured[finding] = f"{few} located positives in test"
        else:
            located[finding] = parts
    if not located:
        finding, why = next(iter(not_measured.items()))
        raise InputError(
            f"{labels}: no finding has located positives in train, validation and test ({FEWEST}); {finding}: {why}",
            "list in the data set's `evaluations` what can be measured",
        )
    return located, not_measured


def mean_hits(grounded: Sequence[Grounded], draws: int, seed: int) -> Estimate:
    """Return the hits of the heatmap, mean over findings.

    The interval draws patients (images where some are unknown) of all findings together; a finding of which a draw has
    no image is left out of that draw's mean.
    """
    images = [each.test.labels.select("image_id", "patient_id") for each in grounded]
    weights = draw_weights(resampled(pl.concat(images))[1], draws, seed)
    ends = np.cumsum([len(each) for each in images])[:-1]
    hits = [each.values["pointing"]["heatmap"] for each in grounded]
    with np.errstate(invalid="ignore"):
        means = [mean_of(own)(part) for own, part in zip(hits, np.split(weights, ends, axis=1), strict=True)]
    return estimate_of(float(np.mean([own.mean() for own in hits])), mean_of_known(means))


def finding_result(
    finding: str,
    sets: Mapping[str, Grounded],
    located: dict[str, LocatedPart],
    integrity_map: IntegrityMap | None,
    overlap: Overlap,
) -> FindingResult:
    """Build the record of one finding."""
    test = next(iter(sets.values())).test
    return FindingResult(
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


def value_rows(finding: str, name: str, grounded: Grounded) -> list[dict]:
    """Return rows of GROUNDING_VALUES, which paired tests between variants need."""
    columns: dict[tuple[str, str], list[float]] = {}
    for measure, pointers in grounded.values.items():
        columns |= {(measure, pointer): each.tolist() for pointer, each in pointers.items()}
    pointing = [pointer for measure, pointer in columns if measure == "pointing"]
    labels = grounded.test.labels
    return [
        {"image_id": image, "patient_id": patient, "finding": finding, "prompt_set": name, "pointer": pointer}
        | {measure: columns[measure, pointer][place] if (measure, pointer) in columns else None
           for measure in ("pointing", "contrast_to_noise", "iou")}
        for pointer in pointing
        for place, (image, patient) in enumerate(labels.select("image_id", "patient_id").iter_rows())
    ]  # fmt: skip


def sample_rows(finding: str, grounded: Grounded, count: int, seed: int) -> list[dict]:
    """Return rows of the samples table: images drawn by seed, in the order of the draw."""
    test, maps = grounded.test, grounded.maps
    rows = []
    for place in np.random.default_rng(seed).permutation(len(maps))[:count]:
        at = peak(maps[place], test.content[place])
        rows.append(
            {
                "image_id": test.labels["image_id"][int(place)],
                "finding": finding,
                "pixels": test.pixels[place].tobytes(),
                "heatmap": maps[place].ravel().tolist(),
                "region": encode(test.regions[place]),
                "peak": list(at),
                "hit": bool(test.regions[place][at]),
            }
        )
    return rows
