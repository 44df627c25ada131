"""Read radiographs with a trained model: probabilities of classes in words, and heatmaps of them.

    mlip predict IMAGE.dcm --prompts FILE --checkpoint FOLDER --heatmap out.png
    mlip predict FOLDER_OF_DICOMS --prompts FILE --checkpoint FOLDER --output out.csv

Of one radiograph the answer is printed; of several, or of a folder, it is a table with a row for each image and class.
An image that cannot be read has a row with the reason, and the exit status is then 1. Progress goes to standard error,
and how many files of a folder are no images.

--checkpoint takes the checkpoint of select_checkpoint, its mlflow_model folder, a folder above that holds one model
(results/select_checkpoint/mlip, or a run's folder), or an MLflow URI. FILE is YAML: a mapping of
each class to its sentence or sentences,

    pneumothorax: There is a pneumothorax.
    clear lungs: [The lungs are clear., No acute disease.]

or a prompt file of zero_shot_classification (its first set, or the one that --set names; the classes are then a finding
and its absence, in a table those of each finding). Probabilities compare the given classes; they are not calibrated
risks.
"""

import json
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..common.errors import InputError
from ..common.inference.arguments import check_classes
from ..common.journal.progress import progress
from ..common.settings import DEVICE_HELP, DEVICES
from ..common.wording import counted
from ..common.yaml_files import read_yaml
from .options import add_checkpoint
from .predictions import check_form, files_of, rows_of, write_rows

if TYPE_CHECKING:
    from ..common.inference.model import Reading


def main(arguments: Namespace) -> None:
    """Classify the radiographs; print or write the answer, and the heatmap of a single one if it is asked for."""
    many = len(arguments.image) > 1 or arguments.image[0].is_dir() or arguments.output is not None
    if many:
        _refuse_options_of_one(arguments)
    questions = read_questions(arguments.prompts, arguments.set, arguments.finding)
    if many:
        _write_table(arguments, questions)
    else:
        _print_one(arguments, only_question(questions))


def _refuse_options_of_one(arguments: Namespace) -> None:
    values = {name: getattr(arguments, name) for name in ("heatmap", "show", "reading", "json")}
    if given := [f"--{name}" for name, value in values.items() if value not in (None, False)]:
        raise InputError(
            f"{', '.join(given)}: for one radiograph, without --output",
            "name one file; --output FILE.json writes several as JSON",
        )


def _write_table(arguments: Namespace, questions: Sequence[dict[str, list[str]]]) -> None:
    """Write a row for each image and class; exit with status 1 where an image could not be read."""
    if arguments.output:
        check_form(arguments.output)
    files = files_of(arguments.image, arguments.output)

    from ..api.arguments import check_output
    from ..api.models import load  # imported here, because it takes seconds and --help does not need it

    if arguments.output:
        check_output(arguments.output)
    model = load(arguments.checkpoint, arguments.device)
    answers = []
    with progress("radiographs", len(files)) as report:
        for answer in model.classify_many(files, questions, min(len(files), os.cpu_count() or 1)):
            answers.append(answer)
            report.advance()
    write_rows(rows_of(answers), arguments.output)
    unread = sum(bool(each.error) for each in answers)
    print(f"{len(answers) - unread} of {counted(len(answers), 'radiograph')} read", file=sys.stderr)
    if unread:
        raise SystemExit(1)


def _print_one(arguments: Namespace, classes: dict[str, list[str]]) -> None:
    """Print the answer for one radiograph, and write its heatmap."""
    shown = next(iter(classes)) if arguments.show is None else arguments.show
    if shown not in classes:
        raise InputError(f"--show {shown}: no such class", f"choose one of {', '.join(classes)}")
    if arguments.show is not None and not arguments.heatmap:
        raise InputError("--show without --heatmap shows nothing", "add --heatmap FILE.png")
    shows = arguments.heatmap or arguments.json
    if arguments.reading and not shows:
        raise InputError("--reading is of heatmaps, and none is asked for", "add --heatmap FILE.png or --json")

    from ..api.heatmap_picture import check_picture
    from ..api.models import Heatmap, load  # imported here, because it takes seconds and --help does not need it

    if arguments.heatmap:
        check_picture(arguments.heatmap)
    model = load(arguments.checkpoint, arguments.device)
    square = model.read_radiograph(arguments.image[0])
    how: Literal["centred", "raw"] = arguments.reading or "centred"
    reading = model.classify(square, classes, how if shows else "raw")  # probabilities need no mean
    if arguments.heatmap:
        Heatmap(shown, reading.heatmaps[shown], square).write(arguments.heatmap)
    sys.stdout.write(as_json(reading) if arguments.json else as_table(reading))
    if arguments.heatmap and not arguments.json:
        low, high = reading.heatmaps[shown].min(), reading.heatmaps[shown].max()
        what = f"{how} cosines of patches with {shown}"
        print(f"\n{arguments.heatmap}: {what}, from {low:.3f} (clear) to {high:.3f} (bright)")


def read_questions(path: Path, chosen_set: str | None = None, finding: str | None = None) -> list[dict[str, list[str]]]:
    """Return class -> sentences for each finding of a prompt file, or for the classes of the other form of file.

    Raises InputError for any other content.
    """
    record = read_yaml(path, "name a file of prompts")
    if isinstance(record, dict) and ("sets" in record or isinstance(record.get("findings"), dict)):
        return _of_prompt_file(record, path, chosen_set, finding)
    if not isinstance(record, dict) or not all(isinstance(texts, list | str) for texts in record.values()):
        form = "e.g. `pneumothorax: There is a pneumothorax.`, or `[...]` around several"
        raise InputError(f"{path}: not a mapping of each class to its sentences, {form}, nor a prompt file with `sets`")
    for option, value in (("--set", chosen_set), ("--finding", finding)):
        if value is not None:
            raise InputError(f"{option} {value}: {path} is no prompt file with `sets`", f"leave {option} out")
    return [check_classes(record, str(path))]


def only_question(questions: Sequence[dict[str, list[str]]]) -> dict[str, list[str]]:
    """Return the question that is asked of one radiograph. Raises InputError where there are several."""
    if len(questions) > 1:
        names = ", ".join(next(iter(each)).replace(" ", "_") for each in questions)
        raise InputError(f"--prompts: has {len(questions)} findings", f"choose one with --finding: {names}")
    return questions[0]


def _of_prompt_file(
    record: dict[str, Any], path: Path, chosen_set: str | None, finding: str | None
) -> list[dict[str, list[str]]]:
    from ..common.data.prompts import check_prompts

    prompts = check_prompts(record, path)
    if finding is not None and finding not in prompts:
        raise InputError(f"{path}: no finding {finding}", remedy=f"choose one of {', '.join(prompts)}")
    questions = []
    for each in prompts if finding is None else [finding]:
        sets, words = prompts[each].expanded(), each.replace("_", " ")
        name = next(iter(sets)) if chosen_set is None else chosen_set
        if name not in sets:
            raise InputError(f"{path}: no prompt set {name}", remedy=f"choose one of {', '.join(sets)}")
        classes = {words: sets[name].positive, f"no {words}": sets[name].negative}
        questions.append(check_classes(classes, str(path)))
    return questions


def as_table(reading: "Reading") -> str:
    """Return a text table of the classes, the most probable one first."""
    order = sorted(reading.probabilities, key=lambda name: -reading.probabilities[name])
    width = max(len("class"), *(len(name) for name in order))
    rows = [f"{name:<{width}}  {reading.probabilities[name]:>11.3f}  {reading.cosines[name]:>6.3f}" for name in order]
    return "\n".join([f"{'class':<{width}}  probability  cosine", *rows, ""])


def as_json(reading: "Reading") -> str:
    """Return the reading as JSON, heatmaps included."""
    return json.dumps(reading.record(), indent=1) + "\n"


def _named(text: str) -> Path:
    """Return a path that was named; an empty one is that of a shell's variable without a value, and no folder."""
    if not text:
        raise ArgumentTypeError("an empty name")
    return Path(text)


def add_options(options: ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    options.add_argument(
        "image", type=_named, nargs="+", help="DICOM, JPEG or PNG file, or a folder, which is read at any depth"
    )
    options.add_argument("--prompts", type=Path, required=True, help="YAML file of classes, or a prompt file")
    add_checkpoint(options)
    options.add_argument("--set", help="prompt set of a prompt file; default: its first")
    options.add_argument("--finding", help="finding of a prompt file that has several")
    options.add_argument("--heatmap", type=Path, help="PNG to write: the radiograph with the heatmap of one class")
    options.add_argument("--show", metavar="CLASS", help="class shown in the heatmap; default: the first")
    options.add_argument(
        "--reading",
        choices=["centred", "raw"],
        help="heatmaps less their mean over radiographs at each place, or cosines as they are; default: centred",
    )
    options.add_argument(
        "--json", action="store_true", help="print one radiograph's answer as JSON, with heatmaps on the patch grid"
    )
    options.add_argument(
        "--output", type=Path, metavar="FILE", help="file of the table: .csv, .json or .parquet; default: printed CSV"
    )
    options.add_argument("--device", choices=DEVICES, default="auto", help=DEVICE_HELP)
