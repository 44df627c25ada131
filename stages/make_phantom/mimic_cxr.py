"""The MIMIC-CXR layout: DICOM and report trees, record and study lists, checksums; and a few planted bad inputs.

Johnson et al., MIMIC-CXR Database 2.1.0, PhysioNet, doi:10.13026/4jqj-jw95.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..common.digests import seed_from
from .canvas import sample_canvas, sample_exposure
from .contract import MIMIC_LABELS, BadInput, MakePhantomSettings, TruthImage
from .dicom_files import Identity, sample_storage, uid_of, uncompressed_dicom
from .file_tree import FileDigest, csv_bytes, gzip_bytes, write_bytes
from .patients import Study, draw_image, image_truth, lateral_truth, rng_of, sample_study
from .prose import Facts, write_report
from .public_labels import CHEXPERT_COLUMNS, VOCABULARIES, chexpert_cells, with_labels
from .render import draw_lateral

FOLDER = "mimic_cxr"

# Defects of the planted patients, in turn.
DEFECTS = ("not_an_image", "file_missing", "report_without_image", "image_without_report")

_STRIDE = 7_368_787  # coprime to 10^7: maps an index to a number of seven digits without collision


@dataclass
class Patient:
    """Files written for one patient; `sums` also has the file that the index lists and the disk lacks."""

    files: list[FileDigest] = field(default_factory=list)
    sums: list[FileDigest] = field(default_factory=list)
    records: list[tuple[str, str, str, str]] = field(default_factory=list)
    studies: list[tuple[str, str, str]] = field(default_factory=list)
    images: list[TruthImage] = field(default_factory=list)
    bad: list[BadInput] = field(default_factory=list)


def subject_id(settings: MakePhantomSettings, patient: int) -> str:
    """Return eight digits from 10000000, as in MIMIC."""
    return str(10_000_000 + (patient * _STRIDE + seed_from("subject", settings.seed)) % 10**7)


def study_id(settings: MakePhantomSettings, patient: int, number: int) -> str:
    """Return eight digits from 50000000."""
    return str(50_000_000 + ((2 * patient + number) * _STRIDE + seed_from("study", settings.seed)) % 10**7)


def write_patient(settings: MakePhantomSettings, output: Path, patient: int) -> Patient:
    """Write all studies of one patient; indices from `mimic_patients` on are the planted bad inputs."""
    written = Patient()
    if patient >= settings.mimic_patients:
        defect = DEFECTS[(patient - settings.mimic_patients) % len(DEFECTS)]
        _write_study(settings, output, sample_study(settings, "mimic_cxr", patient, 0), written, defect)
        return written
    again = rng_of(settings.seed, "mimic_cxr", patient, "studies").random() < settings.second_study
    for number in range(2 if again else 1):
        _write_study(settings, output, sample_study(settings, "mimic_cxr", patient, number), written, None)
    return written


def _write_study(
    settings: MakePhantomSettings, output: Path, study: Study, written: Patient, defect: str | None
) -> None:
    subject, number = subject_id(settings, study.patient), study_id(settings, study.patient, study.number)
    folder = f"files/p{subject[:2]}/p{subject}/s{number}"
    rng = rng_of(settings.seed, "mimic_cxr", study.patient, "study", study.number, "layout")
    lateral = defect is None and bool(rng.random() < settings.lateral_view)
    twice = defect is None and study.number == 0 and study.patient < settings.two_frontals
    views = [study.view] * (2 if twice else 1) + ["LATERAL"] * lateral
    if defect == "report_without_image":
        views = []
        written.bad.append(BadInput(source_id=number, path=f"{folder}.txt", reason=defect))
    before = len(written.images)
    for rank, view in enumerate(views):
        _write_image(settings, output, study, rank, view, folder, written, defect)
    if settings.mimic_labels and defect is None:
        written.images[before:] = _with_labels(settings, study, written.images[before:])
    if defect != "image_without_report":
        anatomy = study.anatomy
        sex = "F" if anatomy.female else "M"
        facts = Facts(study.findings, study.view, lateral, anatomy.low_volumes, anatomy.millimetres, study.age, sex)
        entry = write_bytes(output, f"{FOLDER}/{folder}.txt", write_report(rng, facts).encode())
        written.files.append(entry)
        written.sums.append(entry)
        written.studies.append((subject, number, f"{folder}.txt"))


def _write_image(
    settings: MakePhantomSettings,
    output: Path,
    study: Study,
    rank: int,
    view: str,
    folder: str,
    written: Patient,
    defect: str | None,
) -> None:
    """Write one image of a study: the file, its record, its truth, or what the defect leaves of them."""
    subject, number = subject_id(settings, study.patient), study_id(settings, study.patient, study.number)
    rng = rng_of(settings.seed, "mimic_cxr", study.patient, "file", study.number, rank)
    image_id = "-".join(f"{part:08x}" for part in rng.integers(2**32, size=5))
    rows, columns = sample_sides(rng, settings.mimic_long_side)
    if view == "LATERAL":
        canvas, exposure = sample_canvas(rng, rows, columns, "PA"), sample_exposure(rng, "PA")
        display = draw_lateral(study.anatomy, canvas, exposure)
        truth = lateral_truth(image_id, number, subject, rows, columns)
    else:
        frontal = draw_image(settings, study, rank, rows, columns)
        canvas, display = frontal.canvas, frontal.radiograph.display
        truth = image_truth(image_id, number, subject, study, frontal.radiograph)
    identity = Identity(
        sop=uid_of("mimic_cxr", settings.seed, image_id),
        series=uid_of("mimic_cxr", settings.seed, image_id, "series"),
        study=uid_of("mimic_cxr", settings.seed, number, "study"),
        patient_id=subject,
        age=f"{study.age:03d}Y",
        sex="F" if study.anatomy.female else "M",
        date=study.day.strftime("%Y%m%d"),
        view=view,
        spacing=study.anatomy.millimetres / canvas.unit,
        study_id=number,
    )
    content = uncompressed_dicom(display, identity, sample_storage(rng))
    if defect == "not_an_image":
        content = b"This file stands in for a damaged download. It is no DICOM.\n"
    path = f"{folder}/{image_id}.dcm"
    written.records.append((subject, number, image_id, path))
    if defect == "file_missing":
        written.sums.append((f"{FOLDER}/{path}", "0" * 64))
    else:
        written.files.append(write_bytes(output, f"{FOLDER}/{path}", content))
        written.sums.append(written.files[-1])
    if defect:
        written.bad.append(BadInput(source_id=image_id, path=path, reason=defect))
    if defect in (None, "image_without_report"):
        written.images.append(truth)


def sample_sides(rng: np.random.Generator, long_side: tuple[int, int]) -> tuple[int, int]:
    """Draw rows and columns: mostly portrait, some landscape, a few square."""
    long = int(rng.integers(long_side[0], long_side[1] + 1))
    short = round(long * rng.choice([0.82, 0.86, 0.91, 1.0]))
    return (long, short) if rng.random() < 0.7 else (short, long)


def write_index(output: Path, patients: Sequence[Patient]) -> list[FileDigest]:
    """Write the distribution's own lists, sorted by subject, study and image."""
    records = sorted(row for patient in patients for row in patient.records)
    studies = sorted(row for patient in patients for row in patient.studies)
    lists = {
        "cxr-record-list.csv.gz": csv_bytes(("subject_id", "study_id", "dicom_id", "path"), records),
        "cxr-study-list.csv.gz": csv_bytes(("subject_id", "study_id", "path"), studies),
    }
    files = [write_bytes(output, f"{FOLDER}/{name}", gzip_bytes(content)) for name, content in lists.items()]
    labels = _write_labels(output, patients)
    sums = sorted([entry for patient in patients for entry in patient.sums] + files)
    text = "".join(f"{digest} {path.removeprefix(f'{FOLDER}/')}\n" for path, digest in sums)
    return [*files, *labels, write_bytes(output, f"{FOLDER}/SHA256SUMS.txt", text.encode())]


def _with_labels(settings: MakePhantomSettings, study: Study, images: Sequence[TruthImage]) -> list[TruthImage]:
    """Return the truth of a study's images, the frontal one first, with the labels of the study."""
    rng = rng_of(settings.seed, "mimic_cxr", study.patient, "study", study.number, "labels")
    said = with_labels(images[0], VOCABULARIES["mimic_cxr"], rng)
    return [image.model_copy(update={"labels": said.labels, "uncertain": said.uncertain}) for image in images]


def _write_labels(output: Path, patients: Sequence[Patient]) -> list[FileDigest]:
    """Write the table of labelled studies, if there are any. It is MIMIC-CXR-JPG's: the checksums do not have it."""
    studies = {(image.patient_id, image.study_id): image for patient in patients for image in patient.images
               if image.labels is not None}  # fmt: skip
    if not studies:
        return []
    columns = sorted(CHEXPERT_COLUMNS)
    rows = [(*study, *chexpert_cells(studies[study], columns, number)) for number, study in enumerate(sorted(studies))]
    content = csv_bytes(("subject_id", "study_id", *columns), rows)
    return [write_bytes(output, f"{FOLDER}/{MIMIC_LABELS}", gzip_bytes(content))]
