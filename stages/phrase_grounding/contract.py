"""Settings of phrase grounding."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from ..common.contract import Job, product, source
from ..common.settings import Settings


class PhraseGroundingSettings(Settings):
    prompts: str = Field(description="prompt file, relative to the repository; its affirming prompts are pointed at")
    draws: int = Field(1000, gt=0, description="bootstrap draws of the 95 % intervals")
    seed: int = Field(0, description="of the bootstrap and of the choice of samples")
    publish_samples: bool = Field(False, description="write sample radiographs with their heatmaps for the report")
    samples: int = Field(4, ge=0, description="how many; drawn by seed among test positives, not chosen by eye")


@dataclass(frozen=True, kw_only=True)
class PhraseGroundingJob(Job):
    """Point at a finding with prompts, on one data set with one variant, and describe the integrity map."""

    stage = "phrase_grounding"
    place = "{variant}/{dataset}"
    over = "evaluation"

    settings: PhraseGroundingSettings
    checkpoint: Path = source("select_checkpoint", "checkpoint", stands="model.safetensors")
    images: Path = source("dicom_to_arrow", "manifest.json")
    labels: Path = source("label_images", "labels.arrow")
    audit: Path = source("audit_splits", "audit.json")
    values: Path = product("values.arrow", table="GROUNDING_VALUES", summary=True)
    samples: Path = product(
        "samples.arrow", table="samples", tracked=False, summary=True, help="empty unless publish_samples"
    )
    result: Path = product("result.json", publish=True, summary=True, help="pointing game beside its baselines")
