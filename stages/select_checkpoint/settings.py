"""Settings of checkpoint selection."""

from pydantic import Field

from stages.common.settings import Settings


class SelectCheckpointSettings(Settings):
    batch_size: int = Field(128, gt=0, description="images or reports embedded at once")
    max_pairs: int = Field(2048, gt=1, description="validation pairs that are ranked, the first by study id")
