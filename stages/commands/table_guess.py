"""What the columns of a table hold, read off its cells: images, patients, reports, views, findings, boxes, masks.

A cell decides before a name does: an image column names files that exist, labels are words of yes and no, a view is
one that `normalise_view` knows. Names decide between columns whose cells look alike.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, get_args

import polars as pl

from ..common.data.own_tables import TableFormat, names_of
from ..common.data.patient_split import PART_NAMES
from ..common.data.table_files import ROW
from ..common.errors import InputError
from ..common.radiographs.settings import RadiographSettings
from ..common.radiographs.views import accepted_views, normalise_view, rule_for_missing
from ..index_inputs.contract import IndexInputsSettings
from ..split_reports.headers import Language, header_names, normal_name
from ..split_reports.languages import LOOKED_AT, better_language
from .attribute_guess import Attributes, attributes_of
from .column_names import (
    INVERTED,
    PART,
    READER,
    Roles,
    about,
    blank_patients,
    column_words,
    id_columns,
    patient_column,
    study_column,
)
from .image_guess import Images, ids_in_paths, images_of, names_masks
from .label_guess import (
    ABSENT,
    PRESENT,
    Boxes,
    Finding,
    Listed,
    boxes_in,
    decimal_commas,
    finding_in,
    listed_in,
    mean_words,
    not_understood,
    outlined_finding,
    refused_boxes,
)
from .long_guess import long_in, outlined_by_word
from .unknown_tables import read_any, repeated_names

_GROUP = " patient"  # as ROW, no name of a column
_MOST_IMAGES = 10  # of a study, on average


@dataclass(frozen=True)
class TableGuess:
    """Columns by what they hold; None where the table has no such column."""

    form: TableFormat
    rows: int
    images: Images
    repeats: int  # rows that name an image again
    patient: str | None
    patient_pattern: str | None  # in the images' paths, where no column holds patients
    without_patient: int  # rows
    no_patient: str  # why the column that is named so is not used
    study: str | list[str] | None  # several where exams are numbered by patient
    no_study: str  # why the column that is named so is not used
    study_pattern: str | None
    view: str | list[str] | None
    attributes: Attributes
    left_out: Mapping[str, int]  # images that dicom_to_arrow rejects for their view by default, by view
    report: str | dict[str, str] | None
    split: str | None
    parts: tuple[str, ...]  # that the split names
    divided: tuple[int, int] | None  # rows of a patient in two parts
    inverted: str | None
    inversion: Mapping[str, list[str]]  # keys of index_inputs, where its own values do not fit
    boxes: Boxes | None
    no_boxes: str  # why those of the table are not used
    mask: str | None
    outlined: str | None  # the column of yes and no that boxes and masks are of: present wherever there is one
    lung_mask: str | None
    findings: tuple[Finding, ...]
    no_findings: Mapping[str, str]  # unused columns of yes and no, with what their names are about
    other_words: Mapping[str, list[str]]  # words beside yes and no, by the column that is not used for them
    listed: Listed | None
    reader: str | None  # where images have rows of several
    agree: int  # readers that every image has, at most two
    unused: tuple[str, ...] = field(default=())
    twice: Mapping[str, int] = field(default_factory=dict)  # names that several columns have: none of them is read
    language: str | None = None  # of the reports' headers, where it is clearly not English
    maybe_patients: tuple[str, ...] = ()  # unused columns of ids, where no column is taken for the patient

    views: ClassVar[tuple[str, ...]] = RadiographSettings().views

    @property
    def can_pretrain(self) -> bool:
        """Return whether there are reports, and patients by whom to split them."""
        return self.report is not None and (self.patient or self.patient_pattern) is not None

    @property
    def reads_by_vote(self) -> bool:
        """Return whether the labels of several readers become one; label_images has no vote on masks."""
        return self.reader is not None and self.mask is None


def guess_table(
    path: Path, root: Path, finding: str | None = None, given: Mapping[str, str] | None = None
) -> TableGuess:
    """Read a table and say what its columns hold.

    `finding` is a column that the user calls one, `given` has the columns whose role the user gave. Raises InputError
    where no column names images below `root`, and for a column that cannot have its role.
    """
    table, form = read_any(path)
    twice = repeated_names(path, form)
    roles = Roles(table, given or {}, path)
    images = images_of(table, root, path, twice, roles.given.get("image"))
    roles.remove([images.column])
    attributes = attributes_of(table, roles)
    outlines = [name for name in roles.rest if names_masks(table, name, images, root)]
    lung_mask = roles.take("lung_mask", lambda _: next((name for name in outlines if "lung" in name.lower()), None))
    mask = roles.take("mask", lambda rest: next((name for name in outlines if name in rest), None))
    inverted = roles.take("inverted", lambda rest: next(
        (name for name in rest if INVERTED.search(column_words(name)) and _inversion(table[name]) is not None), None
    ))  # fmt: skip
    split = roles.take("split", lambda rest: next((name for name in rest if _holds_parts(table[name])), None))
    boxes = _boxes(table, roles)
    no_boxes = refused_boxes(table, boxes) if boxes else decimal_commas(table, roles.rest)
    reader = roles.take("reader", lambda rest: _reader(rest, table, images.column))
    agree = _readers_of_all(table, images.column, reader) if reader else 1
    yes_or_no = {name: found for name in roles.rest if (found := finding_in(table[name])) is not None}
    others = {name: of for name in yes_or_no if name != finding and (of := about(name)) is not None}
    findings = tuple(found for name, found in yes_or_no.items() if name not in others)
    roles.remove([each.column for each in findings])
    given_study = roles.given.get("study", [])  # of two columns, one may be that of patients
    shared = given_study if len(given_study) > 1 else []
    patient = roles.take("patient", lambda rest: patient_column([*rest, *shared], others, table))
    study = roles.take("study", lambda rest: study_column(rest, others, table))
    views = roles.given.get("view") or [name for name in roles.rest if _holds_views(table[name])]
    roles.remove(views)
    keys = [images.column, *names_of(reader)]
    by_row = None if finding in yes_or_no else long_in(table, keys, roles.rest, findings)
    listed = by_row or next((lists for name in roles.rest if (lists := listed_in(table[name])) is not None), None)
    if by_row is not None:
        roles.rest += [each.column for each in findings if each is not by_row.target]
        findings = ()
    if listed is not None and not findings:
        roles.remove([listed.column])
        listed = replace(listed, outlined=outlined_by_word(table, listed, None if no_boxes else boxes, mask))
    report, language = _report(roles.given.get("report"), roles.rest, table)
    roles.remove(names_of(report))
    rest = roles.rest
    in_paths = ids_in_paths(table[images.column])
    patient_pattern = None if patient else in_paths[0]
    patients = pl.col(patient) if patient else _group(images.column, patient_pattern)
    studies, no_study = (
        _study(table, shared or study, patient, patients if patient or patient_pattern else None, names_of(report))
        if study
        else (None, "")
    )
    study_pattern = None if studies else in_paths[1]
    others = {name: about for name, about in others.items() if name in rest or (name == study and no_study)}
    no_patient = "" if patient or patient_pattern else blank_patients(rest, others, table)
    return TableGuess(
        form=form,
        rows=table.height,
        images=images,
        repeats=table.height - table[images.column].n_unique(),
        patient=patient,
        patient_pattern=patient_pattern,
        without_patient=table[patient].null_count() if patient else 0,
        no_patient=no_patient,
        study=studies,
        no_study=no_study,
        study_pattern=study_pattern if patient_pattern else None,
        attributes=attributes,
        view=views[0] if len(views) == 1 else views or None,
        left_out=_left_out(table, images.column, views),
        report=report,
        split=split,
        parts=_parts(table[split], path) if split else (),
        divided=_divided(table, split, patients) if split and (patient or patient_pattern) else None,
        inverted=inverted,
        inversion=(_inversion(table[inverted]) or {}) if inverted else {},
        boxes=None if no_boxes else boxes,
        no_boxes=no_boxes,
        mask=mask,
        outlined=outlined_finding(
            table, findings, [*names_of(boxes.columns if boxes and not no_boxes else None), *names_of(mask)]
        ),
        lung_mask=lung_mask,
        findings=findings,
        no_findings=others,
        other_words={name: words for name in rest if about(name) is None and (words := not_understood(table[name]))},
        listed=listed,
        reader=reader,
        agree=agree,
        unused=tuple(name for name in table.columns if name in rest or not name),
        maybe_patients=() if patient or patient_pattern else tuple(id_columns(rest, table)),
        twice=twice,
        language=language,
    )


def _inversion(cells: pl.Series) -> dict[str, list[str]] | None:
    """Return the keys of index_inputs that say what the cells mean, none where its own values do; None for others."""
    values = cells.drop_nulls().unique().sort().to_list()
    known = {key: {each.lower() for each in IndexInputsSettings.model_fields[key].default}
             for key in ("inverted_values", "upright_values")}  # fmt: skip
    if values and all(value.lower() in known["inverted_values"] | known["upright_values"] for value in values):
        return {}
    words = {"inverted_values": PRESENT, "upright_values": ABSENT}
    own = {key: [value for value in values if value.lower() in words[key] | known[key]] for key in words}
    return own if sum(map(len, own.values())) == len(values) and all(own.values()) else None


def _holds_parts(cells: pl.Series) -> bool:
    values = cells.drop_nulls().unique().to_list()
    is_named = PART.search(column_words(str(cells.name))) is not None
    return is_named and len(values) > 1 and all(value.lower() in PART_NAMES for value in values)


def _parts(cells: pl.Series, path: Path) -> tuple[str, ...]:
    """Return the parts that a column names. Raises InputError for a cell that names none, which a run refuses."""
    cells = cells.drop_nulls().unique()
    wrong = [cell for cell in cells.sort() if cell.lower() not in PART_NAMES]
    if wrong:
        what = f"--column split={cells.name}: {path} has the cell {wrong[0]!r}, which names no part"
        raise InputError(what, f"write {', '.join(PART_NAMES)}, or leave the option out")
    return tuple(sorted({PART_NAMES[cell.lower()] for cell in cells}))


def _group(column: str, pattern: str | None) -> pl.Expr:
    return pl.col(column).str.extract(pattern, 1) if pattern else pl.col(column)


def _divided(table: pl.DataFrame, split: str, patients: pl.Expr) -> tuple[int, int] | None:
    """Return two rows of a patient in two parts, blank cells being none, or None where nobody is divided."""
    part = pl.col(split).str.to_lowercase().replace(PART_NAMES).fill_null("")
    rows = table.select(ROW, patient=patients, part=part)
    rows = rows.filter(pl.col("patient").is_not_null() & (pl.col("part").n_unique().over("patient") > 1))
    if rows.is_empty():
        return None
    first = rows.filter(pl.col("patient") == rows["patient"][0]).unique("part", keep="first", maintain_order=True)
    return int(first[ROW][0]), int(first[ROW][1])


def _study(
    table: pl.DataFrame, study: str | list[str], patient: str | None, patients: pl.Expr | None, reports: list[str]
) -> tuple[str | list[str] | None, str]:
    """Return the column of the study, with that of the patient where patients share its ids; or None, and why.

    Several columns, which are given, are read together.
    """
    if not isinstance(study, str):
        return study, ""
    rows = table.with_columns(patients.alias(_GROUP) if patients is not None else pl.lit("").alias(_GROUP))
    rows = rows.filter(pl.col(study).is_not_null())
    is_shared = bool((rows.drop_nulls(_GROUP).group_by(study).agg(pl.col(_GROUP).n_unique())[_GROUP] > 1).any())
    if patients is None and _MOST_IMAGES * rows[study].n_unique() < rows.height:
        return None, f"{study} has few ids for {rows.height:,} rows, and no column holds patients"
    if is_shared and patient is None:
        return None, f"an id of {study} is that of several patients, whose ids are in no column"
    names = [patient, study] if is_shared and patient is not None else [study]
    differ = [pl.col(each).drop_nulls().n_unique().over(names) > 1 for each in reports]
    clash = rows.filter(pl.any_horizontal(pl.lit(value=False), *differ))
    if not clash.is_empty():
        return None, f"row {clash[ROW][0]} and others have the same {' and '.join(names)}, but different reports"
    return names if is_shared else study, ""


def _holds_views(cells: pl.Series) -> bool:
    values = [normalise_view(value) for value in cells.drop_nulls().unique().to_list()[:50]]
    return bool(values) and sum(view not in (None, "OTHER") for view in values) > len(values) / 2


def _left_out(table: pl.DataFrame, image: str, columns: list[str]) -> dict[str, int]:
    """Return the images that dicom_to_arrow rejects for their view by default, by view; the most frequent first."""
    settings = RadiographSettings()
    joined = pl.concat_str([pl.col(name) for name in columns] or [pl.lit("")], separator=" ", ignore_nulls=True)
    texts = table.unique(image, keep="first").select(joined).to_series().to_list()
    views, accepted = Counter(map(normalise_view, texts)), accepted_views(settings.views)
    takes_missing = rule_for_missing(settings.views_missing, texts) == "accept"
    return {view or "without a view": number for view, number in views.most_common()
            if (view not in accepted if view else not takes_missing)}  # fmt: skip


def _boxes(table: pl.DataFrame, roles: Roles) -> Boxes | None:
    """Return the boxes of a table, and take their columns. Raises InputError for given columns that hold none."""
    given = roles.given.get("boxes")
    boxes = boxes_in(table, given or roles.rest)
    if given and boxes is None:
        raise InputError(
            f"--column boxes={','.join(given)}: holds no boxes",
            "name a column of texts `x y width height`, or four of numbers with names such as x,y,width,height",
        )
    roles.remove([*names_of(boxes.columns), *boxes.size_columns] if boxes else [])
    return boxes


def _reader(names: list[str], table: pl.DataFrame, image: str) -> str | None:
    """Return the column of readers, of whom some images have several."""
    for name in names:
        if READER.search(column_words(name)) and not table[name].null_count():
            read = table.drop_nulls(image).group_by(image).agg(pl.col(name).n_unique())[name].to_list()
            if max(read) > 1:
                return name
    return None


def _readers_of_all(table: pl.DataFrame, image: str, reader: str) -> int:
    """Return how many readers all images have, at most two."""
    return min(2, *table.drop_nulls(image).group_by(image).agg(pl.col(reader).n_unique())[reader].to_list())


def _report(
    given: list[str] | None, names: list[str], table: pl.DataFrame
) -> tuple[str | dict[str, str] | None, str | None]:
    """Return the column of reports, or those of findings and impressions, and the language, where it is not English.

    Two columns have the names of such sections in one language. One column has the longest text, of at least four words
    on average, unless it is given.
    """
    if given and len(given) > 1:
        names = given
    words = {name: mean_words(table[name]) for name in names if listed_in(table[name]) is None}
    for language in get_args(Language):
        sections = header_names(language).sections
        found: dict[str, str] = {}
        for name in (each for each, count in words.items() if count >= 1):
            section = sections.get(normal_name(name.replace("_", " ")), ())
            if section in (("findings",), ("impression",)):
                found.setdefault(section[0], name)
        if len(found) == 2 and max(words[name] for name in found.values()) >= 4:
            return dict(sorted(found.items())), None if language == "english" else language
    if given and len(given) > 1:
        what = f"--column report={','.join(given)}: not named as findings and impression"
        raise InputError(what, "give one column, or write both under `columns.report` of what is written")
    best = given[0] if given else max(words, key=lambda name: words[name], default=None)
    if best is None or (not given and words[best] < 4):
        return None, None
    fit = better_language(table[best].drop_nulls().head(LOOKED_AT).to_list())
    return best, fit.language if fit else None
