"""Evaluation of phrase grounding: pointing at a finding on test images, one prompt set after the other.

Every figure stands beside those of baselines that need no understanding of the image. The stage writes figures, the
values behind them, and samples where they may be shown.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ..audit_splits.contract import read_overlap
from ..common.data.image_store import ImageStore
from ..common.data.label_matrix import resampled
from ..common.data.labelled_images import read_labels
from ..common.data.prompts import FindingPrompts, prompt_file, read_prompts
from ..common.data.run_lengths import decode, encode
from ..common.device import choose_device
from ..common.encoders.dual import Checkpoint, load_checkpoint
from ..common.errors import InputError
from ..common.files.arrow_tables import write_rows
from ..common.files.schemas import GROUNDING_VALUES, samples
from ..common.inference.encoding import choose_precision
from ..common.journal.tracking import Run, track_job
from ..common.metrics.findings import mean_of_known
from ..common.metrics.ranking import draw_weights, estimate_of, mean_of
from ..common.records import FEWEST, Estimate, Overlap, write_record
from .contract import (
    MEANS,
    PHRASES,
    FindingResult,
    GroundingResult,
    IntegrityMap,
    LocatedPart,
    PhraseGroundingJob,
    PointingGame,
    refuse_set_of_phrases,
)
from .heatmaps import describe
from .located_images import Located, NoLocationError, locate
from .phrases import counts_of, ground_phrases, read_phrases, refuse_empty_phrases
from .pointers import Pointers
from .pointing import peak
from .prompt_sets import Grounded, ground_prompts

PARTS = ("train", "validation", "test")
_MOST_DRAWN = 8  # samples on one picture


@dataclass(frozen=True)
class Queries:
    """Hold what can be pointed with: the prompts of each finding, and the phrases of the data set (a row per pair)."""

    prompts: Mapping[str, FindingPrompts]
    phrases: pl.DataFrame

    @property
    def findings(self) -> list[str]:
        """Return the findings that have prompts, then the others that have phrases."""
        return list(dict.fromkeys([*self.prompts, *self.phrases["finding"]]))


@dataclass(frozen=True)
class LocatedFinding:
    """A finding's positives by part, for its prompts, and its pairs by part, for its phrases; empty: not measured.

    `lacking` says why one of the two is not measured.
    """

    images: Mapping[str, Located]
    pairs: Mapping[str, Located]
    lacking: Mapping[str, str]


@dataclass(frozen=True)
class GroundedFinding:
    """A finding with its parts and what each of its prompt sets points at."""

    finding: str
    located: LocatedFinding
    sets: Mapping[str, Grounded]

    @property
    def first(self) -> Grounded:
        """Return the prompt set that may be shown."""
        return next(iter(self.sets.values()))


def ground(job: PhraseGroundingJob) -> None:
    """Point with every prompt set, measure beside the baselines, and write result, values and samples."""
    settings, phrases = job.settings, read_phrases(job.phrases, job.labels)
    files = {}
    if settings.prompts is not None or phrases.is_empty():
        files["prompts"] = prompt_file(settings.prompts, job.stage)
    prompts = read_prompts(files["prompts"]) if files else {}
    if len(phrases):
        refuse_set_of_phrases(prompts)
    with track_job(job, files) as run:
        checkpoint = load_checkpoint(job.checkpoint, choose_device(job.device))
        precision = choose_precision(settings.encoder_precision, checkpoint.model.device, run)
        store, overlap = ImageStore(job.images, often=True), read_overlap(job.audit, job.labels)
        located, not_measured = locate_findings(Queries(prompts, phrases), job.labels, store)
        if len(phrases):
            refuse_empty_phrases(phrases, checkpoint.tokenizer, job.phrases)
        pointers = Pointers(checkpoint, store, job.labels, settings, precision)
        grounded = []
        for finding, own in located.items():
            sets: dict[str, Grounded] = {}
            if own.images:
                sets = ground_prompts(pointers, finding, prompts[finding], own.images, settings.draws, settings.seed)
            if own.pairs:
                sets[PHRASES] = ground_phrases(pointers, finding, own.pairs, settings.draws, settings.seed)
            grounded.append(GroundedFinding(finding, own, sets))
        _write(job, checkpoint, grounded, not_measured, overlap, store.size, run)


def _write(
    job: PhraseGroundingJob,
    checkpoint: Checkpoint,
    grounded: Sequence[GroundedFinding],
    not_measured: dict[str, str],
    overlap: Overlap,
    size: int,
    run: Run,
) -> None:
    settings = job.settings
    rows = [row for each in grounded for name in each.sets for row in value_rows(each.finding, name, each.sets[name])]
    write_rows(job.values, GROUNDING_VALUES, rows)
    count = settings.samples if settings.publish_samples else 0
    shown = [row for each in grounded for row in sample_rows(each.finding, each.first, count, settings.seed)]
    write_rows(job.samples, samples(size), shown)
    phi = checkpoint.integrity_map
    results = []
    for each in grounded:
        training = (each.located.images or each.located.pairs).get("train")
        integrity_map = None if phi is None else describe(phi, None if training is None else training.lungs)
        results.append(finding_result(each.finding, each.sets, each.located, integrity_map, overlap))
    firsts = [each.first for each in grounded if each.located.images] or [each.first for each in grounded]
    mean = means_of(firsts, ("pointing",), settings.draws, settings.seed)["pointing"]
    names = dict.fromkeys(name for each in grounded for name in each.sets)
    means = {
        name: means_of(
            [each.sets[name] for each in grounded if name in each.sets], MEANS, settings.draws, settings.seed
        )
        for name in names
    }
    record = GroundingResult(findings=results, not_measured=not_measured, mean_hits=mean, means=means)
    write_record(job.result, record)
    _log(run, grounded, mean)
    _draw(run, grounded, shown, size)


def _log(run: Run, grounded: Sequence[GroundedFinding], mean: Estimate) -> None:
    """Log the mean of the findings' hits, and the figures of their heatmaps; those of several under their names."""
    several = len(grounded) > 1
    for each in grounded:
        behind = f"/{each.finding}" if several else ""
        for name, own in each.sets.items():
            run.log_tag(f"reading.{name}{behind.replace('/', '.')}", own.reading)
        run.log_metrics({f"test/{measure}/{name}{behind}": figures["heatmap"].value
                         for name, own in each.sets.items() for measure, figures in own.figures.items()
                         if figures["heatmap"] is not None})  # fmt: skip
    run.log_figures({"hit_rate": mean})


def _draw(run: Run, grounded: Sequence[GroundedFinding], shown: Sequence[Mapping[str, Any]], size: int) -> None:
    """Draw the hits of the heatmap beside its rivals', and the samples, where there are any."""
    hits = {f"hits for {each.finding}, prompts {name}": {pointer: figure.value for pointer, figure in
                                                        own.figures["pointing"].items() if figure is not None}
            for each in grounded for name, own in each.sets.items()}  # fmt: skip
    run.pictures.bars("pointing.svg", hits)
    for number, finding in enumerate(dict.fromkeys(row["finding"] for row in shown), start=1):
        own = [row for row in shown if row["finding"] == finding][:_MOST_DRAWN]
        pictures = {_title(row): (np.frombuffer(row["pixels"], np.uint8).reshape(size, size),
                                  np.array(row["heatmap"]).reshape(size, size), decode(row["content"], size, size),
                                  decode(row["region"], size, size)) for row in own}  # fmt: skip
        name = f"heatmaps_{number}_{re.sub(r'[^A-Za-z0-9]+', '_', finding)}.png"  # names may differ in a sign alone
        run.pictures.heatmaps(name, "cosine with the prompts, as read", pictures)


def _title(row: Mapping[str, Any]) -> str:
    """Return what is asked of which radiograph; a phrase of a report is not told."""
    prompts = row["prompts"]
    more = f" and {len(prompts) - 1} more" if len(prompts) > 1 else ""
    asked = f"“{prompts[0]}”{more}" if prompts else "the pair's phrase"
    return f"{row['finding']}: {asked}\nradiograph {row['image_id']}, read as {row['reading']}"


def locate_findings(
    queries: Queries, labels: Path, store: ImageStore
) -> tuple[dict[str, LocatedFinding], dict[str, str]]:
    """Return the located positives and pairs of each finding by part, and why the other findings are not measured.

    Located positives are needed in test; what learns or chooses on another part is null without them. One of several
    findings is left out where test has few. Raises InputError where nothing is left, and for a finding without labels.
    """
    located: dict[str, LocatedFinding] = {}
    not_measured: dict[str, str] = {}
    error: NoLocationError | None = None
    fewest = FEWEST if len(queries.findings) > 1 else 1
    for finding in queries.findings:
        found: dict[str, Mapping[str, Located]] = {"prompts": {}, "phrases": {}}
        lacking = {}
        phrases = queries.phrases.filter(pl.col("finding") == finding)
        rows = {"prompts": read_labels(labels, finding)} if finding in queries.prompts else {}
        for what, own in (rows | ({PHRASES: phrases} if len(phrases) else {})).items():
            try:
                found[what] = _locate(own, store, labels, fewest)
            except NoLocationError as none:
                error, lacking[what] = error or none, none.why
        if found["prompts"] or found[PHRASES]:
            located[finding] = LocatedFinding(found["prompts"], found[PHRASES], lacking)
        else:
            not_measured[finding] = next(iter(lacking.values()))
    if not located and error is not None:
        if len(queries.findings) == 1:
            raise error
        finding, why = next(iter(not_measured.items()))
        raise InputError(
            f"{labels}: no finding has located positives in test ({FEWEST}); {finding}: {why}",
            "list in the data set's `evaluations` what can be measured",
        )
    return located, not_measured


def _locate(rows: pl.DataFrame, store: ImageStore, source: Path, fewest: int) -> dict[str, Located]:
    """Return the located rows by part. Raises NoLocationError where test has none, or too few."""
    parts = {}
    for part in PARTS:
        try:
            parts[part] = locate(rows, store, part, source)
        except NoLocationError:
            if part == "test":
                raise
    few = len(parts["test"].labels)
    if few < fewest:
        raise NoLocationError(f"{source}: too few", "", f"{few} located positives in test")
    return parts


def means_of(grounded: Sequence[Grounded], measures: Sequence[str], draws: int, seed: int) -> dict[str, Estimate]:
    """Return each measure of the heatmap, mean over findings.

    The interval draws patients (images where some are unknown) of all findings together; a finding of which a draw has
    no image is left out of that draw's mean.
    """
    images = [each.test.labels.select("image_id", "patient_id") for each in grounded]
    weights = draw_weights(resampled(pl.concat(images))[1], draws, seed)
    ends = np.cumsum([len(each) for each in images])[:-1]
    found = {}
    for measure in measures:
        values = [each.values[measure]["heatmap"] for each in grounded]
        with np.errstate(invalid="ignore"):
            means = [mean_of(own)(part) for own, part in zip(values, np.split(weights, ends, axis=1), strict=True)]
        found[measure] = estimate_of(float(np.mean([own.mean() for own in values])), mean_of_known(means))
    return found


def finding_result(
    finding: str,
    sets: Mapping[str, Grounded],
    located: LocatedFinding,
    integrity_map: IntegrityMap | None,
    overlap: Overlap,
) -> FindingResult:
    """Build the record of one finding."""
    test = next(iter(sets.values())).test
    by_set = {
        measure: {name: grounded.figures[measure] for name, grounded in sets.items()}
        for measure in ("contrast_to_noise", "absolute_contrast_to_noise", "iou", "mean_iou")
    }
    return FindingResult(
        finding=finding,
        images=test.labels["image_id"].n_unique(),
        located={part: LocatedPart(**own.counts()) for part, own in located.images.items()},
        phrases=counts_of(located.pairs["test"]) if located.pairs else None,
        lacking=dict(located.lacking),
        resampled_by=test.resampled[0],
        place_words={name: list(grounded.slots) for name, grounded in sets.items()},
        pointing={name: PointingGame(**grounded.figures["pointing"]) for name, grounded in sets.items()},
        iou_threshold={name: grounded.thresholds for name, grounded in sets.items()},
        reading={name: grounded.reading for name, grounded in sets.items()},
        readings={name: grounded.readings for name, grounded in sets.items()},
        random_encoders={name: grounded.random_encoders for name, grounded in sets.items()},
        integrity_map=integrity_map,
        overlap=overlap,
        **by_set,
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
           for measure in ("pointing", "contrast_to_noise", "iou", "mean_iou")}
        for pointer in pointing
        for place, (image, patient) in enumerate(labels.select("image_id", "patient_id").iter_rows())
    ]  # fmt: skip


def sample_rows(finding: str, grounded: Grounded, count: int, seed: int) -> list[dict]:
    """Return rows of the samples table: images drawn by seed, in the order of the draw; an image with one phrase."""
    test, maps = grounded.test, grounded.maps
    order = np.random.default_rng(seed).permutation(len(maps))
    once = {test.labels["image_id"][int(place)]: place for place in reversed(order)}  # the first of each image stays
    rows = []
    for place in [place for place in order if once[test.labels["image_id"][int(place)]] == place][:count]:
        at = peak(maps[place], test.content[place])
        rows.append(
            {
                "image_id": test.labels["image_id"][int(place)],
                "finding": finding,
                "pixels": test.pixels[place].tobytes(),
                "prompts": grounded.prompts[place] if grounded.prompts else [],
                "reading": grounded.reading,
                "heatmap": maps[place].ravel().tolist(),
                "content": encode(test.content[place]),
                "region": encode(test.regions[place]),
                "peak": list(at),
                "hit": bool(test.regions[place][at]),
            }
        )
    return rows
