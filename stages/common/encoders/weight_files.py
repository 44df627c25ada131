"""Which files of pre-trained weights are read: of a folder the configuration, one file of tensors, one tokenizer."""

from pathlib import Path

from ..errors import InputError
from ..records import Count, Record

CONFIGURATION = "config.json"
RECORD = "weights.json"  # of fetch_weights
TENSORS = ("model.safetensors", "pytorch_model.bin")  # the first that is there is read
TOKENIZERS = ("tokenizer.json", "vocab.txt")  # as well


class WeightFile(Record):
    sha256: str
    bytes: Count


class ConvertedFile(Record):
    """A torch file that was written anew as safetensors."""

    file: str
    sha256: str


class WeightsRecord(Record):
    """weights.json: what lies in a folder of fetch_weights."""

    id: str
    revision: str | None  # null: files put there by hand
    license: str  # "unknown" where no model card says it
    files: dict[str, WeightFile]
    converted_from: ConvertedFile | None = None


def weight_files(source: Path) -> list[Path]:
    """`source` itself if it is a file; of a folder config.json (where there is one), then the file of tensors."""
    source = Path(source)
    if source.is_file():
        return [source]
    tensors, configuration = _first_of(TENSORS, source), source / CONFIGURATION
    return [configuration, tensors] if configuration.is_file() else [tensors]


def tokenizer_file(source: Path) -> Path:
    """Return the tokenizer of the folder `source`."""
    return _first_of(TOKENIZERS, Path(source))


def _first_of(names: tuple[str, ...], folder: Path) -> Path:
    if not folder.is_dir():
        raise InputError(f"weights: no folder {folder}", remedy="correct the path, or put the weights there")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"weights: {folder} holds neither {' nor '.join(names)}", remedy="put one of them there")
