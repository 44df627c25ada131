"""Heatmaps of prompts (the paper's Fig. 3b) and the description of the integrity map (the paper's Fig. 3a).

A heatmap is the cosine of every patch with a prompt, bilinear to the image. The description says whether the learned
integrity map phi has larger values in the lungs.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from ..common.data.image_store import ImageStore
from ..common.encoders.dual import Checkpoint, patch_cosines, prompt_sentences, to_pixels
from ..common.inference.encoding import in_batches, joined, token_batches
from ..common.metrics.ranking import auc
from ..common.settings import Precision
from .contract import IntegrityMap

_BATCH = 64


class PromptCosines:
    """Cosines of every patch of some images with every prompt; each image and each prompt is embedded once."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        prompts: Sequence[str],
        images: UInt8[np.ndarray, "images size size"],
        precision: Precision = "fp32",
    ) -> None:
        self._place = {prompt: place for place, prompt in enumerate(dict.fromkeys(prompts))}
        self._size = images.shape[-1]
        self.values = _cosines(checkpoint, list(self._place), images, precision)

    def maps(self, prompts_of: Sequence[Sequence[str]]) -> Float[np.ndarray, "images size size"]:
        """Return the mean map of each image's prompts (several phrasings of one thing), at the stored image's size."""
        chosen = [
            cosines[[self._place[prompt] for prompt in prompts]].mean(dim=0)
            for cosines, prompts in zip(self.values, prompts_of, strict=True)
        ]
        return to_pixels(torch.stack(chosen), self._size).numpy()


@torch.inference_mode()
def _cosines(
    checkpoint: Checkpoint, prompts: list[str], images: UInt8[np.ndarray, "images size size"], precision: Precision
) -> Float[torch.Tensor, "images prompts patches"]:
    model, sentences = checkpoint.model, prompt_sentences(checkpoint, prompts)
    tokens = token_batches(model, images.__getitem__, in_batches(range(len(images)), _BATCH), precision)
    return joined(patch_cosines(model, each, sentences) for each in tokens)


@torch.inference_mode()
def pair_cosines(
    checkpoint: Checkpoint,
    store: ImageStore,
    images: Sequence[str],
    phrases: Sequence[str],
    precision: Precision = "fp32",
) -> Float[torch.Tensor, "pairs patches"]:
    """Return the cosine of every patch of each image with its own phrase; an image or phrase is embedded once."""
    model, texts = checkpoint.model, list(dict.fromkeys(phrases))
    parts = [prompt_sentences(checkpoint, texts[first : first + _BATCH]) for first in range(0, len(texts), _BATCH)]
    sentence_of = dict(zip(texts, torch.cat(parts), strict=True))
    pairs_of: dict[str, list[int]] = {}
    for pair, image in enumerate(images):
        pairs_of.setdefault(image, []).append(pair)
    names, rows = list(pairs_of), np.array([store.row_of(name) for name in pairs_of])
    batches = in_batches(range(len(names)), _BATCH)

    def own_cosines(
        numbers: Int[np.ndarray, "images"], tokens: Float[torch.Tensor, "images patches width"]
    ) -> Float[torch.Tensor, "pairs patches"]:
        patches = model.embed_patches(tokens)
        return torch.stack([own @ sentence_of[phrases[pair]] for number, own in zip(numbers, patches, strict=True)
                            for pair in pairs_of[names[number]]])  # fmt: skip

    tokens_of = token_batches(model, lambda numbers: store.gather(rows[numbers]), batches, precision)
    found = joined(map(own_cosines, batches, tokens_of))
    order = torch.tensor([pair for pairs in pairs_of.values() for pair in pairs])
    return found[order.argsort()]


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
