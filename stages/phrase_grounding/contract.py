"""Settings of phrase grounding."""

from pydantic import Field

from ..common.settings import Settings


class PhraseGroundingSettings(Settings):
    prompts: str = Field(description="prompt file, relative to the repository; its affirming prompts are pointed at")
    draws: int = Field(1000, gt=0, description="bootstrap draws of the 95 % intervals")
    seed: int = Field(0, description="of the bootstrap and of the choice of samples")
    publish_samples: bool = Field(False, description="write sample radiographs with their heatmaps for the report")
    samples: int = Field(4, ge=0, description="how many; drawn by seed among test positives, not chosen by eye")
