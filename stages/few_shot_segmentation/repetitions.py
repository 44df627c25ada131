"""One job of few-shot segmentation: the parts with their masks, and one repetition per seed.

A killed job resumes. It writes result.json, the pixel counts of every repetition, and samples that may be shown.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from ..audit_splits.contract import read_overlap
from ..common.data.image_store import ImageStore
from ..common.data.label_matrix import label_matrix
from ..common.data.patient_split import Split
from ..common.data.run_lengths import decode, encode
from ..common.device import choose_device
from ..common.digests import seed_from
from ..common.encoders.dual import load_checkpoint
from ..common.encoders.image import ImageEncoder
from ..common.errors import InputError
from ..common.few_shot.parts import refuse_no_subset
from ..common.few_shot.repetitions import log_result, looks_of
from ..common.files.arrow_tables import read_table, write_frame, write_rows
from ..common.files.schemas import LABELS, OVERLAPS, outlines
from ..common.inference.encoding import Rows
from ..common.journal.tracking import Run, track_job
from ..common.metrics.findings import Measurable
from ..common.records import write_record
from ..common.training.served_states import state_in_use
from ..common.training.state_files import ResumableState
from .contract import (
    ALWAYS_DIFFERENT,
    AnyJobSettings,
    FewShotSegmentationJob,
    LinearJobSettings,
    OutlinedPart,
    SegmentationResult,
    departures_of,
)
from .evaluation import THRESHOLDS, SeedOverlaps, best_threshold, evaluate
from .kept_tokens import KeptTokens
from .outlines import OutlinedImages, outline, refuse_upsampling
from .segmenters import Segmenter, encoder_for
from .training import (
    Log,
    Schedule,
    Training,
    masks_at,
    overlaps_of,
    probabilities_of,
    steps_per_epoch,
)

Build = Callable[[ImageEncoder], Segmenter]


@dataclass(frozen=True)
class Parts:
    """Rows of LABELS of one finding, by part. `train` is the subset of the job; the other parts are whole."""

    finding: str
    train: pl.DataFrame
    validation: pl.DataFrame
    test: pl.DataFrame


def parts_of(rows: pl.DataFrame, finding: str | None, fraction: int, source: Path) -> Parts:
    """Return the labels of `finding`, or of the finding of `rows` (of LABELS) with boxes or masks in most images.

    Raises InputError, which names `source`, where none has any, the labels have no such subset, or validation or test
    lacks one of the targets.
    """
    matrix = label_matrix(rows)
    refuse_no_subset(matrix, fraction, source)
    if finding is None:
        finding = _most_outlined(rows, source)
    elif finding not in matrix.findings:
        known = ", ".join(sorted(matrix.findings))
        raise InputError(f"{source}: no label is of finding {finding!r} (known: {known})", "correct `finding`")
    Measurable.of(matrix.among([finding]), str(source), several=False)
    own = rows.filter(pl.col("finding") == finding)
    train = own.filter((pl.col("split") == "train") & (pl.col("subset") <= fraction))
    return Parts(finding, train, *(own.filter(pl.col("split") == part) for part in ("validation", "test")))


def _most_outlined(rows: pl.DataFrame, source: Path) -> str:
    findings = rows["finding"].unique().to_list()
    if len(findings) == 1:
        return findings[0]
    outlined = rows.filter(pl.col("mask").is_not_null() | (pl.col("boxes").list.len() > 0))
    if outlined.is_empty():
        raise InputError(f"{source}: no finding has boxes or masks", "give label_images some, or list in the data "
                         "set's `evaluations` what can be measured")  # fmt: skip
    return outlined["finding"].value_counts().sort(["count", "finding"], descending=[True, False])["finding"][0]


@dataclass(frozen=True)
class OutlinedParts:
    """`Parts` with masks; positives without any outline are left out."""

    train: OutlinedImages
    validation: OutlinedImages
    test: OutlinedImages

    @classmethod
    def of(cls, parts: Parts, store: ImageStore, source: Path) -> "OutlinedParts":
        """Outline the parts. Raises InputError, which names `source`, where validation or test has no mask.

        `source` is labels.arrow. Without such masks nothing could be chosen or measured.
        """
        outlined = cls(*(outline(each, store) for each in (parts.train, parts.validation, parts.test)))
        for name in ("validation", "test"):
            if not getattr(outlined, name).outlined.any():
                raise InputError(
                    f"{source}: no image of the {name} part has a mask or boxes of {parts.finding}",
                    remedy="give label_images masks or boxes, or list in the data set's `evaluations` what can be "
                    "measured",
                )
        return outlined

    @property
    def skipped(self) -> str | None:
        """Return why nothing can be learned from the subset, or None where it can."""
        return None if self.train.outlined.any() else f"the subset has {len(self.train)} images, none with an outline"

    def counts(self, parts: Parts) -> dict[Split, OutlinedPart]:
        """Return the images that were used, and the positives that could not be."""
        found: tuple[tuple[Split, OutlinedImages, pl.DataFrame], ...] = (
            ("train", self.train, parts.train),
            ("validation", self.validation, parts.validation),
            ("test", self.test, parts.test),
        )
        return {
            name: OutlinedPart(
                images=len(used),
                positives=int(used.outlined.sum()),
                positives_without_outline=part.height - len(used),
                outlines_too_small_to_show=int(used.labels["target"].sum()) - int(used.outlined.sum()),
            )
            for name, used, part in found
        }


@dataclass(frozen=True)
class Repetition:
    """Outcome of one repetition."""

    result: SeedOverlaps
    samples: list[dict]  # rows of schemas.outlines
    extremes: dict[str, dict]  # the same of the best, the median and the worst image with the finding


def schedule_of(settings: AnyJobSettings, images: int) -> Schedule:
    """Return when a job validates: `linear` after every epoch, others several times, evenly over the steps."""
    if isinstance(settings, LinearJobSettings):
        epoch = steps_per_epoch(images, settings.batch_size)
        steps = settings.epochs * epoch
        return Schedule(steps, frozenset(range(epoch, steps + 1, epoch)), settings.patience, None)
    return Schedule(settings.steps, looks_of(settings.steps, settings.validations), None, settings.warmup_steps)


def repeat(
    encoder: ImageEncoder,
    parts: OutlinedParts,
    build: Build,
    settings: AnyJobSettings,
    seed: int,
    state: ResumableState,
    log: Log,
    kept: KeptTokens,
) -> Repetition:
    """Train one segmenter on the device of `encoder`, which is not changed. Raises InputError where it diverges.

    `kept` holds what this encoder made of the same `parts`, for repetitions to share.
    """
    torch.manual_seed(seed_from("decoder", seed))
    device = next(encoder.parameters()).device
    segmenter = build(encoder_for(encoder, settings.input_size)).to(device)
    schedule = schedule_of(settings, len(parts.train))
    training = Training(segmenter, (parts.train, parts.validation), settings, schedule, seed, kept)
    progress = training.run(state, log)
    chosen = best_threshold(overlaps_of(segmenter, parts.validation, settings, kept))
    test = overlaps_of(segmenter, parts.test, settings, kept).at(chosen)
    threshold = float(THRESHOLDS[chosen])
    result = SeedOverlaps(seed, progress.best_step, progress.best_value, threshold, test)
    if not settings.publish_samples or seed != settings.seed:
        return Repetition(result, [], {})
    outlined = np.flatnonzero(parts.test.outlined)
    drawn = np.random.default_rng(settings.seed).permutation(outlined)[: settings.samples]
    best_first = outlined[np.argsort(-result.test.dice()[outlined, 0], kind="stable")]
    places = {"best": 0, "median": len(outlined) // 2, "worst": len(outlined) - 1}
    extremes = _samples(segmenter, parts.test, result, settings, best_first[list(places.values())])
    samples = _samples(segmenter, parts.test, result, settings, drawn)
    return Repetition(result, samples, dict(zip(places, extremes, strict=True)))


def _samples(
    segmenter: Segmenter, test: OutlinedImages, result: SeedOverlaps, settings: AnyJobSettings, chosen: Rows
) -> list[dict]:
    """Return rows of schemas.outlines of the chosen test images, on the stored square."""
    rows = []
    for row in chosen:
        one = np.array([row])
        [probabilities] = probabilities_of(segmenter, test, [one], settings, KeptTokens(0))
        predicted = masks_at(probabilities >= result.threshold, test.store.size)[0]
        rows.append(
            {
                "image_id": test.labels["image_id"][int(row)],
                "pixels": test.images(one)[0].tobytes(),
                "truth": test.runs[row],
                "predicted": encode(predicted),
                "dice": float(result.test.dice()[row, 0]),
            }
        )
    return rows


def segment(job: FewShotSegmentationJob, build: Build) -> None:
    """Repeat a protocol over seeds, measure, and write result, overlaps and samples; a killed job resumes."""
    settings = job.settings
    with track_job(job) as run, state_in_use(job.state / run.digest[:16]) as state:
        overlap = read_overlap(job.audit, job.labels)
        rows = pl.DataFrame(read_table(job.labels, LABELS))
        parts = parts_of(rows, settings.finding, settings.fraction, job.labels)
        store = ImageStore(job.images, often=True)
        refuse_upsampling(store, job.images, settings.input_size, settings.allow_upsampling)
        outlined = OutlinedParts.of(parts, store, job.labels)
        encoder = load_checkpoint(job.checkpoint, choose_device(job.device)).model.image
        repetitions, kept_tokens = [], KeptTokens()
        for seed in [] if outlined.skipped else range(settings.seed, settings.seed + settings.seeds):
            kept = ResumableState(state / f"seed_{seed}", job.save_minutes * 60)
            repetitions.append(repeat(encoder, outlined, build, settings, seed, kept, run.log_metrics, kept_tokens))
        found = evaluate(outlined.test.labels, [each.result for each in repetitions], settings.draws, settings.seed)
        result = SegmentationResult(
            finding=parts.finding,
            protocol=job.protocol,
            fraction=settings.fraction,
            input_size=settings.input_size,
            stored_size=store.size,
            skipped=outlined.skipped,
            images=outlined.counts(parts),
            overlap=overlap,
            departures=departures_of(settings, job.protocol, store.size),
            always_different=ALWAYS_DIFFERENT[job.protocol],
            **vars(found),
        )
        write_overlaps(job.overlaps, outlined.test, repetitions)
        write_rows(job.samples, outlines(store.size), [row for each in repetitions for row in each.samples])
        write_record(job.result, result)
        log_result(run, result, result.metrics)
        for each in repetitions[:1]:
            _draw(run, each.extremes, store.size)


def _draw(run: Run, extremes: Mapping[str, dict], size: int) -> None:
    """Draw the best, the median and the worst image; nothing where radiographs may not be shown."""
    if not extremes:
        return
    shown = {f"{which}, Dice {row['dice']:.2f}": (np.frombuffer(row["pixels"], np.uint8).reshape(size, size),
                                                  decode(row["truth"], size, size),
                                                  decode(row["predicted"], size, size))
             for which, row in extremes.items()}  # fmt: skip
    run.pictures.outlines("best_median_worst.png", shown)


def write_overlaps(folder: Path, test: OutlinedImages, repetitions: Sequence[Repetition]) -> None:
    """Write the pixel counts of every repetition; those of an earlier run are removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for each in repetitions:
        counts = each.result.test
        columns = {"truth": counts.truth, "predicted": counts.predicted[:, 0], "both": counts.both[:, 0]}
        rows = test.labels.select("image_id", "patient_id", **{name: pl.Series(each) for name, each in columns.items()})
        write_frame(folder / f"seed_{each.result.seed}.arrow", OVERLAPS, rows)
