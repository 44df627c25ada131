"""Patients, their studies and images, and their truth.

Each is a pure function of (seed, data set, index), whichever process computes it. The truth becomes records of
truth/<dataset>.json.
"""

import json
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from ..common.data import run_lengths
from ..common.digests import seed_from
from .anatomy import Anatomy, sample_anatomy
from .canvas import (
    Canvas,
    Exposure,
    FrontalView,
    bounding_box,
    sample_canvas,
    sample_exposure,
    sample_view,
)
from .contract import Dataset, MakePhantomSettings, Truth, TruthFinding, TruthImage
from .devices import Device
from .findings import AnyFinding, Pneumothorax, sample_findings
from .render import Radiograph, draw_frontal


@dataclass(frozen=True)
class Study:
    """One examination: the patient's chest on that day and its findings."""

    dataset: Dataset
    patient: int
    number: int
    anatomy: Anatomy
    findings: tuple[AnyFinding, ...]
    view: FrontalView
    age: int
    day: date


@dataclass(frozen=True)
class Frontal:
    """One drawn frontal image of a study."""

    canvas: Canvas
    exposure: Exposure
    radiograph: Radiograph


def rng_of(seed: int, *parts: int | str) -> np.random.Generator:
    """Return a generator seeded by the phantom's seed and `parts`."""
    return np.random.default_rng(seed_from("make_phantom", seed, *parts))


def sample_study(settings: MakePhantomSettings, dataset: Dataset, patient: int, number: int) -> Study:
    """Draw study `number` of a patient, whose anatomy stays the same while the findings change."""
    rng = rng_of(settings.seed, dataset, patient, "anatomy")
    anatomy = sample_anatomy(rng)
    age = int(rng.integers(19, 92))
    day = date(2110, 1, 1) + timedelta(
        days=int(rng.integers(32_000))
    )  # dates are shifted by a century, as in MIMIC-CXR
    rng = rng_of(settings.seed, dataset, patient, "study", number)
    anatomy, findings = sample_findings(rng, anatomy, settings.prevalence(dataset), settings.opacity_radius)
    day += timedelta(days=number * int(rng.integers(2, 300)))
    return Study(dataset, patient, number, anatomy, tuple(findings), sample_view(rng), age, day)


def draw_image(settings: MakePhantomSettings, study: Study, number: int, rows: int, columns: int) -> Frontal:
    """Draw frontal image `number` of a study, with its own pose, exposure and noise."""
    rng = rng_of(settings.seed, study.dataset, study.patient, "study", study.number, "image", number)
    canvas = sample_canvas(rng, rows, columns, study.view)
    exposure = sample_exposure(rng, study.view)
    return Frontal(canvas, exposure, draw_frontal(study.anatomy, study.findings, canvas, exposure, settings.contrast))


def images_of_patients(settings: MakePhantomSettings, dataset: Dataset, images: int) -> list[int]:
    """Return how many images each patient has, in order of index, with the sum `images`; a few have two."""
    counts: list[int] = []
    left = images
    while left:
        recurs = rng_of(settings.seed, dataset, len(counts), "recurs").random() < settings.recurring
        counts.append(min(left, 2 if recurs else 1))
        left -= counts[-1]
    return counts


def image_truth(image_id: str, study_id: str, patient_id: str, study: Study, radiograph: Radiograph) -> TruthImage:
    """Describe one frontal image."""
    rows, columns = radiograph.display.shape
    found = []
    for item, mask in zip(study.findings, radiograph.masks, strict=True):
        more: dict[str, str] = {}  # keys of one kind of finding; those not given are left out of the file
        if isinstance(item, Device):
            more = {"kind": item.kind}
        elif isinstance(item, Pneumothorax):
            more = {"mask": _text(run_lengths.encode(mask))}
        box = bounding_box(mask)
        found.append(
            TruthFinding(finding=item.finding, side=item.side, zone=item.zone, size=item.size, box=box, **more)
        )
    return TruthImage(
        image_id=image_id,
        study_id=study_id,
        patient_id=patient_id,
        view=study.view,
        rows=rows,
        columns=columns,
        findings=found,
        lung_mask=_text(run_lengths.encode(radiograph.lungs)),
    )


def lateral_truth(image_id: str, study_id: str, patient_id: str, rows: int, columns: int) -> TruthImage:
    """Describe a lateral image, on which no finding is drawn."""
    return TruthImage(
        image_id=image_id,
        study_id=study_id,
        patient_id=patient_id,
        view="LATERAL",
        rows=rows,
        columns=columns,
        findings=[],
        lung_mask="",
    )


def truth_bytes(truth: Truth) -> bytes:
    """Return the JSON of a data set's truth, one image per line."""
    record = truth.model_dump(mode="json", exclude_unset=True)
    lines = ",\n".join(json.dumps(image) for image in record["images"])
    bad = json.dumps(record["bad_inputs"])
    return f'{{"dataset": "{truth.dataset}", "bad_inputs": {bad}, "images": [\n{lines}\n]}}\n'.encode()


def _text(runs: list[int]) -> str:
    return " ".join(map(str, runs))
