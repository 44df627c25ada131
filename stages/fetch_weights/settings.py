"""Settings of fetch_weights: which model of the hub."""

from pydantic import Field

from stages.common.settings import Settings
from stages.fetch_weights.sources import HUB_ID


class FetchWeightsSettings(Settings):
    id: str = Field(
        pattern=HUB_ID.pattern, description="of a model on the Hugging Face hub, e.g. timm/vit_base_patch16_224.mae"
    )
