"""Say what `mlip new-dataset` read off a table, and what the user has to decide."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..common.data.own_tables import names_of
from .finding_prompts import NAMES_NOTHING, finding_names, plain_words

if TYPE_CHECKING:
    from .label_guess import Finding, Listed
    from .table_guess import TableGuess

_MOST_WORDS = 5  # not understood, that are quoted
SAME_BOX = 0.4  # intersection over union of two readers' boxes, the default of label_images


@dataclass(frozen=True)
class Labels:
    """Hold what is evaluated: columns of yes and no, or words of a column that lists findings; or nothing."""

    columns: "tuple[Finding, ...]" = ()
    listed: "Listed | None" = None
    words: tuple[str, ...] = ()

    @property
    def named(self) -> dict[str, str]:
        """Return the name of each finding in the settings, by its word."""
        return dict(zip(self.words, finding_names(self.words), strict=True))

    @property
    def segmented(self) -> str | None:
        """Return the finding with the most boxes or masks, where several have some, of which segmentation takes one."""
        outlined = [word for word in self.listed.outlined if word in self.words] if self.listed else []
        return outlined[0] if len(outlined) > 1 else None


def said(guess: "TableGuess", labels: Labels, root: Path) -> list[str]:
    """Return what was read, a line each."""
    images = guess.images
    where = images.folder if images.folder == root else images.folder.relative_to(root)
    separator = f", separator {guess.form.separator!r}" if guess.form.separator else ""
    how = "found by name below" if images.by_name else "in"
    files = f"{images.files:,} of {images.looked_for:,} files looked for are {how} {where}"
    lines = [
        f"table        {guess.rows:,} rows, {guess.form.encoding}{separator}",
        f"images       {images.column} ({files})",
        *_said_of_patients(guess),
    ]
    columns = {"views": guess.view, **guess.attributes.columns, "inverted": guess.inverted, "masks": guess.mask,
               "lungs": guess.lung_mask}  # fmt: skip
    for what, column in columns.items():
        lines += [f"{what:<12} {', '.join(names_of(column))}"] if column else []
        if what == "views" and guess.left_out:
            lines.append(f"             {said_of_views(guess)}; to take all, set `views: []` under dicom_to_arrow")
    if guess.report:
        without = "" if guess.can_pretrain else (
            ": not used: no column is taken for the patient, by whom pre-training is split")  # fmt: skip
        lines += [f"reports      {', '.join(names_of(guess.report))}{without}"]
        lines += [f"             headers of {guess.language} reports"] if guess.language else []
    else:
        lines += ["reports      none: `pretrain_on` stays that of config.yaml"]
    lines += [*_said_of_boxes(guess, labels), *_said_of_labels(guess, labels)]
    for about in dict.fromkeys(guess.no_findings.values()):
        names = ", ".join(name for name, each in guess.no_findings.items() if each == about)
        lines.append(f"no finding   {names}: by name about {about}; if it is one, give --finding")
    for column, words in guess.other_words.items():
        more = ", ..." if len(words) > _MOST_WORDS else ""
        quoted = ", ".join(map(repr, words[:_MOST_WORDS])) + more
        lines.append(f"no finding   {column}: not understood beside yes and no: {quoted}; write yes, no or unknown")
    unused = ", ".join(name or "a column without name" for name in guess.unused if name not in guess.no_findings)
    lines += [f"not read     {unused}"] if unused else []
    return lines + [f"not read     {number} columns {f'named {name}' if name else 'without name'}: rename all but one"
                    for name, number in guess.twice.items()]  # fmt: skip


def said_of_views(guess: "TableGuess") -> str:
    """Return how many images the default views leave out."""
    listed = ", ".join(f"{view} {number:,}" for view, number in guess.left_out.items())
    left, images = sum(guess.left_out.values()), guess.rows - guess.repeats
    return f"the default views, {' and '.join(guess.views)}, leave out {left:,} of {images:,} images: {listed}"


def _said_of_patients(guess: "TableGuess") -> "Iterator[str]":
    """Yield lines on patients, studies and the split."""
    from .column_names import is_of_cases  # a table library, which --help does not need

    image = guess.images.column
    if guess.patient or guess.patient_pattern:
        yield f"patients     {guess.patient or f'{guess.patient_pattern} within {image}'}"
    elif guess.no_patient:
        yield f"patients     {guess.no_patient}: not used, so that no report is read and labels are split by image"
        yield "             fill the column in, or remove the rows that are blank"
    else:
        which = [f"if `{name}` holds them: --column patient={shlex.quote(name)}" for name in guess.maybe_patients]
        yield f"patients     in no column that is known by its name; {'; '.join(which) or 'no column holds ids'}"
    if guess.patient and is_of_cases(guess.patient):
        yield "             by its name of cases: if a patient has several, name patients: --column patient=COLUMN"
    if guess.without_patient:
        yield f"             {guess.patient} is blank in {guess.without_patient} rows, which a run refuses: fill it in"
    if guess.study or guess.study_pattern:
        yield f"studies      {', '.join(names_of(guess.study)) or f'{guess.study_pattern} within {image}'}"
        if isinstance(guess.study, list):
            shared = f": an id of {guess.study[-1]} is that of several patients" if guess.patient in guess.study else ""
            yield f"             read together{shared}"
    if guess.no_study:
        yield f"no studies   {guess.no_study}"
    if guess.split is None:
        return
    yield f"split        {guess.split}: {', '.join(guess.parts)}"
    if guess.divided:
        rows = " and ".join(map(str, guess.divided))
        yield f"             not used: rows {rows} are one patient in two parts, who would be in training and in test"
    elif not guess.can_pretrain and len(guess.parts) < 3:
        yield "             not used for the labels: a split of their own needs train, validation and test"


def _said_of_boxes(guess: "TableGuess", labels: Labels) -> "Iterator[str]":
    boxes = guess.boxes
    if guess.no_boxes:
        yield f"no boxes     {guess.no_boxes}"
    if boxes is None:
        return
    columns = ", ".join(names_of(boxes.columns))
    numbers = "x_min y_min x_max y_max" if boxes.form == "xyxy" else "x y width height"
    size = " of the original"
    if boxes.size_columns:
        size = f" of an image of {' x '.join(boxes.size_columns)}"
    unit = ", as shares of the sides" if boxes.size else f" in pixels{size}"
    yield f"boxes        {columns} ({numbers}{unit})"
    if isinstance(boxes.columns, str):
        yield "             if they are corners, set `boxes_form: xyxy` under label_images"
    if not labels.words:
        yield "             not used: no column says which images have the finding"


def _said_of_labels(guess: "TableGuess", labels: Labels) -> "Iterator[str]":
    """Yield lines on findings, and on what the user has to decide about them."""
    for each in labels.columns:
        yield f"finding      {each.column}: {_said_of_values(each)}"
    if labels.listed is not None:
        yield from _said_of_listed(labels, labels.listed)
    elif guess.listed:
        yield f"             {guess.listed.column} lists findings, too: to read it instead, name it `columns.findings`"
    if unnamed := [each for each in labels.words if NAMES_NOTHING.fullmatch(plain_words(each))]:
        yield f"             {unnamed[0]} names no finding: write its name into both files, and its prompts"
    targets = [labels.listed.target] if labels.listed and labels.listed.target else labels.columns
    if any(each.uncertain for each in targets):
        yield "             uncertain is left out (`uncertain: ignore`): zeros, ones or ignore is your choice"
    if any(each.counts.get("") for each in targets):
        yield '             blank is no label: if it means absent, add "" to negative_values'
    outlines = [name for name in ("boxes", "mask") if getattr(guess, name)]
    if len(labels.columns) > 1 and outlines:
        yield f"             {' and '.join(outlines)}: {_of_which_finding(guess, labels, outlines)}"
    one_box_a_row = guess.boxes is not None and not isinstance(guess.boxes.columns, str) and len(labels.columns) == 1
    if labels.words and guess.reader:
        yield f"readers      {guess.reader}: {_said_of_readers(guess)}"
    elif labels.columns and guess.repeats and not one_box_a_row:
        yield f"             {guess.repeats:,} rows name an image again, which a run refuses: give each image one row"


def _of_which_finding(guess: "TableGuess", labels: Labels, outlines: list[str]) -> str:
    if guess.outlined in labels.words:
        return f"of {guess.outlined}, the only finding that is present in every row with one"
    word, name = next(iter(labels.named.items()))
    columns = {"boxes": guess.boxes.columns if guess.boxes else None, "mask": guess.mask}
    written = "".join(f", {key}: {columns[key]}".replace("'", "") for key in outlines)
    return (
        f"of which finding? Write it under label_images.findings, e.g. `{name}: {{target: {word}{written}}}`, or "
        "choose one with --finding"
    )


def _said_of_values(column: "Finding") -> str:
    meanings = {"present": column.present, "absent": column.absent, "uncertain": column.uncertain,
                "unlabelled": column.unknown}  # fmt: skip
    counts = [f"{word} {column.count(own):,} ({', '.join(own)})" for word, own in meanings.items() if own]
    blank = column.counts.get("", 0)
    return "; ".join(counts) + (f"; blank {blank:,}" if blank else "")


def _said_of_listed(labels: Labels, listed: "Listed") -> "Iterator[str]":
    counts = [f"{word} {listed.words[word]:,}" for word in labels.words]
    normal = ", ".join((*listed.normal, *listed.empty))
    if not normal and listed.target is None:
        normal = "no word; a blank cell is no label"
    yield f"findings     {listed.column}: {', '.join(counts)}" + (f"; for none: {normal}" if normal else "")
    if listed.target:
        yield f"             labelled row by row in {listed.target.column}: {_said_of_values(listed.target)}"
    if listed.beside:
        yield f"             {', '.join(listed.beside)}: beside findings, too, so no word for none (`normal_values`)"
    if listed.clashes:
        yield f"             {listed.clashes:,} findings are affirmed and denied in one image, which a run refuses"
    if left := len(listed.words) - len(labels.words):
        yield f"             {left} rarer words are left out: name them under `findings`"
    if labels.segmented:
        most = f"{labels.segmented}, which has the most boxes or masks ({listed.outlined[labels.segmented]:,})"
        yield f"segmented    {most}: to change it, set `few_shot_segmentation.finding`"


def _said_of_readers(guess: "TableGuess") -> str:
    if not guess.reads_by_vote:
        return "not used, because readers have no vote on masks: keep one row of each image"
    if guess.agree == 1:
        return "present where one of an image's readers says so (`agree: 1`), because some images have only one"
    return f"present where {guess.agree} of an image's readers agree, and their boxes overlap by {SAME_BOX}"
