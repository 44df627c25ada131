"""Public sets in the layouts of their owners: names and encodings of the images, and the tables beside them.

stages/distributions names the source of each, and says how it is read.
"""

import io
import re
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from ..common.digests import seed_from
from .contract import TABLES, MakePhantomSettings, PublicSet, TruthImage
from .dicom_files import Storage, sample_storage, stored_values, uncompressed_dicom, without_elements
from .file_tree import FileDigest, csv_bytes, gzip_bytes, write_bytes
from .kaggle import identity_of
from .mimic_cxr import sample_sides
from .patients import Frontal, Study, draw_image, image_truth, rng_of, sample_study
from .prose import Facts, write_report
from .public_labels import CHEXPERT_COLUMNS, VINDR_CLASSES, VOCABULARIES, chexpert_cells, readings, with_labels


@dataclass(frozen=True)
class PublicImage:
    """One written image: its file, its truth and the study that it shows."""

    file: FileDigest
    truth: TruthImage
    study: Study
    storage: Storage


@dataclass(frozen=True)
class Place:
    """Names of one image: its path below the set's folder, and its ids as the set's reader gives them."""

    path: str
    image: str
    study: str
    patient: str


@dataclass(frozen=True)
class Layout:
    """Layout of one set. `place` takes seed, patient and number; `tables` returns the contents of its tables."""

    place: Callable[[int, int, int], Place]
    encode: Callable[[MakePhantomSettings, Frontal, Study, Storage, str], bytes]
    tables: Callable[[MakePhantomSettings, Sequence[PublicImage]], Sequence[bytes]]
    one_study: bool = False  # a patient's images are of one study
    square: bool = False


def write_image(
    settings: MakePhantomSettings, output: Path, dataset: PublicSet, patient: int, number: int
) -> PublicImage:
    """Write image `number` of a patient of a public set."""
    layout = LAYOUTS[dataset]
    study = sample_study(settings, dataset, patient, 0 if layout.one_study else number)
    rng = rng_of(settings.seed, dataset, patient, "file", number)
    rows, columns = sample_sides(rng, settings.mimic_long_side)
    rows, columns = (max(rows, columns),) * 2 if layout.square else (rows, columns)
    frontal = draw_image(settings, study, number if layout.one_study else 0, rows, columns)
    place, storage = layout.place(settings.seed, patient, number), sample_storage(rng)
    truth = image_truth(place.image, place.study, place.patient, study, frontal.radiograph)
    truth = with_labels(
        truth, VOCABULARIES[dataset], rng_of(settings.seed, dataset, patient, "study", study.number, "labels")
    )
    content = layout.encode(settings, frontal, study, storage, place.image)
    return PublicImage(write_bytes(output, f"{dataset}/{place.path}", content), truth, study, storage)


def write_tables(
    output: Path, settings: MakePhantomSettings, dataset: PublicSet, images: Sequence[PublicImage]
) -> list[FileDigest]:
    """Write the tables of a public set; those that end with .gz are compressed."""
    contents = zip(TABLES[dataset], LAYOUTS[dataset].tables(settings, images), strict=True)
    return [
        write_bytes(output, f"{dataset}/{name}", gzip_bytes(content) if name.endswith(("gz", "tgz")) else content)
        for name, content in contents
    ]


def _raster(pixels: np.ndarray, form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, quality=93)  # PNG takes no quality, and ignores it
    return buffer.getvalue()


def _eight_bits(form: str) -> Callable[[MakePhantomSettings, Frontal, Study, Storage, str], bytes]:
    return lambda _settings, frontal, _study, _storage, _image: _raster(
        np.round(frontal.radiograph.display * 255).astype(np.uint8), form
    )


def _sex(study: Study) -> str:
    return "F" if study.anatomy.female else "M"


# CheXpert


def _place_in_chexpert(_seed: int, patient: int, number: int) -> Place:
    person, study = f"patient{patient + 1:05d}", f"study{number + 1}"
    path = f"CheXpert-v1.0-small/train/{person}/{study}/view1_frontal.jpg"
    return Place(path, path, f"{person}/{study}", person)


def _chexpert_tables(_settings: MakePhantomSettings, images: Sequence[PublicImage]) -> list[bytes]:
    header = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_COLUMNS)
    rows = [
        (each.truth.image_id, "Female" if each.study.anatomy.female else "Male", each.study.age, "Frontal",
         each.study.view, *chexpert_cells(each.truth, CHEXPERT_COLUMNS, number))
        for number, each in enumerate(images)
    ]  # fmt: skip
    return [csv_bytes(header, rows)]


# NIH ChestX-ray14


def _place_in_nih(_seed: int, patient: int, number: int) -> Place:
    name = f"{patient + 1:08d}_{number:03d}.png"
    return Place(f"images_{patient // 40 + 1:03d}/images/{name}", name, name, str(patient + 1))


def _nih_tables(_settings: MakePhantomSettings, images: Sequence[PublicImage]) -> list[bytes]:
    """Return entries, boxes and the two lists; every fourth patient is in the list of test images."""
    header = ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender",
              "View Position", "OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]")  # fmt: skip
    entries = [
        (each.truth.image_id, "|".join(sorted(each.truth.labels or {})) or "No Finding", each.study.number,
         each.truth.patient_id, each.study.age, _sex(each.study), each.study.view, each.truth.columns, each.truth.rows,
         "0.143", "0.143")
        for each in images
    ]  # fmt: skip
    boxes = [
        (each.truth.image_id, "Infiltrate" if word == "Infiltration" else word, *map(float, box))
        for each in images
        for word, found in (each.truth.labels or {}).items()
        for box in found
    ]
    lists: tuple[list[str], list[str]] = ([], [])
    for each in images:
        lists[each.study.patient % 4 == 3].append(each.truth.image_id)
    return [
        csv_bytes(header, entries),
        csv_bytes(("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]", "", "", ""), boxes),
        *("".join(f"{image}\n" for image in names).encode() for names in lists),
    ]


# Open-i


def _place_in_openi(_seed: int, patient: int, number: int) -> Place:
    image = f"CXR{patient + 1}_IM-{patient + 1:04d}-{1001 + number}"
    return Place(f"NLMCXR_png/{image}.png", image, f"CXR{patient + 1}", f"CXR{patient + 1}")


def _openi_tables(settings: MakePhantomSettings, images: Sequence[PublicImage]) -> list[bytes]:
    """Return the archive of reports, the last of which has no image."""
    reports: dict[str, list[PublicImage]] = {}
    for each in images:
        reports.setdefault(each.truth.study_id, []).append(each)
    members = {number: _openi_report(settings, name, shown) for number, (name, shown) in enumerate(reports.items(), 1)}
    members[len(members) + 1] = _openi_report(settings, f"CXR{len(members) + 1}", [])
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number, content in members.items():
            member = tarfile.TarInfo(f"ecgen-radiology/{number}.xml")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return [buffer.getvalue()]


def _openi_report(settings: MakePhantomSettings, name: str, shown: Sequence[PublicImage]) -> bytes:
    root = ElementTree.Element("eCitation")
    ElementTree.SubElement(root, "uId", id=name)
    abstract = ElementTree.SubElement(ElementTree.SubElement(root, "Article"), "Abstract")
    sections, headings = {"FINDINGS": "No image is available."}, ["No Indexing"]
    if shown:
        study, labels = shown[0].study, shown[0].truth.labels
        chest, sex = study.anatomy, _sex(study)
        facts = Facts(study.findings, study.view, False, chest.low_volumes, chest.millimetres, study.age, sex)
        rng = rng_of(settings.seed, "openi", study.patient, "report")
        sections = _sections(write_report(rng, facts))
        headings = ["No Indexing"] if labels is None else _headings(shown[0].truth) or ["normal"]
    for label in ("COMPARISON", "INDICATION", "FINDINGS", "IMPRESSION"):
        ElementTree.SubElement(abstract, "AbstractText", Label=label).text = sections.get(label)
    mesh = ElementTree.SubElement(root, "MeSH")
    for heading in headings:
        ElementTree.SubElement(mesh, "major").text = heading
    for each in shown:
        image = ElementTree.SubElement(root, "parentImage", id=each.truth.image_id)
        ElementTree.SubElement(image, "caption").text = f"Chest, {each.study.view}"
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _sections(report: str) -> dict[str, str]:
    """Return header -> text, on one line, of a report in MIMIC-CXR's format."""
    found = re.findall(r"^ ([A-Z]+): (.*?)(?=^ [A-Z]+: |\Z)", report, re.MULTILINE | re.DOTALL)
    return {header: " ".join(text.split()) for header, text in found}


def _headings(truth: TruthImage) -> list[str]:
    """Return the words of an image; those of drawn findings with their side, e.g. `Pleural Effusion/right`."""
    drawn = VOCABULARIES["openi"].drawn
    sides = {word: found.side for found in truth.findings for word in drawn.get(found.finding, ())}
    return [f"{word}/{sides[word]}" if sides.get(word) else word for word in sorted(truth.labels or {})]


# PadChest

_STEMS: Mapping[str, str] = {  # of the Spanish words of its reports
    "alveolar pattern": "patron alveol", "pneumothorax": "neumotorax", "nodule": "nodul pulmon",
    "pleural effusion": "derram pleural", "cardiomegaly": "cardiomegali",
}  # fmt: skip


def _place_in_padchest(seed: int, patient: int, number: int) -> Place:
    person, study = (str(seed_from("padchest", seed, patient, *more)) for more in ((), (number,)))
    image = f"{study}_{seed_from('padchest', study) % 36**6:06d}.png"
    return Place(f"{patient % 3}/{image}", image, f"{person}/{study}", person)


def _sixteen_bits(
    _settings: MakePhantomSettings, frontal: Frontal, _study: Study, storage: Storage, _image: str
) -> bytes:
    return _raster(stored_values(frontal.radiograph.display, storage), "PNG")  # MONOCHROME1 as it is


def _padchest_tables(_settings: MakePhantomSettings, images: Sequence[PublicImage]) -> list[bytes]:
    """Return the table; unlabelled images have labels of a network, which calls all of them normal."""
    header = ("", "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientSex_DICOM", "Projection",
              "PhotometricInterpretation_DICOM", "Report", "MethodLabel", "Labels")  # fmt: skip
    rows = []
    for number, each in enumerate(images):
        words, truth = sorted(each.truth.labels or {}), each.truth
        stems = " . ".join(_STEMS[word] for word in words if word in _STEMS) or "sin hallazg"
        rows.append((
            number, truth.image_id, each.study.patient % 3, f"{each.study.day:%Y%m%d}",
            truth.study_id.partition("/")[2],
            truth.patient_id, _sex(each.study), each.study.view, each.storage.photometric, f" {stems} .",
            "RNN_model" if truth.labels is None else "Physician",
            str([word if place == 0 else f" {word}" for place, word in enumerate(words)] or ["normal"]),
        ))  # fmt: skip
    return [csv_bytes(header, rows)]


# VinDr-CXR


def _place_in_vindr(seed: int, patient: int, number: int) -> Place:
    image = "".join(f"{seed_from('vindr', seed, patient, number, half):016x}" for half in (0, 1))
    return Place(f"train/{image}.dicom", image, image, image)


def _bare_dicom(settings: MakePhantomSettings, frontal: Frontal, study: Study, storage: Storage, image: str) -> bytes:
    content = uncompressed_dicom(frontal.radiograph.display, identity_of(settings, study, frontal, image), storage)
    return without_elements(content, "Modality", "ViewPosition", "BodyPartExamined", "PatientOrientation", "StudyDate")


def _vindr_tables(settings: MakePhantomSettings, images: Sequence[PublicImage]) -> list[bytes]:
    header = ("image_id", "class_name", "class_id", "rad_id", "x_min", "y_min", "x_max", "y_max")
    rows = [
        (each.truth.image_id, word, VINDR_CLASSES.index(word), reader, *(map(str, box) if box else [""] * 4))
        for each in images
        for reader, word, box in readings(each.truth, rng_of(settings.seed, "vindr", each.truth.image_id, "readings"))
    ]
    return [csv_bytes(header, rows)]


LAYOUTS: dict[PublicSet, Layout] = {
    "chexpert": Layout(_place_in_chexpert, _eight_bits("JPEG"), _chexpert_tables),
    "nih": Layout(_place_in_nih, _eight_bits("PNG"), _nih_tables, square=True),
    "openi": Layout(_place_in_openi, _eight_bits("PNG"), _openi_tables, one_study=True),
    "padchest": Layout(_place_in_padchest, _sixteen_bits, _padchest_tables),
    "vindr": Layout(_place_in_vindr, _bare_dicom, _vindr_tables),
}
