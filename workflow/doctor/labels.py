"""Checks of labels: what stages would refuse hours later, counted from the data sets' own tables.

Tables are read, joined and split by the stages' own code. A table is not read where it is too large to be quick, or
where this environment has only what `snakemake` needs.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl

from stages.audit_splits.contract import AuditSplitsSettings
from stages.common.data.prompts import read_prompts
from stages.common.errors import InputError
from stages.common.files.archives import is_file, size_of
from stages.common.files.rooted_files import RootedFileError, check_folders, find_under
from stages.common.records import FEWEST, FEWEST_PATIENTS
from stages.configuration import Config
from stages.contracts import EVALUATIONS, needs_of
from stages.label_images.contract import LabelImagesSettings
from workflow.doctor.findings import Finding, Status
from workflow.doctor.indexes import Indexes
from workflow.input_files import CHECKOUT

LARGEST = 200_000_000  # bytes of all tables of a data set: seconds
_PARTS = ("train", "validation", "test")


def check_labels(config: Config, indexes: Indexes) -> list[Finding]:
    """Return a finding for the labels of each data set that is evaluated."""
    return [check_labels_of(config, name, indexes) for name in config.evaluate_on]


def check_labels_of(config: Config, name: str, indexes: Indexes) -> Finding:
    """Read and split the labels of a data set as label_images will, without writing anything."""
    subject, settings, root = f"labels {name}", config.settings(LabelImagesSettings, name), Path(config.root(name))
    if config.is_phantom(name):
        return Finding("ok", subject, "synthetic: make_phantom will create them")
    try:
        check_folders(root, tuple(map(Path, config.roots(name))), Path(config.workspace, "private"))
    except InputError as error:  # reported with the data set
        return Finding("not checked", subject, error.what)
    tables = [root / table for table in settings.files(root)]
    missing = [table for table in tables if not is_file(table)]
    if missing:
        what = f"datasets.{name}.label_images: no file {missing[0]}"
        return Finding("error", subject, what, "correct the name, which is relative to the data set's root")
    if (size := sum(size_of(table) for table in tables)) > LARGEST:
        return Finding("not checked", subject, f"{size / 1e6:,.0f} MB of tables: label_images will read them")
    try:
        rows, converted = _split(config, name, settings, indexes)
        _draw_classes(config, name, rows, root / settings.main_table(root))
    except ImportError as error:
        what = f"this environment lacks {error.name}, with which label_images reads them"
        return Finding("not checked", subject, what)
    except InputError as error:
        return Finding("error", subject, f"datasets.{name}.label_images: {error.what}", error.remedy)
    if (shared := _shared_patients(config, name, rows)) is not None:
        return shared
    if settings.has_phrases and config.measures_on_test_alone(name):
        return _counted_phrases(subject, name, settings, rows)
    if settings.test_alone:
        return Finding(
            "ok", subject, f"{len({row['image_id'] for row in rows}):,} labelled images, all for the test part"
        )
    asked_for = [stage for stage in EVALUATIONS if "outlines" in needs_of(stage) and name in config.measured_on(stage)]
    return _without_outlines(subject, name, rows, asked_for) or _of_few_patients(
        name, settings, rows, _counted(subject, name, settings, rows, "" if converted else "at most ")
    )


def _of_few_patients(
    name: str, settings: LabelImagesSettings, rows: Sequence[Mapping[str, Any]], found: Finding
) -> Finding:
    """Return the finding, or a warning where all else is well and the test part has few patients."""
    patients = {row["patient_id"] or row["image_id"] for row in rows if row["split"] == "test"}
    if found.status != "ok" or len(patients) >= FEWEST_PATIENTS:
        return found
    remedy = (
        f"{len(patients)} patients in test, fewer than {FEWEST_PATIENTS}: its figures will say little; enlarge it in "
    )
    return Finding("warning", found.subject, found.what, f"{remedy}`{_key(settings, name)}`")


def _shared_patients(config: Config, name: str, rows: Sequence[Mapping[str, Any]]) -> Finding | None:
    """Return the error of patients in several parts, which audit_splits refuses hours later unless it is allowed."""
    parts: dict[str, set[str]] = {}
    for row in rows:
        if row["patient_id"] is not None:
            parts.setdefault(row["patient_id"], set()).add(row["split"])
    several = [patient for patient, each in parts.items() if len(each) > 1]
    if not several or config.settings(AuditSplitsSettings, name).allow_overlap:
        return None
    settings = config.settings(LabelImagesSettings, name)
    first = f" (first: {several[0]} in {' and '.join(sorted(parts[several[0]]))})" if settings.show else ""
    what = f"datasets.{name}.label_images.split_lists: {len(several)} patients are in more than one part{first}"
    remedy = (
        f"correct the lists, or set datasets.{name}.audit_splits.allow_overlap, which records it beside each result"
    )
    return Finding("error", f"labels {name}", what, remedy)


def _without_outlines(
    subject: str, name: str, rows: Sequence[Mapping[str, Any]], stages: Sequence[str]
) -> Finding | None:
    """Return the error of a part in which no positive has a box or mask, though `stages` need one there.

    Grounding needs one in test; segmentation learns and chooses, too.
    """
    needed = _PARTS if any("parts" in needs_of(stage) for stage in stages) else ("test",)
    lacking = [part for part in needed if not any(row["outlined"] for row in rows if row["split"] == part)]
    if not stages or not lacking:
        return None
    what = f"no box or mask in the {' and '.join(lacking)} part, which {' and '.join(stages)} cannot do without"
    remedy = f"correct label_images.columns, or list in datasets.{name}.evaluations what can be measured"
    return Finding("error", subject, what, remedy)


def _draw_classes(config: Config, name: str, rows: Sequence[Mapping[str, Any]], source: Path) -> None:
    """Draw the images of multi-class classification. Raises InputError for a class of which there are too few."""
    stage = "multi_class_classification"
    if name not in config.measured_on(stage):
        return
    settings = config.settings(stage, name)
    try:
        classes = settings.classes_among(read_prompts(CHECKOUT / settings.prompts))
    except InputError:  # reported with the prompt files
        return
    matrices, drawing = map(import_module, ("stages.common.data.label_matrix", f"stages.{stage}.drawn_images"))
    columns = ("image_id", "patient_id", "split", "subset", "finding", "target")
    kinds = {"patient_id": pl.String, "target": pl.Int8}
    table = pl.DataFrame([{key: row[key] for key in columns} for row in rows], schema_overrides=kinds)
    matrix = matrices.label_matrix(table)
    if not set(classes) <= set(matrix.findings):  # reported with the prompt files
        return
    drawing.draw_images(matrix, classes, settings, source)


def _split(
    config: Config, name: str, settings: LabelImagesSettings, indexes: Indexes
) -> tuple[list[dict[str, Any]], bool]:
    """Return the labelled images with target, split and subset, and whether a run has said which images there are.

    Images that are rejected for their view do not count; others may be rejected, too, once their files are read.
    """
    # By name, because they need what an environment for `snakemake` alone lacks: its lock holds what is imported here.
    images_of, tables, splits = (
        import_module(f"stages.label_images.{part}") for part in ("image_labels", "label_tables", "labels")
    )
    root, roots = Path(config.root(name)), tuple(map(Path, config.roots(name)))
    index = indexes.of(name)
    unusable, converted = indexes.unusable(name)
    with indexes.private() as private:
        identify = images_of.identifying(settings, private)
        studies = dict(index.files.select("image_id", "study_id").iter_rows())
        labels = images_of.identified(tables.read_labels(root, settings, roots), settings, identify, studies).labels
        images = dict(index.files.select("image_id", "patient_id").iter_rows())
        rows = [
            {"image_id": image, "patient_id": patient, "finding": finding, "target": each.target,
             "outlined": each.outlined, "phrases": len(each.phrases)}
            for image, patient in images.items()
            if image in labels
            for finding, each in labels[image].findings.items()
        ]  # fmt: skip
        if not rows:
            raise InputError(
                f"none of the {len(labels)} labelled images is among the {len(images)} of {root / index.source}",
                "correct `columns.image_id` or `columns.image`, and set `identifiers` as in index_inputs",
            )
        rows = [row for row in rows if row["image_id"] not in unusable]
        if not rows:
            raise InputError(
                "dicom_to_arrow rejects every labelled image",
                f"see the line `views {name}`, or rejects.arrow of dicom_to_arrow",
            )
        _refuse_missing_masks(
            root, roots, settings, [labels[image] for image in {row["image_id"]: None for row in rows}]
        )
        joined = images_of.ImageLabels(
            rows,
            labels_without_image=sorted(labels.keys() - (images.keys() - unusable)),
            images_without_row=sorted(images.keys() - labels.keys() - unusable),
        )
        if settings.patients is not None:
            joined = images_of.with_patients(joined, root, settings, identify)
        distributed = dict(index.files.select("image_id", "distributed_split").iter_rows())
        return splits.split_rows(joined, root, settings, private, distributed, indexes.unit_of(name))[0], converted


def _refuse_missing_masks(
    root: Path, roots: tuple[Path, ...], settings: LabelImagesSettings, labels: Sequence[Any]
) -> None:
    """Raise an InputError that names the first row with a mask that is not a file below the root or `roots`.

    `labels` are DistributedLabel, whose module is imported by name. Files are named only where messages may quote ids.
    """
    columns, problems = settings.columns, []
    for label in labels:
        files = [("mask", each.mask_file, each.mask_row) for each in label.findings.values()]
        for key, file, at in (*files, ("lung_mask", label.lung_mask_file, label.row)):
            try:
                if file is not None:
                    find_under(root, file, roots)
            except RootedFileError as error:
                named = f" {file}" if settings.show else ""
                column = getattr(columns, key) or key
                problems.append((at, f"{column}: the file{named} cannot be read: {error}"))
    if problems:
        row, what = min(problems)
        raise InputError(
            f"{root / settings.main_table(root)}: row {row}: {what} ({len(problems)} such)",
            "correct the cell, whose path is relative to the data set's root, or put the file there",
        )


def _counted(
    subject: str, name: str, settings: LabelImagesSettings, rows: Sequence[Mapping[str, Any]], most: str
) -> Finding:
    """Return the positives of each part and subset, and what is too few of them.

    `most` is empty where the numbers are those of a run.
    """
    if len({row["finding"] for row in rows}) > 1:
        return _counted_by_finding(subject, name, settings, rows, most)
    counts = _targets(rows)
    said = ", ".join(f"{part} {sum(each)} of {len(each)}" for part, each in counts.items())
    learnt = [row for row in rows if row["split"] == "train"]
    nested = ", ".join(
        f"{percent} %: {sum(row['target'] for row in learnt if row['subset'] <= percent)}"
        for percent in settings.subsets
    )
    what = f"{most}{len(rows):,} labelled images; positives: {said}; in the training subsets {nested}"
    few = [part for part, each in counts.items() if min(sum(each), len(each) - sum(each)) < FEWEST]
    if few:
        remedy = f"fewer than {FEWEST} positives or negatives in {' and '.join(few)}: enlarge them in "
        return Finding("warning", subject, what, f"{remedy}`{_key(settings, name)}`")
    return Finding("ok", subject, what)


def _counted_phrases(
    subject: str, name: str, settings: LabelImagesSettings, rows: Sequence[Mapping[str, Any]]
) -> Finding:
    """Return the phrases of each finding in the test part, where nothing else is measured."""
    test = [row for row in rows if row["split"] == "test"]
    pairs = {finding: sum(row["phrases"] for row in test if row["finding"] == finding)
             for finding in settings.by_finding}  # fmt: skip
    images, least = len({row["image_id"] for row in test}), FEWEST if len(pairs) > 1 else 1
    counts = "; ".join(f"{finding} {count}" for finding, count in pairs.items())
    what = f"{sum(pairs.values()):,} phrases of {images:,} test images: {counts}"
    if few := [finding for finding, count in pairs.items() if count < least]:
        status: Status = "error" if len(few) == len(pairs) else "warning"
        remedy = f"nothing will be said on {', '.join(few)}: {least} phrases are needed in test; enlarge it in "
        return Finding(status, subject, what, f"{remedy}`{_key(settings, name)}`, or remove the findings")
    return Finding("ok", subject, what)


def _targets(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    return {part: [row["target"] for row in rows if row["split"] == part] for part in _PARTS}


def _key(settings: LabelImagesSettings, name: str) -> str:
    """Return the key that decides on the sizes of the parts."""
    own = f"datasets.{name}.label_images."
    return "patient_split" if settings.patient_split else own + ("split_lists" if settings.split_lists else "split")


def _counted_by_finding(
    subject: str, name: str, settings: LabelImagesSettings, rows: Sequence[Mapping[str, Any]], most: str
) -> Finding:
    """Return the positives of each finding in each part, and on which findings nothing will be said."""
    said, few, scarce = [], [], []
    for finding in settings.by_finding:
        counts = _targets([row for row in rows if row["finding"] == finding])
        parts = " ".join(f"{sum(each)}/{len(each) - sum(each)}" for each in counts.values())
        said.append(f"{finding} {parts}")
        least = {part: min(sum(each), len(each) - sum(each)) for part, each in counts.items()}
        if least["train"] < 1 or least["validation"] < 1 or least["test"] < FEWEST:
            few.append(finding)
        elif min(least.values()) < FEWEST:
            scarce.append(finding)
    images = len({row["image_id"] for row in rows})
    what = (
        f"{most}{images:,} labelled images, {len(said)} findings; positives/negatives in {', '.join(_PARTS)}: "
        f"{'; '.join(said)}"
    )
    if len(few) == len(said):
        remedy = f"no finding has {FEWEST} positives and negatives in test and one in the other parts: enlarge them in "
        return Finding("error", subject, what, f"{remedy}`{_key(settings, name)}`")
    remedies = []
    if few:
        remedies.append(
            f"nothing will be said on {', '.join(few)}: {FEWEST} positives and negatives are needed in test, one in "
            f"train and validation; enlarge the parts in `{_key(settings, name)}`, or remove the findings"
        )
    if scarce:
        remedies.append(
            f"{', '.join(scarce)}: fewer than {FEWEST} positives or negatives in train or validation, so that "
            f"thresholds and few-shot figures say little; enlarge the parts in `{_key(settings, name)}`"
        )
    if remedies:
        return Finding("warning", subject, what, "; ".join(remedies))
    return Finding("ok", subject, what)
