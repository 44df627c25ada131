"""Write the configuration of a data set of your own from its table, and prompts for its findings.

    mlip new-dataset data/table.csv

Reads off the table which columns hold images, patients, reports, views, parts, findings, boxes and masks, says what it
read and what will be measured, and writes NAME.yaml and NAME_prompts.yaml. Nothing is asked and nothing is overwritten.
"""

import re
import unicodedata
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..common.data.own_tables import names_of
from ..common.errors import InputError
from ..common.settings import did_you_mean, validating
from .finding_prompts import finding_names, prompt_file

if TYPE_CHECKING:
    from .label_guess import Finding, Listed
    from .table_guess import TableGuess

_SEGMENTED_AT = 512  # pixels; input of the published segmentation protocol
_SAME_BOX = 0.4  # intersection over union of two readers' boxes, the default of label_images
_SAYS_NOTHING = re.compile(r"target|label|class|y|gt|truth|outcome|result|positive|sick|abnormal", re.IGNORECASE)
_FEW = 2000  # studies, below which the small model of the profile `sample` is named


def add_options(options: ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    options.add_argument("table", type=Path, help="CSV, .tsv, .parquet or .jsonl file with a row per image")
    options.add_argument("--root", type=Path, help="folder that the images' paths start from [the table's folder]")
    options.add_argument("--name", help="name of the data set [the name of the table's folder]")
    options.add_argument("--finding", help="column or word of the only finding to evaluate [all that are found]")
    options.add_argument("--output", type=Path, default=Path(), help="folder for both files [the current one]")


def main(arguments: Namespace) -> None:
    """Write both files, and print what was read and what comes next."""
    table = arguments.table.absolute()
    guess, root = _guessed(table, arguments.root, arguments.finding)
    labels = _chosen(guess, arguments.finding, arguments.table)
    plain = unicodedata.normalize("NFKD", root.name).encode("ascii", "ignore").decode()
    name = arguments.name or re.sub(r"[^A-Za-z0-9_.-]+", "_", plain).strip("_.-") or "ours"
    settings, prompts = arguments.output / f"{name}.yaml", arguments.output / f"{name}_prompts.yaml"
    for path in (settings, prompts):
        if path.exists():
            raise InputError(f"{path}: exists", remedy="give another --name or --output, or remove it")
    block = configuration(name, table, root, guess, labels, prompts.absolute())
    measured = _checked(block, name)
    arguments.output.mkdir(parents=True, exist_ok=True)
    if labels.words:
        prompts.write_text(_PROMPTS_HEAD + _as_yaml(prompt_file(labels.words)), encoding="utf-8")
    head = f"# Written by `mlip new-dataset` from {table.name}. Correct what it read wrongly.\n"
    settings.write_text(head + _as_yaml(block), encoding="utf-8")
    print("\n".join([*said(guess, labels, root), *measured, *_next(settings, guess)]))


def _guessed(table: Path, root: Path | None, finding: str | None) -> "tuple[TableGuess, Path]":
    """Return what the table holds, and the root: the table's folder, or that above, which CheXpert's paths begin in."""
    from .table_guess import guess_table

    first = (root or table.parent).absolute()
    try:
        return guess_table(table, first, finding), first
    except InputError:
        if root is None and table.is_file():
            with suppress(InputError):
                guess = guess_table(table, first.parent, finding)
                if guess.images.folder == first.parent and not guess.images.by_name:
                    return guess, first.parent
        raise


@dataclass(frozen=True)
class Labels:
    """Hold what is evaluated: columns of yes and no, or words of a column that lists findings; or nothing."""

    columns: "tuple[Finding, ...]" = ()
    listed: "Listed | None" = None
    words: tuple[str, ...] = ()


def _chosen(guess: "TableGuess", finding: str | None, table: Path) -> Labels:
    """Return the findings to evaluate: all, or the named one. Raises InputError where the table does not have it."""
    from .label_guess import MOST_FINDINGS

    listed = None if guess.findings else guess.listed
    known = tuple(listed.words) if listed else tuple(each.column for each in guess.findings)
    if finding is not None and finding not in known:
        raise InputError(f"--finding {finding}: not a column of yes and no in {table}{did_you_mean(finding, known)}",
                         remedy=f"columns of labels: {', '.join(known) or 'none'}")  # fmt: skip
    words = known[:MOST_FINDINGS] if finding is None else (finding,)
    return Labels(tuple(each for each in guess.findings if each.column in words), listed, words)


def configuration(
    name: str, table: Path, root: Path, guess: "TableGuess", labels: Labels, prompts: Path
) -> dict[str, Any]:
    """Return the contents of NAME.yaml."""
    place = str(table.relative_to(root)) if table.is_relative_to(root) else str(table)
    form: dict[str, Any] = {"separator": guess.form.separator} if guess.form.separator else {}
    form |= {"encoding": guess.form.encoding} if guess.form.encoding != "utf-8" else {}
    shared = {"layout": "folder", "table": place} | form
    data: dict[str, Any] = {"root": str(root)}
    if guess.images.folder != root:
        data["roots"] = [str(guess.images.folder)]
    pretrains = can_pretrain(guess)
    data["index_inputs"] = shared | _index(guess)
    if guess.language and pretrains:
        data["split_reports"] = {"language": guess.language}
    if guess.boxes or guess.mask:
        data["dicom_to_arrow"] = {"size": _SEGMENTED_AT}
    if labels.words:
        data["label_images"] = shared | _labels(guess, labels)
        if not pretrains and guess.split and len(guess.parts) == 3 and guess.divided is None:
            data["label_images"]["split_lists"] = {
                "table": place,
                "image_id": guess.images.column,
                "split": guess.split,
            }
        data["zero_shot_classification"] = {"prompts": str(prompts)}
        data["phrase_grounding"] = {"prompts": str(prompts)}
    block: dict[str, Any] = {"project": name, "workspace": f"runs/{name}"}
    if pretrains:
        block |= {"pretrain_on": name, "patient_split": {"validation": 0.15, "test": 0.15}}
    return block | {"evaluate_on": [name] if labels.words else [], "datasets": {name: data}}


def can_pretrain(guess: "TableGuess") -> bool:
    """Return whether there are reports, and patients by whom to split them."""
    return guess.report is not None and (guess.patient or guess.patient_pattern) is not None


def reads_by_vote(guess: "TableGuess") -> bool:
    """Return whether the labels of several readers become one; label_images has no vote on masks."""
    return guess.reader is not None and guess.mask is None


def _index(guess: "TableGuess") -> dict[str, Any]:
    """Return the keys of `index_inputs` that say where images, patients and reports are."""
    image, has_patients = guess.images.column, guess.patient or guess.patient_pattern
    columns = {
        "image": image,
        "patient": guess.patient or (image if guess.patient_pattern else None),
        "patient_pattern": guess.patient_pattern,
        "study": guess.study or (image if guess.study_pattern else None),
        "study_pattern": guess.study_pattern,
        "view": guess.view,
        "split": guess.split if has_patients and guess.divided is None else None,
        "inverted": guess.inverted,
        "report": guess.report if has_patients else None,
    }
    found = {"find_images_in": "."} if guess.images.by_name else {}
    return found | {"columns": {key: value for key, value in columns.items() if value}} | dict(guess.inversion)


def _labels(guess: "TableGuess", labels: Labels) -> dict[str, Any]:
    """Return the keys of `label_images` that say where the findings are and what their cells mean."""
    names = finding_names(labels.words)
    columns: dict[str, Any] = {"image": guess.images.column}
    outlines = (guess.boxes.named() if guess.boxes else {}) | ({"mask": guess.mask} if guess.mask else {})
    described = guess.boxes.keys() if guess.boxes else {}
    found: dict[str, Any]
    columns |= {"lung_mask": guess.lung_mask} if guess.lung_mask else {}
    vote = {"column": guess.reader, "agree": guess.agree, "iou": _SAME_BOX}
    readers = {"readers": vote} if reads_by_vote(guess) else {}
    if labels.listed is not None:
        found = {"findings": dict(zip(names, labels.words, strict=True)),
                 "columns": columns | {"findings": labels.listed.column} | outlines}  # fmt: skip
        separator = {"findings_separator": labels.listed.separator} if labels.listed.separator != "|" else {}
        normal = {"normal_values": list(labels.listed.normal)} if labels.listed.normal else {}
        return found | separator | normal | described | readers
    found = {"findings": dict(zip(names, labels.words, strict=True)), "columns": columns}
    if len(names) == 1:
        found = {"finding": names[0], "columns": columns | {"target": labels.words[0]} | outlines} | described
    meanings = {"positive_values": "present", "negative_values": "absent", "uncertain_values": "uncertain",
                "unlabelled_values": "unknown"}  # fmt: skip
    values = {key: sorted({value for each in labels.columns for value in getattr(each, name)})
              for key, name in meanings.items()}  # fmt: skip
    return found | {key: value for key, value in values.items() if value} | readers


def _checked(block: dict[str, Any], name: str) -> list[str]:
    """Check the block as a run will, and return what it measures, line by line."""
    from ..configuration import Config
    from ..contracts import EVALUATIONS

    whole = {"pretrain_on": name, "variants": {"mlip": {}}, "compare": ["mlip"]} | block
    with validating(f"{name}.yaml"):
        config = Config.model_validate(whole)
        config.settings("index_inputs", name)
    if not block["evaluate_on"]:
        return ["measured     no column of yes and no, none that lists findings: nothing on labels"]
    with validating(f"{name}.yaml"):
        config.settings("label_images", name)
    left_out = config.not_measured(name)
    lines = [f"measured     {', '.join(stage for stage in EVALUATIONS if stage not in left_out)}"]
    return lines + [f"not measured {stage}: {why}" for stage, why in left_out.items()]


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
    for what, column in (("views", guess.view), ("inverted", guess.inverted), ("masks", guess.mask),
                         ("lungs", guess.lung_mask)):  # fmt: skip
        lines += [f"{what:<12} {', '.join(names_of(column))}"] if column else []
    if guess.report:
        without = "" if can_pretrain(guess) else (
            ": not used, because no column holds patients, by whom pre-training is split")  # fmt: skip
        lines += [f"reports      {', '.join(names_of(guess.report))}{without}"]
        lines += [f"             headers of {guess.language} reports"] if guess.language else []
    else:
        lines += ["reports      none: `pretrain_on` stays that of config.yaml"]
    lines += [*_said_of_boxes(guess, labels), *_said_of_labels(guess, labels)]
    for about in dict.fromkeys(guess.no_findings.values()):
        names = ", ".join(name for name, each in guess.no_findings.items() if each == about)
        lines.append(f"no finding   {names}: by name about {about}; if it is one, give --finding")
    unused = ", ".join(name or "a column without name" for name in guess.unused if name not in guess.no_findings)
    lines += [f"not read     {unused}"] if unused else []
    return lines + [f"not read     {number} columns {f'named {name}' if name else 'without name'}: rename all but one"
                    for name, number in guess.twice.items()]  # fmt: skip


def _said_of_patients(guess: "TableGuess") -> "Iterator[str]":
    """Yield lines on patients, studies and the split."""
    image = guess.images.column
    if guess.patient or guess.patient_pattern:
        yield f"patients     {guess.patient or f'{guess.patient_pattern} within {image}'}"
    if guess.without_patient:
        yield f"             {guess.patient} is blank in {guess.without_patient} rows, which a run refuses: fill it in"
    if guess.study or guess.study_pattern:
        yield f"studies      {', '.join(names_of(guess.study)) or f'{guess.study_pattern} within {image}'}"
        if isinstance(guess.study, list):
            yield f"             read together: an id of {guess.study[-1]} is that of several patients"
    if guess.no_study:
        yield f"no studies   {guess.no_study}"
    if guess.split is None:
        return
    yield f"split        {guess.split}: {', '.join(guess.parts)}"
    if guess.divided:
        rows = " and ".join(map(str, guess.divided))
        yield f"             not used: rows {rows} are one patient in two parts, who would be in training and in test"
    elif not can_pretrain(guess) and len(guess.parts) < 3:
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
        meanings = {"present": each.present, "absent": each.absent, "uncertain": each.uncertain,
                    "unlabelled": each.unknown}  # fmt: skip
        counts = [f"{word} {each.count(own):,} ({', '.join(own)})" for word, own in meanings.items() if own]
        blank = each.counts.get("", 0)
        yield f"finding      {each.column}: {'; '.join(counts)}" + (f"; blank {blank:,}" if blank else "")
    if unnamed := [each for each in labels.words if _SAYS_NOTHING.fullmatch(each)]:
        yield f"             {unnamed[0]} names no finding: write its name into both files, and its prompts"
    if any(each.uncertain for each in labels.columns):
        yield "             uncertain is left out (`uncertain: ignore`): zeros, ones or ignore is your choice"
    if any(each.counts.get("") for each in labels.columns):
        yield '             blank is no label: if it means absent, add "" to negative_values'
    if labels.listed is not None:
        counts = [f"{word} {labels.listed.words[word]:,}" for word in labels.words]
        normal = ", ".join(labels.listed.normal) or "no word; a blank cell is no label"
        yield f"findings     {labels.listed.column}: {', '.join(counts)}; for none: {normal}"
        if left := len(labels.listed.words) - len(labels.words):
            yield f"             {left} rarer words are left out: name them under `findings`"
    elif guess.listed:
        yield f"             {guess.listed.column} lists findings, too: to read it instead, name it `columns.findings`"
    outlines = [name for name in ("boxes", "mask") if getattr(guess, name)]
    if len(labels.columns) > 1 and outlines:
        which = "of which finding? Write it under `findings`, or choose one with --finding"
        yield f"             {' and '.join(outlines)}: {which}"
    one_box_a_row = guess.boxes is not None and not isinstance(guess.boxes.columns, str) and len(labels.columns) == 1
    if labels.words and guess.reader:
        yield f"readers      {guess.reader}: {_said_of_readers(guess)}"
    elif labels.columns and guess.repeats and not one_box_a_row:
        yield f"             {guess.repeats:,} rows name an image again, which label_images refuses: keep one of each"


def _said_of_readers(guess: "TableGuess") -> str:
    if not reads_by_vote(guess):
        return "not used, because readers have no vote on masks: keep one row of each image"
    if guess.agree == 1:
        return "present where one of an image's readers says so (`agree: 1`), because some images have only one"
    return f"present where {guess.agree} of an image's readers agree, and their boxes overlap by {_SAME_BOX}"


def _next(settings: Path, guess: "TableGuess") -> list[str]:
    """Return the commands that come next."""
    pretrains = can_pretrain(guess)
    small = "workflow/profiles/sample/settings.yaml " if guess.rows < _FEW and pretrains else ""
    files = f"--configfile {small}{settings.absolute()}"
    lines = ["", f"Wrote {settings}. In the folder of the checkout:"]
    lines += [f"  {command} {files}" for command in ("mlip doctor", "snakemake --profile workflow/profiles/local")]
    if not pretrains:
        lines += ["Nothing to pre-train on (reports with patients): set `pretrain_on` to a data set that has both."]
    if small:
        lines += [f"The first file is a small model: {guess.rows:,} rows are few for that of config.yaml."]
    return lines


_PROMPTS_HEAD = """# Prompts as your reports would say them: edit these general ones. Sets compete on validation.
# Words in {braces} are slots, filled in all combinations: `slots: {side: [right, left]}`.
"""


def _as_yaml(block: dict[str, Any]) -> str:
    return yaml.safe_dump(block, sort_keys=False, allow_unicode=True, width=110)
