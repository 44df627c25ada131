"""What the columns of a table hold, read off its cells: images, patients, reports, views, findings, boxes, masks.

A cell decides before a name does: an image column names files that exist, labels are words of yes and no, a view is
one that `normalise_view` knows. Names decide between columns whose cells look alike.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

import polars as pl

from ..common.data.own_tables import TableFormat, names_of
from ..common.data.patient_split import PART_NAMES
from ..common.data.table_files import ROW
from ..common.radiographs.views import normalise_view
from ..index_inputs.contract import IndexInputsSettings
from ..split_reports.headers import Language, header_names, normal_name
from ..split_reports.languages import LOOKED_AT, better_language
from .finding_prompts import plain_words
from .image_guess import Images, ids_in_paths, images_of, is_image_file
from .label_guess import (
    ABSENT,
    PRESENT,
    Boxes,
    Finding,
    Listed,
    boxes_in,
    finding_in,
    listed_in,
    mean_words,
    refused_boxes,
)
from .long_guess import long_in, outlined_by_word
from .unknown_tables import read_any, repeated_names

_PATIENT = "patient|subject|person|pid|mrn"
_STUDY = "study|exam|accession|encounter"
_VISIT = "examination|visit|session|series|scan|acquisition|time ?point"
_ID = " ?(id|no|nr|num|number|index|idx|uid|count)?"
_READER = r"^(reading )?(rad|reader|radiologist|annotator|rater|observer|labell?er) ?(id|no|nr|num|number|index|name)?$"
_NO_FINDING = {  # what yes and no are about where a name, in words, is of something else than the lungs
    "patients": rf"^({_PATIENT}|case|participant){_ID}$|\b(ages?|sex|gender|male|female|bmi|smok\w*|consent\w*|"
    r"deceased|dead|death|died|alive|icu|admitted|intubated|inpatient|outpatient|emergency)\b",
    "studies": rf"^({_STUDY}|{_VISIT}){_ID}$|\b(visit|follow|followup|baseline)\b",
    "views": r"\b(views?|projection|portable|supine|erect|upright|frontal|lateral)\b|^(is )?(ap|pa|ll)$",
    "a split": r"\b(split|folds?|partition|set|subset|phase|cohort|holdout|train\w*|test\w*|valid\w*)\b",
    "how a finding looks": r"^(is )?(sever[ei]\w*|acute|chronic|new|old|mild|large|small|bilateral|uncertain|difficult|"
    r"ambiguous|crowd|occluded|truncated)$|^iscrowd$",
    "technique or checks": rf"^(readers?|raters?|annotators?|site|hospital|cent(er|re)|scanner){_ID}$|"
    r"\b(inver\w*|review\w*|qc\w*|qa|quality|check\w*|verified|approved|contrast|exclude\w*|include\w*|usable|duplicate\w*|"
    r"annotated|labell?ed|manufacturer|digital|flipped|cropped|batch|version)\b",
}
_NO_ID = re.compile(r"\b(age|sex|gender|date|time|weight|position|desc\w*|type|reason|quality|status)\b")
_GROUP = " patient"  # as ROW, no name of a column
_MOST_IMAGES = 10  # of a study, on average
_INVERTED = re.compile(r"\b(inver\w*|photometric|monochrome\w*|negative image)\b")
_PART = re.compile(r"\b(split|part|partition|fold|set|subset|phase)\b")


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
    study: str | list[str] | None  # several where exams are numbered by patient
    no_study: str  # why the column that is named so is not used
    study_pattern: str | None
    view: str | list[str] | None
    report: str | dict[str, str] | None
    split: str | None
    parts: tuple[str, ...]  # that the split names
    divided: tuple[int, int] | None  # rows of a patient in two parts
    inverted: str | None
    inversion: Mapping[str, list[str]]  # keys of index_inputs, where its own values do not fit
    boxes: Boxes | None
    no_boxes: str  # why those of the table are not used
    mask: str | None
    lung_mask: str | None
    findings: tuple[Finding, ...]
    no_findings: Mapping[str, str]  # unused columns of yes and no, with what their names are about
    listed: Listed | None
    reader: str | None  # where images have rows of several
    agree: int  # readers that every image has, at most two
    unused: tuple[str, ...] = field(default=())
    twice: Mapping[str, int] = field(default_factory=dict)  # names that several columns have: none of them is read
    language: str | None = None  # of the reports' headers, where it is clearly not English

    @property
    def can_pretrain(self) -> bool:
        """Return whether there are reports, and patients by whom to split them."""
        return self.report is not None and (self.patient or self.patient_pattern) is not None

    @property
    def reads_by_vote(self) -> bool:
        """Return whether the labels of several readers become one; label_images has no vote on masks."""
        return self.reader is not None and self.mask is None


def guess_table(path: Path, root: Path, finding: str | None = None) -> TableGuess:
    """Read a table and say what its columns hold; `finding` is a column that the user calls one.

    Raises InputError where no column names images below `root`.
    """
    table, form = read_any(path)
    twice = repeated_names(path, form)
    images = images_of(table, root, path, twice)
    rest = [name for name in table.columns if name not in (ROW, images.column, "")]  # settings name columns

    def taken(name: str | None) -> str | None:
        if name is not None:
            rest.remove(name)
        return name

    outlines = [name for name in rest if _names_masks(table, name, images, root)]
    lung_mask = taken(next((name for name in outlines if "lung" in name.lower()), None))
    mask = taken(next((name for name in outlines if name in rest), None))
    inverted = taken(next((name for name in rest if _INVERTED.search(plain_words(name))
                           and _inversion(table[name]) is not None), None))  # fmt: skip
    split = taken(next((name for name in rest if _holds_parts(table[name])), None))
    boxes = boxes_in(table, rest)
    for name in (*names_of(boxes.columns), *boxes.size_columns) if boxes else ():
        rest.remove(name)
    no_boxes = refused_boxes(table, boxes) if boxes else ""
    reader, agree = _reader(rest, table, images.column)
    taken(reader)
    yes_or_no = {name: found for name in rest if (found := finding_in(table[name])) is not None}
    others = {name: about for name in yes_or_no if name != finding and (about := _about(name)) is not None}
    findings = tuple(found for name, found in yes_or_no.items() if name not in others)
    for each in findings:
        rest.remove(each.column)
    patient = taken(_named([name for name in rest if name not in others], table, r"patient|subject|person|\bpid\b|mrn")
                    or _named(rest, table, f"^({_PATIENT}){_ID}$"))  # fmt: skip
    study = taken(_named([name for name in rest if name not in others], table, _STUDY)
                  or _named(rest, table, f"^({_STUDY}|{_VISIT}){_ID}$"))  # fmt: skip
    views = [name for name in rest if _holds_views(table[name])]
    for name in views:
        rest.remove(name)
    keys = [images.column, *names_of(reader)]
    by_row = None if finding in yes_or_no else long_in(table, keys, rest, findings)
    listed = by_row or next((lists for name in rest if (lists := listed_in(table[name])) is not None), None)
    if by_row is not None:
        rest += [each.column for each in findings if each is not by_row.target]
        findings = ()
    if listed is not None and not findings:
        rest.remove(listed.column)
        listed = replace(listed, outlined=outlined_by_word(table, listed, None if no_boxes else boxes, mask))
    report, language = _report(rest, table)
    for name in names_of(report):
        rest.remove(name)
    in_paths = ids_in_paths(table[images.column])
    patient_pattern = None if patient else in_paths[0]
    patients = pl.col(patient) if patient else _group(images.column, patient_pattern)
    studies, no_study = (
        _study(table, study, patient, patients if patient or patient_pattern else None, names_of(report))
        if study
        else (None, "")
    )
    study_pattern = None if studies else in_paths[1]
    others = {name: about for name, about in others.items() if name in rest or (name == study and no_study)}
    return TableGuess(
        form=form,
        rows=table.height,
        images=images,
        repeats=table.height - table[images.column].n_unique(),
        patient=patient,
        patient_pattern=patient_pattern,
        without_patient=table[patient].null_count() if patient else 0,
        study=studies,
        no_study=no_study,
        study_pattern=study_pattern if patient_pattern else None,
        view=views[0] if len(views) == 1 else views or None,
        report=report,
        split=split,
        parts=tuple(sorted({PART_NAMES[each.lower()] for each in table[split].drop_nulls().unique()}) if split else ()),
        divided=_divided(table, split, patients) if split and (patient or patient_pattern) else None,
        inverted=inverted,
        inversion=(_inversion(table[inverted]) or {}) if inverted else {},
        boxes=None if no_boxes else boxes,
        no_boxes=no_boxes,
        mask=mask,
        lung_mask=lung_mask,
        findings=findings,
        no_findings=others,
        listed=listed,
        reader=reader,
        agree=agree,
        unused=tuple(name for name in table.columns if name in rest or not name),
        twice=twice,
        language=language,
    )


def _names_masks(table: pl.DataFrame, name: str, images: Images, root: Path) -> bool:
    """Return whether a column names PNG files, and not those of the images themselves."""
    rows = table.filter(pl.col(name).is_not_null()).head(50).select(name, images.column).rows()
    folders = (images.folder, root)
    return bool(rows) and all(
        is_image_file(cell, folders, ".png")
        and (images.folder / (image or "")) not in [each / cell for each in folders]
        for cell, image in rows
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
    is_named = _PART.search(plain_words(str(cells.name))) is not None
    return is_named and len(values) > 1 and all(value.lower() in PART_NAMES for value in values)


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
    table: pl.DataFrame, study: str, patient: str | None, patients: pl.Expr | None, reports: list[str]
) -> tuple[str | list[str] | None, str]:
    """Return the column of the study, with that of the patient where patients share its ids; or None, and why."""
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


def _reader(names: list[str], table: pl.DataFrame, image: str) -> tuple[str | None, int]:
    """Return the column of readers, of whom some images have several, and how many all have, at most two."""
    for name in names:
        if re.search(_READER, plain_words(name)) and not table[name].null_count():
            read = table.drop_nulls(image).group_by(image).agg(pl.col(name).n_unique())[name].to_list()
            if max(read) > 1:
                return name, min(2, *read)
    return None, 1


def _about(name: str) -> str | None:
    """Return what a column of yes and no is about by its name, None for a finding."""
    return next((about for about, pattern in _NO_FINDING.items() if re.search(pattern, plain_words(name))), None)


def _named(names: list[str], table: pl.DataFrame, pattern: str) -> str | None:
    """Return the first column with such a name and few blank cells; `PatientID` and `patient-id` are words, too."""
    for name in names:
        plain = plain_words(name)
        is_named = re.search(pattern, plain) and not _NO_ID.search(plain)
        if is_named and 4 * table[name].null_count() < table.height:  # a run names the rows that are blank
            return name
    return None


def _report(names: list[str], table: pl.DataFrame) -> tuple[str | dict[str, str] | None, str | None]:
    """Return the column of reports, or those of findings and impressions, and the language, where it is not English.

    Two columns have the names of such sections in one language. One column has the longest text, of at least four words
    on average.
    """
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
    best = max(words, key=lambda name: words[name], default=None)
    if best is None or words[best] < 4:
        return None, None
    fit = better_language(table[best].drop_nulls().head(LOOKED_AT).to_list())
    return best, fit.language if fit else None
