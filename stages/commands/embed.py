"""Embed radiographs or texts with a trained model, as unit vectors in a Parquet file.

    mlip embed --checkpoint FOLDER --images *.dcm --output images.parquet
    mlip embed --checkpoint FOLDER --texts prompts.txt --output texts.parquet

Columns: `image` (the path) or `text`, and `embedding` (float32, a list of fixed length). The products of embeddings of
images and texts are cosines. FOLDER may also be an mlflow_model folder or an MLflow URI.
"""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from ..common.errors import InputError, reason_of
from ..common.settings import DEVICE_HELP, DEVICES
from .options import add_checkpoint


def main(arguments: Namespace) -> None:
    """Embed the images or texts and write the Parquet file."""
    import pyarrow as pa  # imported here, because they take seconds and --help does not need them
    from pyarrow import parquet

    from ..api.arguments import check_output
    from ..api.models import load
    from ..common.files.atomic_files import atomic_path

    check_output(arguments.output)
    if (texts := read_lines(arguments.texts) if arguments.texts else None) is None:
        check_files(arguments.images)
    model = load(arguments.checkpoint, arguments.device)
    if texts is None:
        name, items, embeddings = "image", arguments.images, model.embed_images(arguments.images, os.cpu_count() or 1)
    else:
        name, items, embeddings = "text", texts, model.embed_texts(texts)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), model.width)
    with atomic_path(arguments.output) as temporary:
        parquet.write_table(pa.table({name: pa.array(items, pa.string()), "embedding": vectors}), temporary)


def check_files(images: Sequence[str]) -> None:
    """Raise InputError for a file that is not there, or whose name no table can hold: before the work, not after."""
    for image in images:
        try:
            image.encode()
            Path(image).stat()
        except UnicodeEncodeError:
            raise InputError(f"{image}: its name is not UTF-8", "rename it") from None
        except (OSError, ValueError) as error:
            what = f"{image}: cannot be read ({reason_of(error)})"
            raise InputError(what, "name a DICOM, JPEG or PNG file") from None


def read_lines(path: Path) -> list[str]:
    """Return the non-blank lines of a UTF-8 file, stripped.

    Raises InputError where it cannot be read, or has none.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8", "store it as UTF-8 text") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)})", "name a file with one text per line") from None
    if not (texts := [line.strip() for line in lines if line.strip()]):
        raise InputError(f"{path}: no text in it", "write one text per line")
    return texts


def add_options(options: ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    add_checkpoint(options)
    kind = options.add_mutually_exclusive_group(required=True)
    kind.add_argument("--images", nargs="+", metavar="FILE", help="DICOM, JPEG or PNG files")
    kind.add_argument("--texts", type=Path, metavar="FILE", help="UTF-8 file with one prompt or report per line")
    options.add_argument("--output", type=Path, required=True, help="Parquet file to write")
    options.add_argument("--device", choices=DEVICES, default="auto", help=DEVICE_HELP)
