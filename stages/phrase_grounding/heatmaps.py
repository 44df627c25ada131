"""Heatmaps of prompts and phrases (the paper's Fig. 3b) and the description of the integrity map (the paper's Fig. 3a).

A heatmap says how near every patch is to a sentence, on the patch grid; stages/common/inference/heatmaps.py has the
ways of reading it. The description says whether the learned integrity map phi has larger values in the lungs.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from ..common.data.prompts import PromptSet
from ..common.encoders.dual import Checkpoint, prompt_sentences, to_pixels
from ..common.inference.encoding import copied_behind, in_batches, token_batches
from ..common.metrics.ranking import auc
from ..common.settings import Precision
from .contract import IntegrityMap
from .located_images import Located
from .pointing import Maps, hits

_BATCH = 64
GridMaps = Float[torch.Tensor, "_images _patches"]  # row-major on a grid; each pointer may have its own


@runtime_checkable  # isinstance asks for the names
class Reader(Protocol):
    """From the tokens of whole images and sentences to a map of each sentence on each image: a heatmap, or a probe."""

    @property
    def shifts(self) -> int:
        """Return how much finer the grid of the tokens must be than the model's own."""
        ...

    @property
    def denied(self) -> float:
        """Return the share of the map of denying prompts that is subtracted from that of affirming ones."""
        ...

    def __call__(
        self, tokens: Float[torch.Tensor, "images patches width"], sentences: Float[torch.Tensor, "prompts embedding"]
    ) -> Float[torch.Tensor, "images prompts patches"]:
        """Return the map of every sentence on every image."""
        ...


@torch.inference_mode()
def set_maps(
    checkpoint: Checkpoint,
    readers: Sequence[Reader],
    prompts_of: Sequence[Sequence[PromptSet]],
    pixels: UInt8[np.ndarray, "images size size"],
    precision: Precision = "fp32",
) -> list[list[GridMaps]]:
    """Return, set by set and reader by reader, the mean map of each image's own prompts (phrasings of one thing).

    `prompts_of` has, set by set, the prompts of every image; of those that deny, a reader's share is subtracted. Each
    prompt is embedded once, each image once for all readers of equally fine grids.
    """
    rows = {text: row for row, text in enumerate(dict.fromkeys(
        text for own in prompts_of for image in own for text in (*image.positive, *image.negative)))}  # fmt: skip
    texts = list(rows)
    sentences = torch.cat([prompt_sentences(checkpoint, texts[first : first + _BATCH])
                           for first in range(0, len(texts), _BATCH)])  # fmt: skip
    batches = in_batches(range(len(pixels)), _BATCH)

    def maps(shifts: int, used_by: Sequence[int]) -> Iterator[tuple[GridMaps, ...]]:
        tokens_of = token_batches(checkpoint.model, pixels.__getitem__, batches, precision, shifts=shifts)
        for numbers, tokens in zip(batches, tokens_of, strict=True):
            asked = [[own[number] for number in numbers] for own in prompts_of]
            used = sorted({rows[text] for own in asked for image in own for text in (*image.positive, *image.negative)})
            column = {texts[row]: place for place, row in enumerate(used)}
            read = [readers[place](tokens, sentences[used]) for place in used_by]
            yield tuple(
                torch.einsum("ip,ipn->in", _shares(own, column, readers[place].denied).to(tokens.device), each)
                for own in asked for place, each in zip(used_by, read, strict=True)
            )  # fmt: skip

    found: list[dict[int, GridMaps]] = [{} for _ in prompts_of]
    for shifts in sorted({reader.shifts for reader in readers}):
        places = [place for place, reader in enumerate(readers) if reader.shifts == shifts]
        joined = [torch.cat(parts) for parts in zip(*copied_behind(maps(shifts, places)), strict=True)]
        for (own, place), each in zip(product(found, places), joined, strict=True):
            own[place] = each
    return [[own[place] for place in range(len(readers))] for own in found]


def _shares(
    asked: Sequence[PromptSet], column: Mapping[str, int], denied: float
) -> Float[torch.Tensor, "images sentences"]:
    """Return the weights of sentences in each image's map: the mean of what affirms less a share of what denies."""
    shares = torch.zeros(len(asked), len(column))
    for image, own in enumerate(asked):
        for texts, weight in ((own.positive, 1.0), (own.negative, -denied)):
            for text in texts:
                shares[image, column[text]] += weight / len(texts)
    return shares


def on_pixels(maps: GridMaps, located: Located) -> Maps:
    """Return maps on a grid at the size of the stored images, bilinear."""
    return to_pixels(maps, located.regions.shape[-1]).numpy()


def grid_hits(maps: GridMaps, located: Located) -> Float[np.ndarray, "images"]:
    """Return 1 for each image in whose region the peak of its map on a grid lies, else 0."""
    return hits(on_pixels(maps, located), located.regions, located.content)


def describe(
    phi: Float[torch.Tensor, "patches"], lungs: Bool[np.ndarray, "images rows columns"] | None
) -> IntegrityMap:
    """Describe phi by its scale and its AUC against the mean lung mask (pixels that are lung in half of the images)."""
    lung_auc = None
    if lungs is not None and len(lungs):
        mean = lungs.mean(axis=0) >= 0.5
        pixels = to_pixels(phi.unsqueeze(0), mean.shape[0])[0].double().numpy().ravel()
        lung_auc = float(auc(pixels, mean.ravel().astype(int), np.ones((1, mean.size)))[0])
    values = phi.double().numpy()
    return IntegrityMap(
        values=values.tolist(),
        lung_auc=lung_auc,
        smallest=float(values.min()),
        largest=float(values.max()),
        standard_deviation=float(values.std()),
    )
