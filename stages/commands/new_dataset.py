"""Write the configuration of a data set of your own from its table, and prompts for its findings.

    mlip new-dataset data/table.csv

Reads off the table which columns hold images, patients, reports, views, parts, findings, boxes and masks, says what it
read and what will be measured, and writes NAME.yaml and NAME_prompts.yaml. Nothing is asked and nothing is overwritten.
"""

import re
import unicodedata
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..common.errors import InputError
from ..common.settings import did_you_mean, validating
from .finding_prompts import prompt_file, said_of_prompts
from .said_of_table import SAME_BOX, Labels, said, said_of_views

if TYPE_CHECKING:
    from .label_guess import Finding, Listed
    from .table_guess import TableGuess

_SEGMENTED_AT = 512  # pixels; input of the published segmentation protocol
_SMALL = "workflow/profiles/sample/settings.yaml"  # its segmentation needs no such images
_NO_PROMPTS, _NO_OUTLINES = "no prompt file", "no boxes or masks"  # of `Config.lacks`
_FEWER = 400  # rows, below which a sixth of them would be a test part of few patients
_FEW = 2000  # studies, below which the small model of the profile `sample` is named


def add_options(options: ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    options.add_argument("table", type=Path, help="CSV, .tsv, .parquet or .jsonl file with a row per image")
    options.add_argument("--root", type=Path, help="folder that the images' paths start from [the table's folder]")
    options.add_argument("--name", help="name of the data set [the name of the table's folder]")
    options.add_argument("--finding", help="column or word of the only finding to evaluate [all that are found]")
    options.add_argument("--column", action="append", default=[], metavar="ROLE=COLUMN",
                         help="a column that was taken wrongly, or not at all, e.g. patient=Pat-ID or boxes=x,y,w,h; "
                         "repeat it for others. Roles: image, patient, study, view, report, split, inverted, boxes, "
                         "mask, lung_mask, reader")  # fmt: skip
    options.add_argument("--output", type=Path, default=Path(), help="folder for both files [the current one]")


def main(arguments: Namespace) -> None:
    """Write both files, and print what was read and what comes next."""
    from .column_names import given_columns  # a table library, which --help does not need

    guess, root = _guessed(arguments.table, arguments.root, arguments.finding, given_columns(arguments.column))
    table, root = arguments.table.absolute(), root.absolute()  # only now: errors name them as they were given
    guess = replace(guess, images=replace(guess.images, folder=guess.images.folder.absolute()))
    labels = _chosen(guess, arguments.finding, arguments.table)
    plain = unicodedata.normalize("NFKD", root.name).encode("ascii", "ignore").decode()
    name = arguments.name or re.sub(r"[^A-Za-z0-9_.-]+", "_", plain).strip("_.-") or "ours"
    settings, prompts = arguments.output / f"{name}.yaml", arguments.output / f"{name}_prompts.yaml"
    for path in (settings, prompts):
        if path.exists():
            raise InputError(f"{path}: exists", remedy="give another --name or --output, or remove it")
    block = configuration(name, table, root, guess, labels, prompts.absolute())
    measured = _checked(block, name, _outlined(guess))
    arguments.output.mkdir(parents=True, exist_ok=True)
    if labels.words:
        prompts.write_text(_PROMPTS_HEAD + _as_yaml(prompt_file(labels.words, guess.language)), encoding="utf-8")
    head = f"# Written by `mlip new-dataset` from {table.name}. Correct what it read wrongly.\n"
    settings.write_text(head + _as_yaml(with_comments(block, name, guess)), encoding="utf-8")
    foreign = (
        [f"prompts      {said_of_prompts(guess.language, prompts.name)}"] if guess.language and labels.words else []
    )
    wrote = f"{settings} and {prompts.name}" if labels.words else str(settings)
    print("\n".join([*said(guess, labels, root), *foreign, *measured, *_next(settings, wrote, guess)]))


def _guessed(
    table: Path, root: Path | None, finding: str | None, given: Mapping[str, str]
) -> "tuple[TableGuess, Path]":
    """Return what the table holds, and the root: the table's folder, or that above, which CheXpert's paths begin in."""
    from .table_guess import guess_table

    first = root or table.parent
    above = first.absolute().parent
    try:
        return guess_table(table, first, finding, given), first
    except InputError:
        if root is None and table.is_file():
            with suppress(InputError):
                guess = guess_table(table, above, finding, given)
                if guess.images.folder == above and not guess.images.by_name:
                    return guess, above
        raise


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
    pretrains = guess.can_pretrain
    data["index_inputs"] = shared | _index(guess)
    if guess.language and pretrains:
        data["split_reports"] = {"language": guess.language}
    converted: dict[str, Any] = {"size": _SEGMENTED_AT} if _outlined(guess) and not _is_small(guess) else {}
    converted |= {"views": list(guess.views)} if guess.left_out else {}  # the default, so that it is seen
    if converted:
        data["dicom_to_arrow"] = converted
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
        if labels.segmented:
            data["few_shot_segmentation"] = {"finding": labels.named[labels.segmented]}
    block: dict[str, Any] = {"project": name, "workspace": f"runs/{name}"}
    if pretrains:
        block |= {"pretrain_on": name, "patient_split": _split(guess)}
    return block | {"evaluate_on": [name] if labels.words else [], "datasets": {name: data}}


def _split(guess: "TableGuess") -> dict[str, float]:
    """Return the shares of validation and test: larger ones of a small table, so that figures are of some patients."""
    return {"validation": 0.2, "test": 0.3} if guess.rows < _FEWER else {"validation": 0.15, "test": 0.15}


def _outlined(guess: "TableGuess") -> bool:
    return bool(guess.boxes or guess.mask)


def _is_small(guess: "TableGuess") -> bool:
    """Return whether the commands that come next name the small model."""
    return guess.rows < _FEW and guess.can_pretrain


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
        **guess.attributes.columns,
        "split": guess.split if has_patients and guess.divided is None else None,
        "inverted": guess.inverted,
        "report": guess.report if has_patients else None,
    }
    found = {"find_images_in": "."} if guess.images.by_name else {}
    return (
        found
        | {"columns": {key: value for key, value in columns.items() if value}}
        | dict(guess.inversion)
        | dict(guess.attributes.values)
    )


def _labels(guess: "TableGuess", labels: Labels) -> dict[str, Any]:
    """Return the keys of `label_images` that say where the findings are and what their cells mean."""
    columns: dict[str, Any] = {"image": guess.images.column}
    outlines = (guess.boxes.named() if guess.boxes else {}) | ({"mask": guess.mask} if guess.mask else {})
    described = guess.boxes.keys() if guess.boxes else {}
    columns |= {"lung_mask": guess.lung_mask} if guess.lung_mask else {}
    vote = {"column": guess.reader, "agree": guess.agree, "iou": SAME_BOX}
    readers = {"readers": vote} if guess.reads_by_vote else {}
    words = {name: word for word, name in labels.named.items()}
    if labels.listed is not None:
        return {"findings": words} | _listed(labels.listed, columns, outlines) | described | readers
    found: dict[str, Any] = {"findings": words, "columns": columns}
    if len(words) > 1 and guess.outlined in labels.words:
        size = {key: outlines.pop(key) for key in ("boxes_size",) if key in outlines}
        outlined = {labels.named[guess.outlined]: {"target": guess.outlined} | outlines}
        found = {"findings": words | outlined, "columns": columns | size} | described
    if len(words) == 1:
        [(name, target)] = words.items()
        found = {"finding": name, "columns": columns | {"target": target} | outlines} | described
    return found | _values(labels.columns) | readers


def _listed(listed: "Listed", image: dict[str, Any], outlines: dict[str, Any]) -> dict[str, Any]:
    """Return the keys about a column that lists findings, with the columns of the image and of outlines."""
    target = {"target": listed.target.column} if listed.target else {}
    found: dict[str, Any] = {"columns": image | {"findings": listed.column} | target | outlines}
    found |= {"findings_separator": listed.separator} if listed.separator != "|" else {}
    # The default's words are normal unless the key is given, be it empty.
    found |= {"normal_values": list(listed.normal)} if listed.normal or listed.beside else {}
    if listed.target:
        return found | _values([listed.target])
    return found | ({"negative_values": list(listed.empty)} if listed.empty else {})


def _values(columns: "Sequence[Finding]") -> dict[str, list[str]]:
    """Return the keys that say what the cells of columns of yes and no mean."""
    meanings = {"positive_values": "present", "negative_values": "absent", "uncertain_values": "uncertain",
                "unlabelled_values": "unknown"}  # fmt: skip
    values = {key: sorted({value for each in columns for value in getattr(each, name)})
              for key, name in meanings.items()}  # fmt: skip
    return {key: value for key, value in values.items() if value}


def _checked(block: dict[str, Any], name: str, has_outlines: bool) -> list[str]:
    """Check the block as a run will, and return what it measures, line by line; the table may have outlines."""
    from ..configuration import Config
    from ..contracts import EVALUATIONS

    whole = {"pretrain_on": name, "variants": {"mlip": {}}, "compare": ["mlip"]} | block
    with validating(f"{name}.yaml"):
        config = Config.model_validate(whole)
        config.settings("index_inputs", name)
    pairs = ["retrieval"] if block.get("pretrain_on") == name else []
    if not block["evaluate_on"]:
        nothing = "no column of yes and no, none that lists findings: nothing on labels"
        return [f"measured     {'retrieval alone; ' if pairs else ''}{nothing}"]
    with validating(f"{name}.yaml"):
        config.settings("label_images", name)
    left_out = config.not_measured(name)
    lines = [f"measured     {', '.join([*pairs, *(stage for stage in EVALUATIONS if stage not in left_out)])}"]
    lines += [] if pairs else ["not measured retrieval: no pairs here; it is measured on those of `pretrain_on`"]
    for stage, why in left_out.items():
        more = ""
        if (stage, why) == ("multi_class_classification", _NO_PROMPTS):
            more = " (add one where images have one finding each)"
        if why == _NO_OUTLINES and has_outlines:
            more = " of a known finding (see `boxes` above)"
        lines.append(f"not measured {stage}: {why}{more}")
    return lines


def _next(settings: Path, wrote: str, guess: "TableGuess") -> list[str]:
    """Return the commands that come next."""
    pretrains = guess.can_pretrain
    small = f"{_SMALL} " if _is_small(guess) else ""
    files = f"--configfile {small}{settings.absolute()}"
    lines = ["", f"Wrote {wrote}. In the folder of the checkout:"]
    lines += [f"  {command} {files}" for command in ("mlip doctor", "snakemake --profile workflow/profiles/local")]
    if not pretrains:
        lines += [
            "Nothing to pre-train on (reports with patients): set `pretrain_on` to a data set that has both, such as "
            "mimic_cxr.",
            "For a first try on a few cores, pre-train a small model on the synthetic patients of the demo:",
            "  snakemake --profile workflow/profiles/local --configfile workflow/profiles/demo/settings.yaml "
            f"{settings.absolute()}",
        ]
    if small:
        lines += [f"The first file is a small model: {guess.rows:,} rows are few for that of config.yaml."]
    return lines


_PROMPTS_HEAD = """# Prompts as your reports would say them: edit these general ones. Sets compete on validation.
# Words in {braces} are slots, filled in all combinations: `slots: {side: [right, left]}`.
"""


_NOT_FOUND = {  # roles of columns that most tables have
    "patient": "ids of patients; reports and the split need it",
    "study": "ids of studies; without it each image is its own",
    "view": "PA, AP, LATERAL, ...",
    "sex": "sex of patients; figures by group need it, or DICOM headers",
    "age": "years",
    "report": "texts of reports; pre-training needs it, and `patient`",
}


def with_comments(block: dict[str, Any], name: str, guess: "TableGuess") -> dict[str, Any]:
    """Return the block with keys `# KEY`: usual roles of a column that were not found, and what views leave out."""
    data = block["datasets"][name]
    index = data["index_inputs"]
    missing = {f"# {role}": f"COLUMN  # {what}" for role, what in _NOT_FOUND.items() if role not in index["columns"]}
    data = data | {"index_inputs": index | {"columns": index["columns"] | missing}}
    converted = data.get("dicom_to_arrow", {})
    if "views" in converted:
        converted = {"# views": f"{said_of_views(guess)}; [] takes all"} | converted
    published = f"{_SEGMENTED_AT}  # pixels, input of the published segmentation"
    if "size" in converted:
        said = f"{published}; it overrides that of any profile. For a small model remove it"
        converted = {"# size": said} | converted
    data = data | ({"dicom_to_arrow": converted} if converted else {})
    if _outlined(guess) and "size" not in converted:
        key, block_of = "# dicom_to_arrow", f"{{size: {published.replace('  #', '}  #')}"
        data = data | {key: f"{block_of}; not set, so {_SMALL} decides. Without that file, set it"}
    return block | {"datasets": {name: data}}


def _as_yaml(block: dict[str, Any]) -> str:
    """Return a block as YAML; a key that begins with `# ` becomes a comment."""
    text = yaml.safe_dump(block, sort_keys=False, allow_unicode=True, width=1000)
    return re.sub(r"^( *)'(# .*?)': '?(.*?)'?$", r"\1\2: \3", text, flags=re.MULTILINE)
