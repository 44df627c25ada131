"""Read one radiograph with a chosen checkpoint: probabilities of classes in words, and where they were seen.

    python -m stages.select_checkpoint.predict IMAGE.dcm --prompts FILE --checkpoint FOLDER --heatmap out.png

FOLDER is the checkpoint of select_checkpoint, or data/checkpoint of its MLflow model. FILE is YAML: a mapping of each
class to its sentences, or a prompt file of zero_shot_classification (its first set, or the one that --set names; the
classes are then the finding and its absence). Probabilities compare the classes given; they are no calibrated risks.
"""

import json
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

import yaml

from ..common.command_line import refuse
from ..common.data.prompts import read_prompts
from ..common.errors import InputError
from ..common.inference.heatmap_picture import write_heatmap
from ..common.inference.model import RadiographModel, Reading, check_classes, read_file, squares_of_files


def main(arguments: Namespace) -> None:
    classes = read_classes(arguments.prompts, arguments.set)
    shown = arguments.show or next(iter(classes))
    if shown not in classes:
        raise InputError(f"--show {shown}: no such class", remedy=f"choose one of {', '.join(classes)}")
    model = RadiographModel(arguments.checkpoint)
    data = read_file(arguments.image, model.settings)
    [square] = squares_of_files([data], [str(arguments.image)], model.settings)
    reading = model.read(square, classes)
    if arguments.heatmap:
        write_heatmap(arguments.heatmap, square, reading.heatmaps[shown])
    sys.stdout.write(as_json(reading) if arguments.json else as_table(reading))
    if arguments.heatmap and not arguments.json:
        low, high = reading.heatmaps[shown].min(), reading.heatmaps[shown].max()
        print(f"\n{arguments.heatmap}: cosines of patches with {shown}, from {low:.3f} (clear) to {high:.3f} (bright)")


def read_classes(path: Path, chosen_set: str | None) -> dict[str, list[str]]:
    """Class -> sentences, from either form of file."""
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", remedy="name a file of prompts") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if isinstance(record, dict) and "sets" in record:
        prompts = read_prompts(path)
        sets = prompts.expanded()
        name = chosen_set or next(iter(sets))
        if name not in sets:
            raise InputError(f"{path}: no set {name}", remedy=f"choose one of {', '.join(sets)}")
        finding = prompts.finding.replace("_", " ")
        return check_classes({finding: sets[name].positive, f"no {finding}": sets[name].negative})
    if not isinstance(record, dict) or not all(
        isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in record.values()
    ):
        raise InputError(f"{path}: not a mapping of each class to a list of sentences, nor a prompt file with `sets`")
    return check_classes(record)


def as_table(reading: Reading) -> str:
    """The most probable class first."""
    order = sorted(reading.probabilities, key=lambda name: -reading.probabilities[name])
    width = max(len("class"), *(len(name) for name in order))
    rows = [f"{name:<{width}}  {reading.probabilities[name]:>11.3f}  {reading.cosines[name]:>6.3f}" for name in order]
    return "\n".join([f"{'class':<{width}}  probability  cosine", *rows, ""])


def as_json(reading: Reading) -> str:
    heatmaps = {name: heatmap.tolist() for name, heatmap in reading.heatmaps.items()}
    record = {"probabilities": reading.probabilities, "cosines": reading.cosines, "heatmaps": heatmaps,
              "content": reading.content}  # fmt: skip
    return json.dumps(record, indent=1) + "\n"


def parser() -> ArgumentParser:
    options = ArgumentParser(
        prog="python -m stages.select_checkpoint.predict",
        description=__doc__,
        formatter_class=RawDescriptionHelpFormatter,
    )
    options.add_argument("image", type=Path, help="DICOM, JPEG or PNG file")
    options.add_argument("--prompts", type=Path, required=True, help="YAML file of classes, or a prompt file")
    options.add_argument("--checkpoint", type=Path, required=True, help="checkpoint folder")
    options.add_argument("--set", help="set of a prompt file; default: its first")
    options.add_argument("--heatmap", type=Path, help="PNG to write: the radiograph with the heatmap of one class")
    options.add_argument("--show", metavar="CLASS", help="class of the heatmap; default: the first")
    options.add_argument("--json", action="store_true", help="print JSON, heatmaps on the patch grid included")
    return options


if __name__ == "__main__":
    try:
        main(parser().parse_args())
    except InputError as error:
        refuse(error)
