"""Labels of the converted images: ids as index_inputs wrote them, patients, masks at the original size."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..common.data.identifiers import Subject, keyed, read_key
from ..common.data.index_tables import PATIENT_COLUMNS, read_patients
from ..common.errors import InputError
from ..common.radiographs.attributes import ATTRIBUTES
from .boxes import BoxesAtTheEdge
from .contract import LabelImagesSettings
from .distributed_labels import LabelTable, Region
from .label_tables import read_labels, read_run_lengths
from .masks import Masks

Identify = Callable[[str, Subject], str]
Phrases = Mapping[tuple[str, str], Mapping[str, list[list[float]]]]  # (image, finding) -> phrase -> boxes


@dataclass(frozen=True)
class ImageLabels:
    """Rows of LABELS without split and subset, in the order of the images, and what could not be matched.

    An image has a row for each finding that is present or absent in it.
    """

    rows: list[dict[str, Any]]
    licenses: list[str] = field(default_factory=list)
    labels_without_image: list[str] = field(default_factory=list)
    images_without_row: list[str] = field(default_factory=list)
    images_unlabelled: list[str] = field(default_factory=list)  # their cell is one of `unlabelled_values`
    images_with_blank_label: list[str] = field(default_factory=list)
    lung_masks_without_image: list[str] = field(default_factory=list)
    boxes_beyond_the_edge: int = 0  # they begin inside the image; the part outside does not count
    masks_of_overlapping_regions: int = 0  # their union is taken
    table_rows: dict[str, int] = field(default_factory=dict)  # image id -> its first row in the table of labels
    uncertain: Mapping[str, int] = field(default_factory=dict)  # finding -> images in which it is uncertain
    warnings: list[str] = field(default_factory=list)
    phrases: Phrases = field(default_factory=dict)

    @property
    def labelled(self) -> int:
        """Return the number of images that have a label."""
        return len({row["image_id"] for row in self.rows})

    @property
    def images_without_label(self) -> list[str]:
        """Return the images that have no label, for whatever reason."""
        return [*self.images_without_row, *self.images_unlabelled, *self.images_with_blank_label]


def label_images(
    images: pa.Table,
    root: Path,
    settings: LabelImagesSettings,
    private: Path | None,
    roots: tuple[Path, ...] = (),
) -> ImageLabels:
    """Read the tables of `root` and join them with the images (columns as in `join_labels`).

    Masks that are not below the root are sought below `roots`. Ids are compared as index_inputs wrote them. Raises
    InputError where no image has a label.
    """
    identify = identifying(settings, private)
    studies = dict(zip(images["image_id"].to_pylist(), images["study_id"].to_pylist(), strict=True))
    table = read_labels(root, settings, roots)
    lungs = {}
    if settings.lung_masks is not None:
        regions = read_run_lengths(root, settings.lung_masks, settings.show, settings.own_format)[1]
        lungs = {identify(name, "image"): each for name, each in regions.items()}
    joined = join_labels(images, identified(table, settings, identify, studies), lungs, settings, root, roots)
    if not joined.rows:
        raise _no_label(images, table, settings, root)
    _refuse_findings_without_label(joined, settings, root)
    return joined if settings.patients is None else with_patients(joined, root, settings, identify)


def identified(
    table: LabelTable, settings: LabelImagesSettings, identify: Identify, studies: Mapping[str, str]
) -> LabelTable:
    """Return the labels by the ids that index_inputs wrote; `studies` maps image_id to study_id.

    Rows of a study label each of its images.
    """
    of_studies = settings.columns is not None and settings.columns.study is not None
    table = table.renamed(lambda name: identify(name, "study" if of_studies else "image"))
    return table.of_images(studies) if of_studies else table


def _refuse_findings_without_label(joined: ImageLabels, settings: LabelImagesSettings, root: Path) -> None:
    """Raise an InputError for a finding that no image has as present or absent: no stage behind would know it."""
    labelled = {row["finding"] for row in joined.rows}
    for finding in settings.by_finding:
        if finding not in labelled:
            uncertain = joined.uncertain.get(finding, 0)
            left = f"; it is uncertain in {uncertain}, which `uncertain: ignore` leaves out" if uncertain else ""
            raise InputError(
                f"{root / settings.main_table(root)}: no image has a label of {finding}{left}",
                remedy=f"correct `findings.{finding}`, or remove it",
            )


def _no_label(images: pa.Table, table: LabelTable, settings: LabelImagesSettings, root: Path) -> InputError:
    """Return the error for a table whose ids are not those of the images; a private id is shown by its form only."""
    what = f"{root / settings.main_table(root)}: none of {images.num_rows} images has a label"
    if not table.labels:
        return InputError(
            f"{what}: {len(table.blank)} blank and {len(table.unlabelled)} unlabelled rows, no other",
            remedy="correct `columns.target`, positive_values and negative_values",
        )
    image, label = next(iter(table.labels.items()))
    form = re.sub(r"\d", "9", re.sub(r"[^\W\d_]", "a", image))
    shown = f"is {image}, an image's id is {images['image_id'][0]}" if settings.show else f"has the form {form}"
    return InputError(
        f"{what}: the id of row {label.row} {shown}",
        remedy="it must equal, letter by letter, the cell that index_inputs takes as id (its `columns.image_id`, else "
        "`columns.image`); set `columns` and `identifiers` as in index_inputs",
    )


def identifying(settings: LabelImagesSettings, private: Path | None) -> Identify:
    """Return the function from a distributed id to the id that index_inputs wrote."""
    if settings.identifier_kind == "distributed":
        return lambda identifier, _subject: identifier
    key = read_key(private)
    return lambda identifier, subject: keyed(identifier, subject, key)


def join_labels(
    images: pa.Table,
    table: LabelTable,
    lung_regions: Mapping[str, tuple[Region, ...]],
    settings: LabelImagesSettings,
    root: Path,
    roots: tuple[Path, ...] = (),
) -> ImageLabels:
    """Join every image with its label; `table` and `lung_regions` are by image id, as index_inputs wrote it.

    `images` has image_id, patient_id, original_rows, original_columns, sex, age and view. Raises InputError where a
    mask or a box leaves its image, or was drawn on one of another shape.
    """
    masks, labels = Masks(root, settings, roots), table.labels
    source = _source_of_boxes(root, settings, masks)
    edge = BoxesAtTheEdge(source, settings.boxes_size, has_keys=settings.layout == "folder")
    rows, without_label = [], []
    phrases: dict[tuple[str, str], dict[str, list[list[float]]]] = {}
    for image in images.to_pylist():
        label = labels.get(image["image_id"])
        if label is None:
            without_label.append(image["image_id"])
            continue
        own = {finding: masks.mask_of(image, each) for finding, each in label.findings.items()}
        lungs = masks.lungs_of(image, label, lung_regions.get(image["image_id"], ()))
        attributes: dict[str, Any] = {name: image[name] for name in ATTRIBUTES}
        for finding, each in label.findings.items():
            boxes = [list(box[1:5]) for box in edge.add(image, each.boxes)]
            if each.phrases:
                placed = {given[1:]: box for given, box in zip(each.boxes, boxes, strict=True)}
                phrases[image["image_id"], finding] = {
                    phrase: [placed[box[1:]] for box in of] for phrase, of in each.phrases.items()
                }
            rows.append(
                {
                    "image_id": image["image_id"],
                    "patient_id": image["patient_id"],
                    "finding": finding,
                    "target": each.target,
                    "boxes": boxes,
                    "mask": own[finding],
                    "lung_mask": lungs,
                    **attributes,
                }
            )
    edge.refuse_misplaced()
    known = set(images["image_id"].to_pylist())
    without_image = sorted(labels.keys() - known)
    labelled = images.num_rows - len(without_label)
    assert labelled + len(without_image) == len(labels)
    licenses = [label.license for name, label in labels.items() if name in known and label.license is not None]
    return ImageLabels(
        rows=rows,
        licenses=licenses,
        labels_without_image=without_image,
        images_without_row=[
            image for image in without_label if image not in table.unlabelled and image not in table.blank
        ],
        images_unlabelled=[image for image in without_label if image in table.unlabelled],
        images_with_blank_label=[image for image in without_label if image in table.blank],
        lung_masks_without_image=sorted(lung_regions.keys() - known),
        boxes_beyond_the_edge=len(edge.beyond),
        masks_of_overlapping_regions=masks.overlapping,
        uncertain=_uncertain(table, known),
        warnings=[
            *table.warnings,
            *_never_present(rows, settings),
            *_never_outlined(rows, settings, masks.source),
            *masks.warnings(),
            *edge.warnings(),
        ],
        table_rows={image: label.row for image, label in labels.items()} | table.blank | table.unlabelled,
        phrases=phrases,
    )


def _source_of_boxes(root: Path, settings: LabelImagesSettings, masks: Masks) -> Path:
    """Return the table that errors of boxes name: where rows and a second table have boxes, the first."""
    further = settings.boxes_table
    alone = [key for key, *_ in settings.outline_columns()] == ["boxes_table.boxes"]
    return root / further.table if further is not None and alone else masks.source


def _uncertain(table: LabelTable, known: Collection[str]) -> dict[str, int]:
    """Return the number of images in which each finding is uncertain."""
    return dict(Counter(finding for image, each in table.uncertain.items() if image in known for finding in each))


def _never_present(rows: Sequence[Mapping[str, Any]], settings: LabelImagesSettings) -> list[str]:
    """Return a warning for each of several findings that no image has, or that no image lacks."""
    lines = []
    for finding in settings.findings or ():
        targets = {row["target"] for row in rows if row["finding"] == finding}
        if len(targets) < 2 and not (settings.has_phrases and targets == {1}):  # phrases point at what is there
            what = "is present in every" if targets == {1} else "is absent from every"
            lines.append(
                f"{finding} {what} labelled image: nothing is measured on it; correct its column, or remove it"
            )
    return lines


def _never_outlined(rows: Sequence[Mapping[str, Any]], settings: LabelImagesSettings, source: Path) -> list[str]:
    """Return a warning for each declared column of boxes or masks without a value in any labelled image.

    Segmentation and grounding fail without outlines, after the training; this stage runs before it, but does not know
    whether they are asked for.
    """
    lines = []
    for key, column, kind, findings in settings.outline_columns():
        own = [row for row in rows if row["finding"] in findings]
        if any(row[kind] for row in own):
            continue
        what = f"{source}: `{column}` ({key}) has no value in any labelled image"
        if any(row["boxes"] or row["mask"] for row in own):
            lines.append(f"{what}; remove the key, or correct the column")
            continue
        nothing = "nothing" if len(findings) == len(settings.by_finding) else f"nothing of {findings[0]}"
        remedy = "correct the column, or remove the key, or list in the data set's `evaluations` what can be measured"
        lines.append(f"{what}, so {nothing} can be segmented or grounded; {remedy}")
    return lines


def with_patients(joined: ImageLabels, root: Path, settings: LabelImagesSettings, identify: Identify) -> ImageLabels:
    """Add the patients of a table of image_id and patient_id. Raises InputError where it contradicts the index."""
    assert settings.patients is not None
    source = root / settings.patients
    table, alike = read_patients(root, settings.patients, settings.show, settings.own_format)
    pairs = table.select(PATIENT_COLUMNS).iter_rows()
    patients = {identify(image, "image"): identify(patient, "patient") for image, patient in pairs}
    for row in joined.rows:
        patient = patients.get(row["image_id"])
        if patient is None:
            raise InputError(
                f"{source}: no patient for image {row['image_id']}", remedy="add it, or set `patients` to null"
            )
        if row["patient_id"] not in (None, patient):
            raise InputError(
                f"{source}: image {row['image_id']} has another patient in index_inputs",
                remedy="use the same table of patients in both",
            )
    rows = [row | {"patient_id": patients[row["image_id"]]} for row in joined.rows]
    return replace(joined, rows=rows, warnings=[*joined.warnings, *alike])
