"""A trained model: embeddings of images and texts, classes in words, heatmaps of phrases."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch
from jaxtyping import Float

from ..common.data.paired_reports import fit_budget
from ..common.device import choose_device
from ..common.encoders.dual import mean_embeddings, prompt_sentences
from ..common.encoders.image import grid_of
from ..common.encoders.report_batches import SpecialTokens, pack_reports
from ..common.encoders.settings import READINGS, HeatmapKind
from ..common.errors import InputError
from ..common.inference.heatmaps import heatmap_reader
from ..common.inference.model import RadiographModel, Reading
from ..common.radiographs.radiograph import SquareImage
from ..common.settings import Device
from ..split_reports.headers import Language
from ..split_reports.sentences import fold, split_sentences
from .arguments import Classes, Count, Output, Questions, Source, Text, Texts, checked
from .checkpoints import opened_checkpoint
from .heatmap_picture import write_heatmap
from .radiographs import Images, OneImage, read_or_refuse, read_radiographs

Item = TypeVar("Item")

_BATCH = 32  # images or texts that the encoder sees at once


@dataclass(frozen=True)
class Answer:
    """Hold what the model says of one of many radiographs, or why it could not be read: then there are no figures."""

    image: str  # its path; of an image in memory its place, "image 3"
    probabilities: dict[str, float]  # by class, as in `Reading`; those of each question add up to 1
    cosines: dict[str, float]
    error: str = ""


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
    def classify_many(self, images: Images, classes: Questions, children: Count = 1) -> Iterator[Answer]:
        """Yield an answer for each radiograph in order, as soon as it is known; files are read by `children` processes.

        `classes` is a question as in `classify`, or a list of questions, each with probabilities of its own. A
        radiograph that cannot be read gets an answer with the reason. There are no heatmaps.
        """
        questions = cast(list[dict[str, list[str]]], classes)  # as the check of the arguments left it
        names = [name for question in questions for name in question]
        if len(set(names)) < len(names):
            raise InputError("prompts: a class stands in two questions", "rename it in one")
        sentences = [each for question in questions for each in question.values()]
        wanted = mean_embeddings(self._model.checkpoint, sentences)
        sizes = [len(each) for each in questions]
        return self._answers(read_or_refuse(images, self.size, children), names, sizes, wanted)

    @torch.inference_mode()
    def _answers(
        self,
        squares: Iterator[tuple[str, SquareImage | InputError]],
        names: Sequence[str],
        sizes: Sequence[int],
        wanted: Float[torch.Tensor, "classes embedding"],
    ) -> Iterator[Answer]:
        """Yield answers; `sizes` says how many of the classes belong to each question."""
        for batch in _batches(squares):
            readable = [each for _, each in batch if isinstance(each, SquareImage)]
            cosines = iter((self._embed_squares(readable) @ wanted.T).float().cpu() if readable else ())
            for name, square in batch:
                if isinstance(square, InputError):
                    yield Answer(name, {}, {}, str(square).removeprefix(f"{name}: "))
                    continue
                own = next(cosines)
                shares = torch.cat([each.softmax(dim=0) for each in (own / self._model.temperature).split(list(sizes))])
                yield Answer(name, dict(zip(names, shares.tolist(), strict=True)),
                             dict(zip(names, own.tolist(), strict=True)))  # fmt: skip

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

    `source` is a checkpoint folder of select_checkpoint, its mlflow_model folder, a folder above that holds one such
    model (that of a variant, of the results or of a run), the .zip of a release, or an MLflow URI
    (models:/NAME/VERSION, models:/NAME@current, runs:/ID/model). Nothing is unpickled, and no code of the source runs.
    Raises InputError where there is no such model, or a file of it is damaged.
    """
    with opened_checkpoint(source) as folder:
        return Model(RadiographModel(folder, choose_device(device)))
