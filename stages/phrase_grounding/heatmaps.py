"""Heatmaps of prompts and phrases (the paper's Fig. 3b) and the description of the integrity map (the paper's Fig. 3a).

A heatmap says how near every patch is to a sentence, on the patch grid or a finer one; stages/common/inference/
heatmaps.py has the ways of reading it. The description says whether the learned integrity map phi has larger values in
the lungs.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import product
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from ..common.data.prompts import PromptSet
from ..common.encoders.dual import Checkpoint, prompt_sentences, to_pixels
from ..common.encoders.settings import HeatmapReading
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
    """From the tokens of whole images and sentences to a map of each sentence on each image: a heatmap, or a probe.

    It is linear in the sentences, or the same for all; `reading` says on which grid, and what is subtracted.
    """

    @property
    def reading(self) -> HeatmapReading:
        """Return the way of reading."""
        ...

    def __call__(
        self,
        tokens: Float[torch.Tensor, "images patches width"],
        sentences: Float[torch.Tensor, "prompts embedding"],
    ) -> Float[torch.Tensor, "images prompts patches"]:
        """Return the map of every sentence, or sum of sentences, on every image."""
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
    prompt is embedded once, each image once for every grid on which some reader reads it.
    """
    kinds: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}  # of prompts, by what they affirm and deny
    asked = [[kinds.setdefault((tuple(each.positive), tuple(each.negative)), len(kinds)) for each in own]
             for own in prompts_of]  # fmt: skip
    directions = _directions(checkpoint, list(kinds), {reader.reading.denied for reader in readers})
    batches = in_batches(range(len(pixels)), _BATCH)

    def maps(shifts: int, places: Sequence[int]) -> Iterator[tuple[GridMaps, ...]]:
        tokens_of = token_batches(checkpoint.model, pixels.__getitem__, batches, precision, shifts=shifts)
        for numbers, tokens in zip(batches, tokens_of, strict=True):
            kinds_of = [[own[number] for number in numbers] for own in asked]
            used = sorted({kind for own in kinds_of for kind in own})
            read = [readers[place](tokens, directions[readers[place].reading.denied][used]) for place in places]
            rows, columns = range(len(numbers)), [[used.index(kind) for kind in own] for own in kinds_of]
            yield tuple(each[rows, own] for own in columns for each in read)

    found: list[dict[int, GridMaps]] = [{} for _ in prompts_of]
    for shifts in sorted({reader.reading.shifts for reader in readers}):
        places = [place for place, reader in enumerate(readers) if reader.reading.shifts == shifts]
        joined = [torch.cat(parts) for parts in zip(*copied_behind(maps(shifts, places)), strict=True)]
        for (own, place), each in zip(product(found, places), joined, strict=True):
            own[place] = each
    return [[own[place] for place in range(len(readers))] for own in found]


def _directions(
    checkpoint: Checkpoint, kinds: Sequence[tuple[tuple[str, ...], tuple[str, ...]]], shares: Collection[float]
) -> dict[float, Float[torch.Tensor, "kinds embedding"]]:
    """Return, by share, the mean sentence that each kind of prompts affirms less that share of the one it denies."""
    texts = list(dict.fromkeys(text for affirmed, denied in kinds
                               for text in (*affirmed, *(denied if any(shares) else ()))))  # fmt: skip
    sentences = torch.cat([prompt_sentences(checkpoint, texts[first : first + _BATCH])
                           for first in range(0, len(texts), _BATCH)])  # fmt: skip
    row = {text: place for place, text in enumerate(texts)}

    def mean(own: Sequence[str]) -> Float[torch.Tensor, "embedding"]:
        return sentences[[row[text] for text in own]].mean(dim=0)

    return {
        share: torch.stack([mean(affirmed) - share * mean(denied) if share and denied else mean(affirmed)
                            for affirmed, denied in kinds])
        for share in shares
    }  # fmt: skip


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
