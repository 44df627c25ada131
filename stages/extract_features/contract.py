"""Settings of feature extraction."""

from pydantic import Field

from ..common.settings import Settings


class ExtractFeaturesSettings(Settings):
    batch_size: int = Field(128, gt=0, description="images embedded at once")
