"""A trained model: embeddings of images and texts, classes in words, heatmaps of phrases."""

import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float

from ..common.data.paired_reports import fit_budget
from ..common.device import choose_device
from ..common.encoders.dual import prompt_sentences
from ..common.encoders.image import grid_of
from ..common.encoders.report_batches import SpecialTokens, pack_reports
from ..common.encoders.settings import READINGS, HeatmapKind
from ..common.errors import InputError, first_line
from ..common.inference.heatmaps import heatmap_reader
from ..common.inference.model import INFERENCE, RadiographModel, Reading
from ..common.radiographs.radiograph import SquareImage
from ..common.settings import Device
from ..common.yaml_files import read_mapping
from ..split_reports.headers import Language
from ..split_reports.sentences import fold, split_sentences
from .arguments import Classes, Count, Output, Source, Text, Texts, checked
from .heatmap_picture import write_heatmap
from .radiographs import Images, OneImage, read_radiographs

Item = TypeVar("Item")

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # models:/name/1, runs:/id/mlflow_model, s3://bucket/model
_BATCH = 32  # images or texts that the encoder sees at once


@dataclass(frozen=True)
class Heatmap:
    """Hold how near a radiograph's patches are to a phrase."""

    phrase: str
    values: Float[np.ndarray, "grid grid"]  # of patches, row-major over the square
    radiograph: SquareImage

    @checked
    def write(self, path: Output) -> None:
        """Write a PNG of the radiograph without its padding: alone, and overlaid with the values on their own range."""
        write_heatmap(Path(path), self.radiograph, self.values, self.phrase)


class Model:
    """A checkpoint written by select_checkpoint. Embeddings are unit vectors, so their products are cosines."""

    def __init__(self, model: RadiographModel) -> None:
        self._model, self._encoder = model, model.checkpoint.model
        self.size = model.settings.size  # side of the squares that it reads, pixels
        self.width = self._encoder.settings.embedding_width  # of an embedding

    @checked
    def read_radiograph(self, source: OneImage) -> SquareImage:
        """Return `mlip.read_radiograph` at this model's size."""
        [square] = read_radiographs([source], self.size)
        return square

    @checked
    def embed_images(self, images: Images, children: Count = 1) -> Float[np.ndarray, "images embedding"]:
        """Embed radiographs (paths, bytes, arrays or squares of `read_radiograph`), read by `children` processes."""
        return self._joined(map(self._embed_squares, _batches(read_radiographs(images, self.size, children))))

    @checked
    def embed_texts(self, texts: Texts, language: Language = "english") -> Float[np.ndarray, "texts embedding"]:
        """Embed prompts or reports, which are split into sentences; text beyond `max_tokens` is left out.

        For a report, pass only the text of its wanted sections (`split_report`), as in training. `language` is that of
        its abbreviations.
        """
        return self._joined(self._embed_texts(batch, language) for batch in _batches(texts))

    @checked
    def classify(self, image: OneImage, classes: Classes, reading: HeatmapKind = "centred") -> Reading:
        """Compare a radiograph with classes in words: at least two names, each with one or several sentences.

        Probabilities are the softmax of cosines over these classes: they rank and compare, but are not calibrated
        risks. `reading` says how heatmaps are read, as in `heatmap`.
        """
        return self._model.read(self.read_radiograph(image), classes, reading)

    @checked
    @torch.inference_mode()
    def heatmap(self, image: OneImage, phrase: Text, reading: HeatmapKind = "centred") -> Heatmap:
        """Return how near each patch is to a phrase.

        `reading` is centred (the patch's cosine less that of the mean patch of radiographs at the same place) or raw
        (the cosine: most of what it shows is a pattern by place that all radiographs share).
        """
        square = self.read_radiograph(image)
        sentences = prompt_sentences(self._model.checkpoint, [phrase])
        reader = heatmap_reader(self._model.checkpoint, READINGS[reading])
        values = reader(self._patch_tokens([square]), sentences)[0, 0]
        side = grid_of(len(values))
        return Heatmap(phrase, values.reshape(side, side).cpu().numpy(), square)

    def _patch_tokens(self, squares: Sequence[SquareImage]) -> Float[torch.Tensor, "images tokens width"]:
        stored = torch.from_numpy(np.stack([square.pixels for square in squares])).to(self._model.device)
        return self._encoder.patch_tokens(self._encoder.input_of(stored))

    @torch.inference_mode()
    def _embed_squares(self, squares: Sequence[SquareImage]) -> Float[torch.Tensor, "images embedding"]:
        return self._encoder.embed_global(self._patch_tokens(squares))

    @torch.inference_mode()
    def _embed_texts(self, texts: Sequence[str], language: Language) -> Float[torch.Tensor, "texts embedding"]:
        tokenizer, settings = self._model.checkpoint.tokenizer, self._encoder.settings.text
        reports = []
        for text in texts:
            sentences = [fold(text[start:end]) for start, end in split_sentences(text, language=language)]
            pieces = [tokenizer.encode(sentence, add_special_tokens=False).ids for sentence in sentences]
            if not any(pieces):
                raise InputError(f"text {text!r} has no word pieces", "write a sentence")
            reports.append(fit_budget(list(filter(None, pieces)), settings.max_tokens, settings.max_sentences)[0])
        batch = pack_reports(reports, SpecialTokens.of(tokenizer), settings.context).to(self._model.device)
        return self._encoder.embed_text(batch).report

    def _joined(self, batches: Iterator[torch.Tensor]) -> Float[np.ndarray, "rows embedding"]:
        return np.concatenate([np.empty((0, self.width), np.float32), *(batch.float().cpu() for batch in batches)])


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    return iter(lambda: list(islice(iterator, _BATCH)), [])


@checked
def load(source: Source, device: Device = "auto") -> Model:
    """Load a model onto `device`: auto (the GPU where there is one), cuda or cpu.

    `source` is a checkpoint folder of select_checkpoint, the .zip of a release, which holds one, the mlflow_model
    folder, or an MLflow URI of the latter (models:/NAME/VERSION, models:/NAME@current, runs:/ID/mlflow_model). Nothing
    is unpickled, and no code of the source runs. Raises InputError where there is no such model, or a file of it is
    damaged.
    """
    path = Path(source)
    if path.suffix == ".zip" and path.is_file():
        with TemporaryDirectory() as folder:
            return Model(RadiographModel(_unpacked(path, Path(folder)), choose_device(device)))
    return Model(RadiographModel(checkpoint_folder(source), choose_device(device)))


def _unpacked(archive: Path, folder: Path) -> Path:
    """Return the folder of the weights of a release, unpacked below `folder`.

    Its members are stored uncompressed, so they cannot be larger than the archive; zipfile keeps them below `folder`.
    """
    remedy = "name the .zip of a release, or unpack it and name its folder checkpoint"
    try:
        with zipfile.ZipFile(archive) as file:
            members = [each for each in file.infolist() if "checkpoint" in Path(each.filename).parts[:-1]]
            if any(each.compress_type != zipfile.ZIP_STORED or each.flag_bits & 1 for each in members):
                raise InputError(f"{archive}: its members are compressed or encrypted", remedy)
            file.extractall(folder, members)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{archive}: cannot be read ({first_line(error)})", remedy) from None
    found = next(folder.rglob(INFERENCE), None)
    if found is None:
        raise InputError(f"{archive}: not a model: checkpoint/{INFERENCE} is missing", remedy)
    return found.parent


def checkpoint_folder(source: str | os.PathLike[str]) -> Path:
    """Return the folder of the weights; an MLflow URI is downloaded first.

    Raises InputError where there is no model.
    """
    folder = _download(str(source)) if _URI.match(str(source)) else Path(source)
    remedy = "name the checkpoint or mlflow_model folder of select_checkpoint, or its MLflow URI"
    try:
        description = folder / "MLmodel"
        if description.is_file():
            folder = folder / _weights_folder(description)
        if not (folder / INFERENCE).is_file():
            raise InputError(f"{source}: not a model: {INFERENCE} is missing", remedy)
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror})", remedy) from None
    return folder


def _weights_folder(description: Path) -> str:
    """Return the folder of the weights that an MLmodel file names. Raises InputError where it names none."""
    value: object = read_mapping(description, "export the model again")
    for key in ("flavors", "python_function", "data"):
        value = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(value, str):
        raise InputError(f"{description}: flavors.python_function.data names no folder", "export the model again")
    return value


def _download(uri: str) -> Path:
    try:
        from mlflow.artifacts import download_artifacts
    except ImportError:
        raise InputError(f"{uri}: MLflow is not installed", "pip install 'mlip[mlflow]'") from None
    try:
        return Path(download_artifacts(uri))
    except Exception as error:  # stores, registries and their clients raise what they like
        what = f"{uri}: cannot be downloaded ({type(error).__name__}: {first_line(error)})"
        raise InputError(what, "correct the URI, or see MLFLOW_TRACKING_URI") from None
