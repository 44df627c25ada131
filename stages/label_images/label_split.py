"""Splits of labelled images, by hash, by lists or as in pre-training, and nested subsets of the training part.

The split by hash is by patient and stratified by finding, the rarest first (after Sechidis et al., ECML 2011, by whole
groups). All findings of an image share its part and subset. A data set that pre-training reads follows the split of
pre-training, so that no test image has been trained on. Lists of your own, one CSV per part or one CSV for all, are
followed exactly. An image that a list repeats is one image. One that is in two parts (lists of SIIM that circulate
split rows, not images) stays in both: audit_splits refuses that, or reports its number beside every figure.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl

from ..common.data.index_tables import plain_paths, read_index, require_values
from ..common.data.patient_split import PART_NAMES, PatientSplit, Split, by_rarest, split_of, subset_size
from ..common.data.table_files import ROW, read_lines
from ..common.digests import seed_from
from ..common.errors import InputError
from .contract import LabelImagesSettings, SplitLists, SplitShares
from .image_labels import Identify, ImageLabels, identifying

PARTS: tuple[Split, ...] = get_args(Split)


UnitOf = Callable[[str], str]  # from an id to the one by which it is split (`ids_to_split_by`)


def with_splits(
    rows: Sequence[Mapping[str, Any]], settings: LabelImagesSettings, unit_of: UnitOf = str
) -> list[dict[str, Any]]:
    """Return the rows with their split and subset."""
    parts = assign_splits(rows, settings.split, settings.seed, settings.has_phrases, unit_of)
    return with_subsets([{**row, "split": part} for row, part in zip(rows, parts, strict=True)], settings, unit_of)


def with_subsets(
    rows: Sequence[Mapping[str, Any]], settings: LabelImagesSettings, unit_of: UnitOf = str
) -> list[dict[str, Any]]:
    """Return the rows, which have a split, with the subset of each training row."""
    subsets = assign_subsets(rows, [row["split"] for row in rows], settings.subsets, settings.seed, unit_of)
    return [{**row, "subset": subset} for row, subset in zip(rows, subsets, strict=True)]


def split_by(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the unit of the split: "patient", or "image" where patients are unknown.

    Raises InputError where only some are known.
    """
    unknown = [row["image_id"] for row in rows if row["patient_id"] is None]
    if unknown and len(unknown) < len(rows):
        raise InputError(
            f"image {unknown[0]} has no patient ({len(unknown)} such), but others have: give patients to all "
            "images or to none"
        )
    return "image" if unknown else "patient"


def refuse_one_target(rows: Sequence[Mapping[str, Any]], source: str, remedy: str) -> None:
    """Raise an InputError where no finding has positives and negatives in every part: nothing could be evaluated.

    The split of pre-training does not know the targets.
    """
    findings = {row["finding"] for row in rows}
    found = {(row["split"], row["finding"], row["target"]) for row in rows}
    lacking: dict[str, tuple[str, str]] = {}
    for part, finding, (target, name) in product(PARTS, findings, ((1, "positive"), (0, "negative"))):
        if (part, finding, target) not in found:
            lacking.setdefault(finding, (name, part))
    if len(lacking) == len(findings):
        name, where = lacking[min(lacking)]
        images = len({row["image_id"] for row in rows if row["split"] == where})
        of = f" of {min(lacking)}" if len(findings) > 1 else ""
        raise InputError(f"{source}: no {name} image{of} is in the {where} part ({images} images)", remedy)


def assign_splits(
    rows: Sequence[Mapping[str, Any]],
    shares: SplitShares,
    seed: int,
    all_present: bool = False,
    unit_of: UnitOf = str,
) -> list[str]:
    """Return the part of each row. A patient is in one part; positive patients are those with a positive image.

    The result is a pure function of the set of (image_id, patient_id, finding, target), the shares and the seed; the
    order of rows does not matter. Raises InputError where no finding has positives and negatives, unless `all_present`
    says that rows are of what is there (phrases).
    """
    unit = "image_id" if split_by(rows) == "image" else "patient_id"
    units_of = [unit_of(row[unit]) for row in rows]
    groups = by_rarest((own, row["finding"], row["target"]) for own, row in zip(units_of, rows, strict=True))
    one_target = len(groups) == 2 and all(row["target"] == 1 for row in rows)
    if len(groups) == 1 or (one_target and not all_present):
        target = "none" if not rows else len(groups) - 1
        raise InputError(
            f"every {unit.removesuffix('_id')} has target {target}", remedy="correct `target` and `positive_values`"
        )
    part_of: dict[str, str] = {}
    for number, units in enumerate(groups):
        order = np.random.default_rng(seed_from("label_split", seed, number)).permutation(len(units))
        sizes = part_sizes(len(units), shares)
        parts = [part for part in PARTS for _ in range(sizes[part])]
        part_of |= {units[place]: part for place, part in zip(order, parts, strict=True)}
    return [part_of[own] for own in units_of]


def part_sizes(count: int, shares: SplitShares) -> dict[Split, int]:
    """Return whole numbers that sum to `count`, by largest remainders.

    A part that has a share gets at least one, where the count allows.
    """
    exact = {part: count * getattr(shares, part) for part in PARTS}
    sizes = {part: math.floor(value + 1e-9) for part, value in exact.items()}
    by_remainder = sorted(PARTS, key=lambda part: sizes[part] - exact[part])  # stable: ties in the order of PARTS
    for part in by_remainder[: count - sum(sizes.values())]:
        sizes[part] += 1
    for part in ("train", "test", "validation"):  # the order in which a rare finding is distributed
        donor = max(sizes, key=lambda name: sizes[name])
        if getattr(shares, part) > 0 and sizes[part] == 0 and sizes[donor] > 1:
            sizes[donor] -= 1
            sizes[part] += 1
    return sizes


def assign_subsets(
    rows: Sequence[Mapping[str, Any]],
    parts: Sequence[str],
    percents: Sequence[int],
    seed: int,
    unit_of: UnitOf = str,
) -> list[int]:
    """Return for each training image the smallest of `percents` that holds it, stratified; 100 for other rows.

    Images are drawn from groups, those of the rarest finding first, and each subset has at least one of every group.
    A finding whose images all have a rarer one, too, may be absent from a small subset.
    """
    trained = [row for row, part in zip(rows, parts, strict=True) if part == "train"]
    groups = by_rarest((unit_of(row["image_id"]), row["finding"], row["target"]) for row in trained)
    subset_of: dict[str, int] = {}
    for number, images in enumerate(groups):
        order = np.random.default_rng(seed_from("label_subsets", seed, number)).permutation(len(images))
        for percent in reversed(percents):  # smaller ones last: they overwrite, and so are nested
            subset_of |= {images[place]: percent for place in order[: subset_size(len(images), percent)]}
    return [
        subset_of[unit_of(row["image_id"])] if part == "train" else 100 for row, part in zip(rows, parts, strict=True)
    ]


def follow_pretraining(
    rows: Sequence[Mapping[str, Any]],
    distributed: Mapping[str, str | None],
    settings: PatientSplit,
    unit_of: UnitOf = str,
) -> list[dict[str, Any]]:
    """Return the rows with the part that pre-training gives to their patients.

    `distributed` maps image_id to the distribution's own split, where it has one. The part is the same pure function of
    the patient as in pair_images_reports. Raises InputError for an image without patient.
    """
    unknown = [row["image_id"] for row in rows if row["patient_id"] is None]
    if unknown:
        raise InputError(
            f"image {unknown[0]} has no patient ({len(unknown)} such), but pre-training splits by patient",
            remedy="name the column of patients in index_inputs",
        )
    return [
        {**row, "split": split_of(unit_of(row["patient_id"]), settings, distributed[row["image_id"]])} for row in rows
    ]


@dataclass(frozen=True)
class ListedSplit:
    """A split by lists. `rows` has a row for every part that an image is in; the other ids were left out."""

    rows: list[dict[str, Any]]
    images_in_no_list: list[str]
    listed_without_image: list[str]


def follow_lists(
    labels: ImageLabels, root: Path, settings: LabelImagesSettings, private: Path | None, unit_of: UnitOf = str
) -> ListedSplit:
    """Assign to labelled rows the part that the lists give them.

    Raises InputError, which names file and row, and the id where it may be shown, for an id that neither the labels nor
    the images know. Usually the list is of another data set, or its ids are in another column.
    """
    lists = settings.split_lists
    assert lists is not None
    parts = _parts_of(root, settings, identifying(settings, private))
    known = {row["image_id"] for row in labels.rows}
    lost = {*labels.labels_without_image, *labels.images_without_label}
    unknown = [(image, *place) for image, (_, place) in parts.items() if image not in known | lost]
    if unknown:
        image, source, row = unknown[0]
        raise InputError(
            f"{source}: row {row}: {f'image {image}' if settings.show else 'its image'} is neither in the labels nor "
            f"in the images ({len(unknown)} such)",
            remedy="correct the list, or `split_lists.image_id`",
        )
    if lists.validation_share:
        parts = _with_validation(parts, labels.rows, lists.validation_share, settings, root, unit_of)
    rows = [
        row | {"split": part} for row in labels.rows for part in PARTS if part in parts.get(row["image_id"], ((),))[0]
    ]
    for part in ("test",) if lists.test_alone else PARTS:
        if not any(row["split"] == part for row in rows):
            what = f"{root}: `split_lists` leave no labelled image to {part}"
            drawn = part != "test" and lists.validation_share
            raise InputError(
                what, f"set `validation_share` so that {part} gets a patient" if drawn else "add some to the list"
            )
    return ListedSplit(rows, sorted(known - parts.keys()), sorted(lost & parts.keys()))


_Place = tuple[Path, int]  # file and row
_Parts = dict[str, tuple[set[str], _Place]]


def _with_validation(
    parts: _Parts,
    rows: Sequence[Mapping[str, Any]],
    share: float,
    settings: LabelImagesSettings,
    root: Path,
    unit_of: UnitOf,
) -> _Parts:
    """Return the parts with `share` of the patients of the training list moved to validation, the rarest finding first.

    A patient of whom the test list has an image, too, stays where the lists put him. Raises InputError where the
    training list holds no positives or no negatives.
    """
    trained = [row for row in rows if row["image_id"] in parts and parts[row["image_id"]][0] == {"train"}]
    tested = {row["patient_id"] for row in rows if "test" in parts.get(row["image_id"], ((),))[0]} - {None}
    drawn = [row for row in trained if row["patient_id"] not in tested]
    shares = SplitShares(train=1 - share, validation=share, test=0)
    if not drawn or (len({row["target"] for row in drawn}) == 1 and not settings.has_phrases):
        assert settings.split_lists is not None
        what = f"{root / str(settings.split_lists.train)}: {len(drawn)} labelled rows of the training list"
        raise InputError(f"{what} are to give a validation part, which needs positives and negatives", "correct it")
    assigned = assign_splits(drawn, shares, settings.seed, settings.has_phrases, unit_of)
    moved = {row["image_id"]: part for row, part in zip(drawn, assigned, strict=True)}
    return parts | {image: ({part}, parts[image][1]) for image, part in moved.items()}


def _parts_of(root: Path, settings: LabelImagesSettings, identify: Identify) -> _Parts:
    """Return image id, as index_inputs wrote it -> the parts in which it is listed, and where it is listed first."""
    lists = settings.split_lists
    assert lists is not None
    found: _Parts = {}
    for name, part in _files(lists).items():
        source = root / name
        columns = [lists.image_id] if part else [lists.image_id, lists.split]
        for row, distributed, *cell in _rows_of(root, name, columns, settings):
            named = part or PART_NAMES.get(cell[0].lower())
            if named is None:
                said = f"is {cell[0]!r}" if settings.show else "names no part"
                raise InputError(
                    f"{source}: row {row}: {lists.split} {said}",
                    remedy="write train, validation or test, or remove the row",
                )
            image = identify(distributed, "image")
            found.setdefault(image, (set(), (source, row)))[0].add(named)
    return found


def _rows_of(root: Path, name: str, columns: list[str], settings: LabelImagesSettings) -> Iterator[tuple[Any, ...]]:
    """Yield row number and cells of a list; a .txt without header has one id a line."""
    source = root / name
    table = None
    if name.lower().endswith(".txt") and len(columns) == 1:
        lines = read_lines(source)
        if columns[0] not in lines[0][1].split(settings.separator or ","):
            table = pl.DataFrame(lines, schema={ROW: pl.UInt32, columns[0]: pl.String}, orient="row")
    if table is None:
        table = read_index(root, name, columns, show=settings.show, form=settings.own_format)
        require_values(table, source, columns)
    if settings.columns is not None and settings.columns.image_id is None and settings.columns.image is not None:
        table = table.with_columns(plain_paths(columns[0]))  # as the ids of images
    yield from table.select(ROW, *columns).iter_rows()


def _files(lists: SplitLists) -> Mapping[str, str | None]:
    """Return file -> its part, or None where a column names it. Raises InputError for a file that serves two parts."""
    if lists.table is not None:
        return {lists.table: None}
    each: Sequence[tuple[str, str]] = [(name, part) for part in PARTS if (name := getattr(lists, part)) is not None]
    if len(dict(each)) < len(each):
        raise InputError("split_lists: one file is named for two parts", remedy="name three files, or `table`")
    return dict(each)
