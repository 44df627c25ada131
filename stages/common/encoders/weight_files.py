"""Names of the files of pre-trained weights that are read.

Of a folder these are the configuration, one file of tensors and one tokenizer.
"""

from pathlib import Path

from ..errors import InputError
from ..records import Count, Record

CONFIGURATION = "config.json"
RECORD = "weights.json"  # written by fetch_weights
TENSORS = ("model.safetensors", "pytorch_model.bin")  # the first that exists is read
TOKENIZERS = ("tokenizer.json", "vocab.txt")  # the first that exists is read


class WeightFile(Record):
    """One file of a weights folder."""

    sha256: str
    bytes: Count


class ConvertedFile(Record):
    """A torch file that was converted to safetensors."""

    file: str
    sha256: str


class WeightsRecord(Record):
    """Contents of weights.json: what lies in a folder of fetch_weights."""

    id: str
    revision: str | None  # null: files put there by hand
    license: str  # "unknown" where no model card states it
    files: dict[str, WeightFile]
    converted_from: ConvertedFile | None = None


def weight_files(source: Path) -> list[Path]:
    """Return the files to read: `source` itself if it is a file, else the folder's config.json, if any, and tensors."""
    source = Path(source)
    if source.is_file():
        return [source]
    tensors, configuration = _first_of(TENSORS, source), source / CONFIGURATION
    return [configuration, tensors] if configuration.is_file() else [tensors]


def tokenizer_file(source: Path) -> Path:
    """Return the tokenizer file of the folder `source`. Raises InputError where there is none."""
    return _first_of(TOKENIZERS, Path(source))


def _first_of(names: tuple[str, ...], folder: Path) -> Path:
    if not folder.is_dir():
        raise InputError(f"weights: no folder {folder}", remedy="correct the path, or put the weights there")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"weights: {folder} holds neither {' nor '.join(names)}", remedy="put one of them there")
