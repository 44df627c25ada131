"""Heatmaps of prompts and phrases (the paper's Fig. 3b) and the description of the integrity map (the paper's Fig. 3a).

A heatmap says how near every patch is to a sentence, on the patch grid; stages/common/inference/heatmaps.py has the
ways of reading it. The description says whether the learned integrity map phi has larger values in the lungs.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from ..common.encoders.dual import Checkpoint, prompt_sentences, to_pixels
from ..common.inference.encoding import copied_behind, in_batches, token_batches
from ..common.metrics.ranking import auc
from ..common.settings import Precision
from .contract import IntegrityMap
from .located_images import Located
from .pointing import Maps, hits

_BATCH = 64
GridMaps = Float[torch.Tensor, "_images _patches"]  # row-major on a grid; brightness has another one than heatmaps
# From the tokens of whole images and sentences to a map of each sentence on each image: `HeatmapReader`, or a probe.
Reader = Callable[
    [Float[torch.Tensor, "images patches width"], Float[torch.Tensor, "sentences embedding"]],
    Float[torch.Tensor, "images sentences patches"],
]


@torch.inference_mode()
def set_maps(
    checkpoint: Checkpoint,
    readers: Sequence[Reader],
    prompts_of: Sequence[Sequence[Sequence[str]]],
    pixels: UInt8[np.ndarray, "images size size"],
    precision: Precision = "fp32",
) -> list[list[GridMaps]]:
    """Return, set by set and reader by reader, the mean map of each image's own prompts (phrasings of one thing).

    `prompts_of` has, set by set, the prompts of every image. Each image and each prompt is embedded once.
    """
    rows = {text: row for row, text in enumerate(dict.fromkeys(text for own in prompts_of for image in own
                                                               for text in image))}  # fmt: skip
    texts = list(rows)
    sentences = torch.cat([prompt_sentences(checkpoint, texts[first : first + _BATCH])
                           for first in range(0, len(texts), _BATCH)])  # fmt: skip
    batches = in_batches(range(len(pixels)), _BATCH)

    def maps() -> Iterator[tuple[GridMaps, ...]]:
        tokens_of = token_batches(checkpoint.model, pixels.__getitem__, batches, precision)
        for numbers, tokens in zip(batches, tokens_of, strict=True):
            asked = [[[rows[text] for text in own[number]] for number in numbers] for own in prompts_of]
            used = sorted({row for own in asked for image in own for row in image})
            shares = [_shares(own, used).to(tokens.device) for own in asked]
            read = [reader(tokens, sentences[used]) for reader in readers]
            yield tuple(torch.einsum("ip,ipn->in", own, each) for own in shares for each in read)

    found = [torch.cat(parts) for parts in zip(*copied_behind(maps()), strict=True)]
    return [found[first : first + len(readers)] for first in range(0, len(found), len(readers))]


def _shares(asked: Sequence[Sequence[int]], used: Sequence[int]) -> Float[torch.Tensor, "images used"]:
    """Return the weight of each of the `used` sentences in the mean of each image's own ones."""
    shares = torch.zeros(len(asked), len(used))
    column = {row: place for place, row in enumerate(used)}
    for image, own in enumerate(asked):
        for row in own:
            shares[image, column[row]] += 1 / len(own)
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
