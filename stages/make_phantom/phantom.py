"""The whole phantom: patients drawn by a pool of processes, then indices, truth and the manifest."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ..common.journal.progress import progress
from ..common.journal.tracking import track_job
from ..common.records import write_record
from . import mimic_cxr, public_sets, rsna, siim
from .contract import (
    FINDINGS,
    TABLES,
    BadInput,
    Dataset,
    DatasetCounts,
    MakePhantomJob,
    MakePhantomSettings,
    PhantomManifest,
    Truth,
    TruthImage,
)
from .file_tree import MANIFEST, FileDigest, prepare_folder, tree_digest, write_bytes
from .kaggle import Written
from .mimic_cxr import Patient
from .patients import images_of_patients, truth_bytes
from .public_sets import PublicImage

# (data set, [(patient, its number of images)]); for MIMIC-CXR the patient's own studies decide.
Job = tuple[Dataset, list[tuple[int, int]]]

_PATIENTS_A_JOB = 40


def draw_phantom(job: MakePhantomJob) -> None:
    """Draw a phantom and keep the journal."""
    with track_job(job) as run:
        manifest = make_phantom(job.settings, job.output)
        for dataset, counts in manifest.datasets.items():
            run.log_metrics({f"{dataset}/images": counts.images, f"{dataset}/patients": counts.patients})
            run.log_metrics({f"{dataset}/prevalence/{name}": share for name, share in counts.prevalence.items()})
        run.log_metric("reports", manifest.reports)
        run.log_tag("tree_digest", manifest.tree_digest)
        run.log_artifact(job.output / MANIFEST)


def make_phantom(settings: MakePhantomSettings, output: Path) -> PhantomManifest:
    """Write the data sets, their truth and, last, the manifest; return the manifest."""
    prepare_folder(output, (*TABLES, "truth"))
    patients: list[Patient] = []
    images: dict[Dataset, list[Any]] = defaultdict(list)
    jobs = list(_jobs(settings))
    with progress("patients", sum(len(own) for _, own in jobs)) as report:
        for (dataset, own), done in _run(settings, output, jobs):
            report.advance(len(own))
            if dataset == "mimic_cxr":
                patients += done
            else:
                images[dataset] += done
    files = [entry for patient in patients for entry in patient.files]
    files += [item.file for written in images.values() for item in written]
    files += mimic_cxr.write_index(output, patients)
    files += rsna.write_index(output, images["rsna"])
    files += siim.write_index(output, images["siim"])
    for name in settings.public:
        files += public_sets.write_tables(output, settings, name, images[name])
    bad = [entry for patient in patients for entry in patient.bad]
    drawn = [image for patient in patients for image in patient.images]
    truth = [Truth(dataset="mimic_cxr", bad_inputs=bad, images=drawn)]
    truth += [Truth(dataset=name, bad_inputs=[], images=[item.truth for item in images[name]]) for name in images]
    files += [write_bytes(output, f"truth/{each.dataset}.json", truth_bytes(each)) for each in truth]
    manifest = _manifest(settings, truth, patients, bad, files)
    write_record(output / MANIFEST, manifest)
    return manifest


def _jobs(settings: MakePhantomSettings) -> Iterator[Job]:
    counts: dict[Dataset, list[int]] = {
        "mimic_cxr": [1] * (settings.mimic_patients + settings.bad_inputs),
        "rsna": images_of_patients(settings, "rsna", settings.rsna_images),
        "siim": images_of_patients(settings, "siim", settings.siim_images),
    }
    for name, count in settings.public.items():
        counts[name] = images_of_patients(settings, name, count)
    for dataset, images in counts.items():
        numbered = list(enumerate(images))
        for start in range(0, len(numbered), _PATIENTS_A_JOB):
            yield dataset, numbered[start : start + _PATIENTS_A_JOB]


def _run(settings: MakePhantomSettings, output: Path, jobs: list[Job]) -> Iterator[tuple[Job, list[Any]]]:
    """Yield results in the order of the jobs, whichever process did them."""
    workers = min(settings.workers or len(os.sched_getaffinity(0)), len(jobs))
    if workers == 1:
        yield from ((job, write_job(settings, output, job)) for job in jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from zip(jobs, pool.map(write_job, repeat(settings), repeat(output), jobs), strict=True)


def write_job(
    settings: MakePhantomSettings, output: Path, job: Job
) -> list[Patient] | list[Written] | list[PublicImage]:
    """Draw and write the patients of one job; this runs in a worker process."""
    dataset, patients = job
    images = [(patient, number) for patient, count in patients for number in range(count)]
    if dataset == "mimic_cxr":
        return [mimic_cxr.write_patient(settings, output, patient) for patient, _ in images]
    if dataset == "rsna" or dataset == "siim":
        write_image = rsna.write_image if dataset == "rsna" else siim.write_image
        return [write_image(settings, output, patient, number) for patient, number in images]
    return [public_sets.write_image(settings, output, dataset, patient, number) for patient, number in images]


def _manifest(
    settings: MakePhantomSettings,
    truth: Sequence[Truth],
    patients: Sequence[Patient],
    bad: Sequence[BadInput],
    files: list[FileDigest],
) -> PhantomManifest:
    return PhantomManifest(
        settings=settings.model_dump(mode="json", exclude={"workers"}),
        settings_digest=settings.result_digest(),
        tree_digest=tree_digest(files),
        files=len(files),
        reports=sum(len(patient.studies) for patient in patients),
        bad_inputs=dict(sorted(Counter(entry.reason for entry in bad).items())),
        datasets={each.dataset: _counts(each.images) for each in truth},
    )


def _counts(images: Sequence[TruthImage]) -> DatasetCounts:
    frontal = [image for image in images if image.view != "LATERAL"]
    present = Counter(name for image in frontal for name in {found.finding for found in image.findings})
    return DatasetCounts(
        images=len(images),
        frontal_images=len(frontal),
        patients=len({image.patient_id for image in images}),
        images_with={name: present[name] for name in FINDINGS},
        prevalence={name: round(present[name] / max(1, len(frontal)), 4) for name in FINDINGS},
    )
