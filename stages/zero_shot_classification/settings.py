"""Settings of zero-shot classification."""

from pydantic import Field

from stages.common.settings import Settings


class ZeroShotSettings(Settings):
    prompts: str = Field(description="prompt file, relative to the repository; its sets compete on validation")
    draws: int = Field(1000, gt=0, description="bootstrap draws of the 95 % intervals")
    seed: int = Field(0, description="of the bootstrap")
