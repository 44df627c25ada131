"""Patients, their studies and images: each a pure function of (seed, data set, index), whoever computes it."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from stages.common.digests import seed_from
from stages.make_phantom.anatomy import Anatomy, sample_anatomy
from stages.make_phantom.canvas import Canvas
from stages.make_phantom.findings import AnyFinding, sample_findings
from stages.make_phantom.pose import Exposure, FrontalView, sample_canvas, sample_exposure, sample_view
from stages.make_phantom.render import Radiograph, draw_frontal
from stages.make_phantom.settings import Dataset, MakePhantomSettings


@dataclass(frozen=True)
class Study:
    """One examination: the patient's chest on that day and what is found in it."""

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
    """One frontal image of a study, drawn."""

    canvas: Canvas
    exposure: Exposure
    radiograph: Radiograph


def rng_of(seed: int, *parts: int | str) -> np.random.Generator:
    return np.random.default_rng(seed_from("make_phantom", seed, *parts))


def sample_study(settings: MakePhantomSettings, dataset: Dataset, patient: int, number: int) -> Study:
    """Study `number` of a patient: the same anatomy every time, findings of its own."""
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
    """Frontal image `number` of a study: its own pose, exposure and noise."""
    rng = rng_of(settings.seed, study.dataset, study.patient, "study", study.number, "image", number)
    canvas = sample_canvas(rng, rows, columns, study.view)
    exposure = sample_exposure(rng, study.view)
    return Frontal(canvas, exposure, draw_frontal(study.anatomy, study.findings, canvas, exposure, settings.contrast))


def images_of_patients(settings: MakePhantomSettings, dataset: Dataset, images: int) -> list[int]:
    """How many images each patient has, in order of index, so that they add up to `images`; a few have two."""
    counts: list[int] = []
    left = images
    while left:
        recurs = rng_of(settings.seed, dataset, len(counts), "recurs").random() < settings.recurring
        counts.append(min(left, 2 if recurs else 1))
        left -= counts[-1]
    return counts
