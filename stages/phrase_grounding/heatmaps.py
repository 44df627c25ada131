"""Heatmaps of prompts (the paper's Fig. 3b) and the description of the integrity map (the paper's Fig. 3a).

A heatmap is the cosine of every patch with a prompt, bilinear to the image. The description says whether the learned
integrity map phi has larger values in the lungs.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from ..common.data.image_store import ImageStore
from ..common.encoders.dual import Checkpoint, patch_cosines, prompt_sentences, to_pixels
from ..common.metrics.ranking import auc
from .contract import IntegrityMap

_BATCH = 64


class PromptCosines:
    """Cosines of every patch of some images with every prompt; each image and each prompt is embedded once."""

    def __init__(
        self, checkpoint: Checkpoint, prompts: Sequence[str], images: UInt8[np.ndarray, "images size size"]
    ) -> None:
        self._place = {prompt: place for place, prompt in enumerate(dict.fromkeys(prompts))}
        self._size = images.shape[-1]
        self.values = _cosines(checkpoint, list(self._place), images)

    def maps(self, prompts_of: Sequence[Sequence[str]]) -> Float[np.ndarray, "images size size"]:
        """Return the mean map of each image's prompts (several phrasings of one thing), at the stored image's size."""
        chosen = [
            cosines[[self._place[prompt] for prompt in prompts]].mean(dim=0)
            for cosines, prompts in zip(self.values, prompts_of, strict=True)
        ]
        return to_pixels(torch.stack(chosen), self._size).numpy()


@torch.inference_mode()
def _cosines(
    checkpoint: Checkpoint, prompts: list[str], images: UInt8[np.ndarray, "images size size"]
) -> Float[torch.Tensor, "images prompts patches"]:
    model = checkpoint.model
    sentences = prompt_sentences(checkpoint, prompts)
    parts = []
    for first in range(0, len(images), _BATCH):
        tokens = model.patch_tokens(model.input_of(images[first : first + _BATCH]))
        parts.append(patch_cosines(model, tokens, sentences))
    return torch.cat(parts)


@torch.inference_mode()
def pair_cosines(
    checkpoint: Checkpoint, store: ImageStore, images: Sequence[str], phrases: Sequence[str]
) -> Float[torch.Tensor, "pairs patches"]:
    """Return the cosine of every patch of each image with its own phrase; an image or phrase is embedded once."""
    model, texts = checkpoint.model, list(dict.fromkeys(phrases))
    parts = [prompt_sentences(checkpoint, texts[first : first + _BATCH]) for first in range(0, len(texts), _BATCH)]
    sentence_of = dict(zip(texts, torch.cat(parts), strict=True))
    pairs_of: dict[str, list[int]] = {}
    for pair, image in enumerate(images):
        pairs_of.setdefault(image, []).append(pair)
    found: list[torch.Tensor] = [torch.empty(0)] * len(images)
    for first in range(0, len(pairs_of), _BATCH):
        names = list(pairs_of)[first : first + _BATCH]
        pixels = store.gather(np.array([store.row_of(name) for name in names]))
        patches = model.embed_patches(model.patch_tokens(model.input_of(pixels)))
        for name, own in zip(names, patches, strict=True):
            for pair in pairs_of[name]:
                found[pair] = own @ sentence_of[phrases[pair]]
    return torch.stack(found)


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
