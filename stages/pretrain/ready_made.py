"""A variant that is a ready-made image encoder: nothing is pre-trained, and there is no text to compare with.

    variants:
      mrm: {encoder: {source: mrm, weights: /weights/MRM.pth}}
      imagenet: {encoder: {source: timm, weights: vit_base_patch16_224.augreg_in21k}}

It is treated like `random`: a pre-training of 0 epochs loads the weights into our encoder and reports what was used,
missing and unexpected. Everything that needs text (zero-shot, grounding, retrieval) leaves it out, and says so.
"""

from typing import Any, Literal

from pydantic import Field

from ..common.settings import Settings
from .published_encoders import SOURCES


class ReadyMadeEncoder(Settings):
    """A published image encoder that takes the place of a pre-trained one."""

    source: Literal["timm", "mae", "mrm", "maco", "mgca"] = Field(
        "timm", description="origin of the file: determines tensor names and input normalisation"
    )
    weights: str = Field(min_length=1, description="hub id, timm name with its tag, or local folder or file")
    pooling: Literal["mean", "cls"] | None = Field(
        None,
        description="image feature for few-shot classification: mean of patch tokens, or [CLS]; null: that "
        "of the source",
    )
    architecture: str | None = Field(None, description="timm name of the VisionTransformer; null: that of the source")
    input_size: int | None = Field(None, gt=0, description="pixels; null: that of the source")
    patch_size: int | None = Field(None, gt=0, description="pixels; null: that of the source")

    def pretrain_block(self) -> dict[str, Any]:
        """Return the overrides of `pretrain` that make this encoder the variant."""
        published = SOURCES[self.source]
        image: dict[str, Any] = {"source": self.source, "weights": self.weights}
        for name in ("pooling", "architecture", "input_size", "patch_size"):
            image[name] = getattr(self, name) or getattr(published, name)
        if published.normalisation is not None:
            means, deviations = published.normalisation
            if len(set(means)) == len(set(deviations)) == 1:  # one grey channel copied, as in the authors' fine-tuning
                image |= {"mean": means[0], "standard_deviation": deviations[0]}
        return {
            "normalisation": "given",
            "mask_ratio": 0,
            "model": {"image": image, "text": {"weights": None, "width": 64, "depth": 1, "heads": 1}},
            "contrastive": {"integrity": "none"},
            "local": {"weight": 0},
            "reconstruction": {"weight": 0},
            "optimisation": {"epochs": 0, "candidates": 1},
        }


class ReadyMadeVariant(Settings):
    """A variant that is a ready-made encoder."""

    encoder: ReadyMadeEncoder
