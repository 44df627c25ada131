"""What extract_features reads and writes."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from ..common.contract import Job, device_option, product, source
from ..common.encoders.settings import EncodingSettings


class ExtractFeaturesSettings(EncodingSettings):
    """Settings of the embedding."""

    batch_size: int = Field(128, gt=0, description="images embedded at once")


@dataclass(frozen=True, kw_only=True)
class ExtractFeaturesJob(Job):
    """Embed the images of one data set with one variant, once, for every evaluation that needs no gradient."""

    stage = "extract_features"
    place = "{variant}/{dataset}"
    over = "evaluation"

    settings: ExtractFeaturesSettings
    checkpoint: Path = source("select_checkpoint", "checkpoint", stands="model.safetensors")
    images: Path = source("dicom_to_arrow", "manifest.json")
    features: Path = product("features.arrow", table="features")
    device: str = device_option()
