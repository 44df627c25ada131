"""One job: the parts with their masks, and a repetition for each seed, which resumes where a killed job was.

The files of a job: result.json, the pixel counts of every repetition, and what may be shown.
"""

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import torch

from ..common.data.image_store import ImageStore
from ..common.data.run_lengths import encode
from ..common.digests import seed_from
from ..common.encoders.image import ImageEncoder
from ..common.errors import InputError
from ..common.few_shot.parts import Parts
from ..common.few_shot.protocols import in_words
from ..common.files.arrow_tables import write_rows, write_table
from ..common.files.atomic_files import write_record
from ..common.files.schemas import OVERLAPS, outlines
from ..common.journal.tracking import Run
from ..common.training.state_files import ResumableState
from .contract import FinetuneJobSettings, JobSettings, LinearJobSettings
from .evaluation import THRESHOLDS, SeedOverlaps, best_threshold
from .outlines import OutlinedImages, outline
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

Build = Callable[[ImageEncoder, JobSettings], Segmenter]


@dataclass(frozen=True)
class OutlinedParts:
    """`Parts` with masks; positives that are nowhere outlined are left out."""

    train: OutlinedImages
    validation: OutlinedImages
    test: OutlinedImages

    @classmethod
    def of(cls, parts: Parts, store: ImageStore, source: Path) -> "OutlinedParts":
        """`source` is labels.arrow: without a mask in validation and test nothing could be chosen or measured."""
        outlined = cls(*(outline(each, store) for each in (parts.train, parts.validation, parts.test)))
        for name in ("validation", "test"):
            if not getattr(outlined, name).outlined.any():
                raise InputError(
                    f"{source}: no image of the {name} part has a mask or boxes of {parts.finding}",
                    remedy="segmentation needs them",
                )
        return outlined

    @property
    def skipped(self) -> str | None:
        """Why nothing can be learned from the subset, or None where it can be."""
        return None if self.train.outlined.any() else f"the subset has {len(self.train)} images, none with an outline"

    def counts(self, parts: Parts) -> dict[str, dict[str, int]]:
        """Images that were used, and positives that could not be."""
        return {
            name: {
                "images": len(used),
                "positives": int(used.outlined.sum()),
                "positives_without_outline": part.height - len(used),
                "outlines_too_small_to_show": int(used.labels["target"].sum()) - int(used.outlined.sum()),
            }
            for name, used, part in (
                ("train", self.train, parts.train),
                ("validation", self.validation, parts.validation),
                ("test", self.test, parts.test),
            )
        }


@dataclass(frozen=True)
class Repetition:
    result: SeedOverlaps
    samples: list[dict]  # rows of schemas.outlines


def schedule_of(settings: JobSettings, images: int) -> Schedule:
    """`linear` looks after every pass over the images, `finetune` some times, evenly over its steps."""
    if isinstance(settings, LinearJobSettings):
        epoch = steps_per_epoch(images, settings.batch_size)
        steps = settings.epochs * epoch
        return Schedule(steps, frozenset(range(epoch, steps + 1, epoch)), settings.patience, None)
    assert isinstance(settings, FinetuneJobSettings)
    looks = {math.ceil(settings.steps * look / settings.validations) for look in range(1, settings.validations + 1)}
    return Schedule(settings.steps, frozenset(looks), None, settings.warmup_steps)


def repeat(
    encoder: ImageEncoder,
    parts: OutlinedParts,
    build: Build,
    settings: JobSettings,
    seed: int,
    state: ResumableState,
    log: Log,
) -> Repetition:
    """Train one segmenter on the device of `encoder`, which stays as it is; raises InputError where it diverges."""
    torch.manual_seed(seed_from("decoder", seed))
    device = next(encoder.parameters()).device
    segmenter = build(encoder_for(encoder, settings.input_size), settings).to(device)
    training = Training(
        segmenter, (parts.train, parts.validation), settings, schedule_of(settings, len(parts.train)), seed
    )
    progress = training.run(state, log)
    chosen = best_threshold(overlaps_of(segmenter, parts.validation, settings))
    test = overlaps_of(segmenter, parts.test, settings).at(chosen)
    threshold = float(THRESHOLDS[chosen])
    result = SeedOverlaps(seed, progress.best_step, progress.best_value, threshold, test)
    shown = settings.samples if settings.publish_samples and seed == settings.seed else 0
    return Repetition(result, _samples(segmenter, parts.test, result, settings, shown))


def _samples(
    segmenter: Segmenter, test: OutlinedImages, result: SeedOverlaps, settings: JobSettings, count: int
) -> list[dict]:
    """Test images with the finding, drawn by seed, on the stored square."""
    outlined = np.flatnonzero(test.outlined)
    rows = []
    for row in np.random.default_rng(settings.seed).permutation(outlined)[:count]:
        one = np.array([row])
        probabilities = probabilities_of(segmenter, test, one, settings)
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


def write_result(
    places: dict[str, Path], result: dict[str, Any], test: OutlinedImages, repetitions: Sequence[Repetition], run: Run
) -> None:
    """Write all (`places`: result, overlaps, samples), the result last, and enter them in the journal."""
    shutil.rmtree(places["overlaps"], ignore_errors=True)
    places["overlaps"].mkdir(parents=True)
    for each in repetitions:
        counts = each.result.test
        columns = {"truth": counts.truth, "predicted": counts.predicted[:, 0], "both": counts.both[:, 0]}
        rows = test.labels.select("image_id", "patient_id", **{name: pl.Series(each) for name, each in columns.items()})
        path = places["overlaps"] / f"seed_{each.result.seed}.arrow"
        write_table(path, OVERLAPS, pa.Table.from_pylist(rows.to_dicts(), schema=OVERLAPS))
        run.log_artifact(path)
    write_rows(places["samples"], outlines(test.store.size), [row for each in repetitions for row in each.samples])
    write_record(places["result"], result)
    run.log_artifact(places["result"], publish=True)
    run.log_metrics({f"test/{name}": figure["value"] for name, figure in result["metrics"].items()})
    run.log_metrics({f"overlap/{kind}": count for kind, count in result["overlap"].items()})
    if result["departures"]:
        run.log_tag("not_the_published_protocol", in_words([result["departures"]]))
    if result["skipped"]:
        run.log_tag("skipped", result["skipped"])
