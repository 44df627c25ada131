"""Write the configuration of a data set of your own from its table, and prompts for its finding.

    mlip new-dataset data/table.csv

Reads off the table which columns hold images, patients, reports, views, a finding, boxes and masks, says what it read
and what will be measured, and writes NAME.yaml and NAME_prompts.yaml. Nothing is asked and nothing is overwritten.
"""

import re
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..common.errors import InputError
from ..common.settings import did_you_mean

if TYPE_CHECKING:
    from .table_guess import Finding, TableGuess

_SEGMENTED_AT = 512  # pixels; input of the published segmentation protocol
_FEW = 2000  # studies, below which the small model of the profile `sample` is named


def add_options(options: ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    options.add_argument("table", type=Path, help="CSV, .tsv, .parquet or .jsonl file with a row per image")
    options.add_argument("--root", type=Path, help="folder that the images' paths start from [the table's folder]")
    options.add_argument("--name", help="name of the data set [the name of the table's folder]")
    options.add_argument("--finding", help="column of the finding, where several columns hold labels")
    options.add_argument("--output", type=Path, default=Path(), help="folder for both files [the current one]")


def main(arguments: Namespace) -> None:
    """Write both files, and print what was read and what comes next."""
    from .table_guess import guess_table

    table = arguments.table.absolute()
    root = (arguments.root or table.parent).absolute()
    guess = guess_table(table, root)
    finding = _chosen(guess, arguments.finding, arguments.table)
    name = arguments.name or re.sub(r"[^A-Za-z0-9_.-]+", "_", root.name).strip("_.-") or "ours"
    settings, prompts = arguments.output / f"{name}.yaml", arguments.output / f"{name}_prompts.yaml"
    for path in (settings, prompts):
        if path.exists():
            raise InputError(f"{path}: exists", remedy="give another --name or --output, or remove it")
    block = configuration(name, table, root, guess, finding, prompts.absolute())
    measured = _checked(block, name)
    arguments.output.mkdir(parents=True, exist_ok=True)
    if finding is not None:
        prompts.write_text(_PROMPTS_HEAD + _as_yaml(prompt_block(finding.column)), encoding="utf-8")
    head = f"# Written by `mlip new-dataset` from {table.name}. Correct what it read wrongly.\n"
    settings.write_text(head + _as_yaml(block), encoding="utf-8")
    print("\n".join([*_said(guess, finding, root), *measured, *_next(settings, guess)]))


def _chosen(guess: "TableGuess", column: str | None, table: Path) -> "Finding | None":
    """Return the finding to evaluate. Raises InputError where several could be meant, or the named one is none."""
    known = {each.column: each for each in guess.findings}
    if column is not None:
        if column not in known:
            listed = ", ".join(known) or "none"
            raise InputError(f"--finding {column}: not a column of yes and no in {table}{did_you_mean(column, known)}",
                             remedy=f"columns of labels: {listed}")  # fmt: skip
        return known[column]
    if len(known) > 1:
        raise InputError(f"{table}: {len(known)} columns hold labels: {', '.join(known)}",
                         remedy="name one: --finding COLUMN")  # fmt: skip
    return next(iter(known.values()), None)


def configuration(
    name: str, table: Path, root: Path, guess: "TableGuess", finding: "Finding | None", prompts: Path
) -> dict[str, Any]:
    """Return the contents of NAME.yaml."""
    place = str(table.relative_to(root)) if table.is_relative_to(root) else str(table)
    form: dict[str, Any] = {"separator": guess.form.separator} if guess.form.separator else {}
    form |= {"encoding": guess.form.encoding} if guess.form.encoding != "utf-8" else {}
    shared = {"layout": "folder", "table": place} | form
    columns = {"image": guess.image, "patient": guess.patient, "study": guess.study, "view": guess.view,
               "report": guess.report if guess.patient else None}  # fmt: skip
    data: dict[str, Any] = {"root": str(root)}
    if guess.folder != root:
        data["roots"] = [str(guess.folder)]
    data["index_inputs"] = shared | {"columns": {key: value for key, value in columns.items() if value}}
    if guess.language and "report" in data["index_inputs"]["columns"]:
        data["split_reports"] = {"language": guess.language}
    if guess.boxes or guess.mask:
        data["dicom_to_arrow"] = {"size": _SEGMENTED_AT}
    if finding is not None:
        outlines = {"boxes": guess.boxes, "mask": guess.mask, "lung_mask": guess.lung_mask}
        labels = {"image": guess.image, "target": finding.column} | {
            key: value for key, value in outlines.items() if value
        }
        data["label_images"] = shared | {
            "finding": finding_name(finding.column),
            "columns": labels,
            "positive_values": list(finding.present),
            "negative_values": list(finding.absent),
        }
        data["label_images"] |= {"unlabelled_values": list(finding.unknown)} if finding.unknown else {}
        data["zero_shot_classification"] = {"prompts": str(prompts)}
        data["phrase_grounding"] = {"prompts": str(prompts)}
    block: dict[str, Any] = {"project": name, "workspace": f"runs/{name}"}
    if "report" in data["index_inputs"]["columns"]:
        block |= {"pretrain_on": name, "patient_split": {"validation": 0.15, "test": 0.15}}
    return block | {"evaluate_on": [name] if finding is not None else [], "datasets": {name: data}}


def finding_name(column: str) -> str:
    """Return a column's name as the name of a finding."""
    return re.sub(r"\W+", "_", column).strip("_").lower()


def prompt_block(column: str) -> dict[str, Any]:
    """Return a prompt file for a finding, with general phrasings that affirm and deny it."""
    words = finding_name(column).replace("_", " ")
    start = words.capitalize()
    return {
        "finding": finding_name(column),
        "sets": {
            "there_is": {"positive": [f"There is {words}."], "negative": [f"There is no {words}."]},
            "phrasings": {
                "positive": [f"{start}.", f"Findings consistent with {words}.", f"{start} is seen."],
                "negative": [f"No {words}.", f"No evidence of {words}.", f"No {words} is seen."],
            },
        },
    }  # fmt: skip


def _checked(block: dict[str, Any], name: str) -> list[str]:
    """Check the block as a run will, and return what it measures, line by line."""
    from ..configuration import Config
    from ..contracts import EVALUATIONS

    whole = {"pretrain_on": name, "variants": {"mlip": {}}, "compare": ["mlip"]} | block
    config = Config.model_validate(whole)
    config.settings("index_inputs", name)
    if not block["evaluate_on"]:
        return ["measured     no column of yes and no: nothing on labels"]
    config.settings("label_images", name)
    left_out = config.not_measured(name)
    lines = [f"measured     {', '.join(stage for stage in EVALUATIONS if stage not in left_out)}"]
    return lines + [f"not measured {stage}: {why}" for stage, why in left_out.items()]


def _said(guess: "TableGuess", finding: "Finding | None", root: Path) -> list[str]:
    """Return what was read, a line each."""
    where = guess.folder if guess.folder == root else guess.folder.relative_to(root)
    separator = f", separator {guess.form.separator!r}" if guess.form.separator else ""
    files = f"{guess.files:,} of {guess.looked_for:,} files looked for are in {where}"
    lines = [
        f"table        {guess.rows:,} rows, {guess.form.encoding}{separator}",
        f"images       {guess.image} ({files})",
    ]
    for what, column in (("patients", guess.patient), ("studies", guess.study), ("views", guess.view),
                         ("boxes", guess.boxes), ("masks", guess.mask), ("lungs", guess.lung_mask)):  # fmt: skip
        lines += [f"{what:<12} {column}"] if column else []
    if guess.without_patient:
        lines += [
            f"             {guess.patient} is blank in {guess.without_patient} rows, which a run refuses: fill it in"
        ]
    if guess.report:
        without = "" if guess.patient else ": not used, because no column holds patients, by whom pre-training is split"
        lines += [f"reports      {guess.report}{without}"]
        lines += [f"             headers of {guess.language} reports"] if guess.language else []
    else:
        lines += ["reports      none: `pretrain_on` stays that of config.yaml"]
    if finding is not None:
        counts = [f"{word} {finding.count(values):,} ({', '.join(values)})"
                  for word, values in (("present", finding.present), ("absent", finding.absent),
                                       ("unlabelled", finding.unknown)) if values]  # fmt: skip
        blank = finding.counts.get("", 0)
        lines += [f"finding      {finding.column}: {'; '.join(counts)}" + (f"; blank {blank:,}" if blank else "")]
    return lines + ([f"not read     {', '.join(guess.unused)}"] if guess.unused else [])


def _next(settings: Path, guess: "TableGuess") -> list[str]:
    """Return the commands that come next."""
    pretrains = bool(guess.report and guess.patient)
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
