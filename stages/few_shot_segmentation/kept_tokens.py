"""Tokens of a frozen encoder, made once and kept for every look and every repetition of a job.

A frozen encoder gives an image the same tokens each time. Without them validation would encode its images anew after
every epoch, and each repetition its test images; their batches are always the same, so the bits are, too. Training
images are kept where nothing augments them: a step then reads tokens that were made in another batch, which may round
otherwise on some devices.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..common.encoders.settings import AugmentationSettings
from ..common.inference.encoding import Rows, computing_in, in_batches, input_batches
from .contract import AnyJobSettings
from .outlines import OutlinedImages
from .segmenters import FrozenSegmenter, Segmenter, Tokens

_MOST_BYTES = 2 * 2**30  # on the device that encodes; 3,566 images of 224 pixels by a ViT-B/16
_NO_CHANGE = AugmentationSettings(min_area=1, brightness=0, contrast=0)


class KeptTokens:
    """Keep what one encoder made of the parts of a job, up to a number of bytes; the rest is encoded each time."""

    def __init__(self, most: int = _MOST_BYTES) -> None:
        """Keep at most `most` bytes; 0 keeps nothing."""
        self._left = most
        self._batches: dict[OutlinedImages, list[Tokens]] = {}
        self._training: dict[OutlinedImages, Tokens] = {}

    def of_batches(
        self, segmenter: Segmenter, images: OutlinedImages, batches: Sequence[Rows], settings: AnyJobSettings
    ) -> Iterator[Tokens]:
        """Yield the tokens of the whole images of each batch of rows; `batches` are the same whenever `images` are."""
        device = next(segmenter.parameters()).device
        known = self._batches.setdefault(images, []) if isinstance(segmenter, FrozenSegmenter) else None
        first = len(known or [])
        yield from (known or [])[:first]
        pixels = input_batches(images.images, batches[first:], settings.input_size, device)
        for number, each in enumerate(pixels, first):
            with torch.inference_mode(), computing_in(settings.precision, device):
                tokens = segmenter.encode(each)
            if known is not None and len(known) == number and self._has_room(tokens):
                known.append(tokens)
            yield tokens

    def of_training(
        self,
        segmenter: Segmenter,
        images: OutlinedImages,
        settings: AnyJobSettings,
        pixels_of: Callable[[Rows], Float[Tensor, "batch size size"]],
    ) -> Tokens | None:
        """Return the tokens of all training images, or None where steps must encode them.

        That is where the encoder is trained, the images are augmented, or there is no room.
        """
        if images in self._training:
            return self._training[images]
        if not self._left or not isinstance(segmenter, FrozenSegmenter) or settings.augmentation != _NO_CHANGE:
            return None
        device = next(segmenter.parameters()).device
        parts: list[Tokens] = []
        for rows in in_batches(np.arange(len(images)), settings.batch_size):
            with torch.no_grad(), computing_in(settings.precision, device):
                parts.append(segmenter.encode(pixels_of(rows)))
            if len(parts) == 1 and not self._has_room(parts[0], len(images) / len(rows)):
                return None
        self._training[images] = [torch.cat(level) for level in zip(*parts, strict=True)]
        return self._training[images]

    def _has_room(self, tokens: Tokens, times: float = 1.0) -> bool:
        """Return whether `times` as many bytes as those of `tokens` have room, and take it."""
        needed = round(times * sum(level.nbytes for level in tokens))
        if needed > self._left:
            return False
        self._left -= needed
        return True
