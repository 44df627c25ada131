"""Write the configuration of a data set of your own from its table, and prompts for its findings.

    mlip new-dataset data/table.csv

Reads off the table which columns hold images, patients, reports, views, findings, boxes and masks, says what it read
and what will be measured, and writes NAME.yaml and NAME_prompts.yaml. Nothing is asked and nothing is overwritten.
"""

import re
import unicodedata
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from itertools import count
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
    options.add_argument("--finding", help="column of the only finding to evaluate [all columns of labels]")
    options.add_argument("--output", type=Path, default=Path(), help="folder for both files [the current one]")


def main(arguments: Namespace) -> None:
    """Write both files, and print what was read and what comes next."""
    from .table_guess import guess_table

    table = arguments.table.absolute()
    root = (arguments.root or table.parent).absolute()
    guess = guess_table(table, root)
    findings = _chosen(guess, arguments.finding, arguments.table)
    name = arguments.name or re.sub(r"[^A-Za-z0-9_.-]+", "_", root.name).strip("_.-") or "ours"
    settings, prompts = arguments.output / f"{name}.yaml", arguments.output / f"{name}_prompts.yaml"
    for path in (settings, prompts):
        if path.exists():
            raise InputError(f"{path}: exists", remedy="give another --name or --output, or remove it")
    block = configuration(name, table, root, guess, findings, prompts.absolute())
    measured = _checked(block, name)
    arguments.output.mkdir(parents=True, exist_ok=True)
    if findings:
        prompts.write_text(_PROMPTS_HEAD + _as_yaml(prompt_file(findings)), encoding="utf-8")
    head = f"# Written by `mlip new-dataset` from {table.name}. Correct what it read wrongly.\n"
    settings.write_text(head + _as_yaml(block), encoding="utf-8")
    print("\n".join([*_said(guess, findings, root), *measured, *_next(settings, guess)]))


def _chosen(guess: "TableGuess", column: str | None, table: Path) -> "Sequence[Finding]":
    """Return the findings to evaluate: all, or the named one. Raises InputError where that is no column of labels."""
    known = {each.column: each for each in guess.findings}
    if column is not None:
        if column not in known:
            listed = ", ".join(known) or "none"
            raise InputError(f"--finding {column}: not a column of yes and no in {table}{did_you_mean(column, known)}",
                             remedy=f"columns of labels: {listed}")  # fmt: skip
        return [known[column]]
    return list(known.values())


def configuration(
    name: str, table: Path, root: Path, guess: "TableGuess", findings: "Sequence[Finding]", prompts: Path
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
    if findings:
        data["label_images"] = shared | _labels(guess, findings)
        data["zero_shot_classification"] = {"prompts": str(prompts)}
        data["phrase_grounding"] = {"prompts": str(prompts)}
    block: dict[str, Any] = {"project": name, "workspace": f"runs/{name}"}
    if "report" in data["index_inputs"]["columns"]:
        block |= {"pretrain_on": name, "patient_split": {"validation": 0.15, "test": 0.15}}
    return block | {"evaluate_on": [name] if findings else [], "datasets": {name: data}}


def _labels(guess: "TableGuess", findings: "Sequence[Finding]") -> dict[str, Any]:
    """Return the keys of `label_images` that say where the findings are and what their cells mean."""
    columns: dict[str, Any] = {"image": guess.image}
    outlines = {"boxes": guess.boxes, "mask": guess.mask}
    found: dict[str, Any]
    if len(findings) == 1:
        columns |= {"target": findings[0].column} | {key: value for key, value in outlines.items() if value}
        found = {"finding": finding_names(findings)[0]}
    else:
        found = {"findings": dict(zip(finding_names(findings), (each.column for each in findings), strict=True))}
    columns |= {"lung_mask": guess.lung_mask} if guess.lung_mask else {}
    meanings = {"positive_values": "present", "negative_values": "absent", "uncertain_values": "uncertain",
                "unlabelled_values": "unknown"}  # fmt: skip
    values = {key: sorted({value for each in findings for value in getattr(each, name)})
              for key, name in meanings.items()}  # fmt: skip
    return found | {"columns": columns} | {key: value for key, value in values.items() if value}


def finding_names(findings: "Sequence[Finding]") -> list[str]:
    """Return the columns' names as names of findings: ASCII letters, digits and `_`, each once."""
    names: list[str] = []
    for number, each in enumerate(findings, start=1):
        plain = unicodedata.normalize("NFKD", each.column).encode("ascii", "ignore").decode()
        name = re.sub(r"\W+", "_", plain).strip("_").lower() or f"finding_{number}"
        taken = {*names, *(re.sub(r"\W+", "_", other.column).strip("_").lower() for other in findings[number:])}
        free = (f"{name}_{again}" for again in count(2))
        names.append(name if name not in names else next(each for each in free if each not in taken))
    return names


def prompt_file(findings: "Sequence[Finding]") -> dict[str, Any]:
    """Return a prompt file with general phrasings that affirm and deny each finding."""
    blocks = {name: {"sets": _prompt_sets(each.column)}
              for name, each in zip(finding_names(findings), findings, strict=True)}  # fmt: skip
    if len(blocks) > 1:
        return {"findings": blocks}
    [(name, block)] = blocks.items()
    return {"finding": name} | block


def _prompt_sets(column: str) -> dict[str, Any]:
    words = re.sub(r"[\W_]+", " ", column).strip().lower()
    start = words.capitalize()
    return {
        "there_is": {"positive": [f"There is {words}."], "negative": [f"There is no {words}."]},
        "phrasings": {
            "positive": [f"{start}.", f"Findings consistent with {words}.", f"{start} is seen."],
            "negative": [f"No {words}.", f"No evidence of {words}.", f"No {words} is seen."],
        },
    }


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


def _said(guess: "TableGuess", findings: "Sequence[Finding]", root: Path) -> list[str]:
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
    for each in findings:
        meanings = {"present": each.present, "absent": each.absent, "uncertain": each.uncertain,
                    "unlabelled": each.unknown}  # fmt: skip
        counts = [f"{word} {each.count(own):,} ({', '.join(own)})" for word, own in meanings.items() if own]
        blank = each.counts.get("", 0)
        lines += [f"finding      {each.column}: {'; '.join(counts)}" + (f"; blank {blank:,}" if blank else "")]
    if len(findings) > 1 and (outlines := [name for name in (guess.boxes, guess.mask) if name]):
        lines += [f"             {' and '.join(outlines)}: of which finding? Write it under `findings`, or choose one "
                  "with --finding"]  # fmt: skip
    if guess.lists and not findings:
        how = "name them with `columns.findings`, see docs/operators/extending.md"
        lines += [f"             {guess.lists[0]} lists findings: {how}"]
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
