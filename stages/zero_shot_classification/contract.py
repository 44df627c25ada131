"""Settings of zero-shot classification."""

from typing import Literal

from pydantic import Field

from ..common.settings import Settings


class ZeroShotSettings(Settings):
    prompts: str = Field(description="prompt file, relative to the repository; its sets compete on validation")
    score: Literal["global", "local"] = Field(
        "global",
        description="global: cosine of the whole image with the prompts, from extract_features; local: mean of the "
        "largest cosines of its patches, which are embedded anew",
    )
    patch_share: float = Field(
        0.05,
        gt=0,
        le=1,
        description="share of the patch grid whose largest cosines the local score averages; our "
        "choice: about 10 of 196 patches; so small that one patch is left: the maximum",
    )
    batch_size: int = Field(64, gt=0, description="images whose patches are embedded at once for the local score")
    draws: int = Field(1000, gt=0, description="bootstrap draws of the 95 % intervals")
    seed: int = Field(0, description="of the bootstrap")
