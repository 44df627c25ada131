"""Settings of pair_images_reports."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from ..common.contract import Job, product, source
from ..common.data.patient_split import PatientSplit
from ..common.settings import Settings

ImagesPerStudy = Literal["all", "one"]


class PairImagesReportsSettings(Settings):
    """The block `pair_images_reports` of config.yaml."""

    patient_split: PatientSplit = Field(
        default_factory=PatientSplit, description="shares of patients for validation and test, and the seed"
    )
    images_per_study: ImagesPerStudy = Field(
        "all",
        description="all: one pair an image, of which pre-training draws one a study anew in every epoch; one: of a "
        "study the PA view before AP before any other, then the most original pixels, then the smallest image_id",
    )
    intensity_images: int = Field(
        20_000, ge=1, description="training images whose grey values are counted; of more, as many are drawn by seed"
    )
    publish_samples: bool = Field(
        False, description="write the text of the most frequent sentences into the fingerprint, for the report"
    )


@dataclass(frozen=True, kw_only=True)
class PairImagesReportsJob(Job):
    """Pair images with reports under a patient-level split; audit what leaks across splits; describe the data set."""

    stage = "pair_images_reports"
    place = "{dataset}"
    over = "pretraining dataset"

    settings: PairImagesReportsSettings
    images: Path = source("dicom_to_arrow", "manifest.json")
    sentences: Path = source("split_reports", "sentences.arrow")
    files: Path = source("index_inputs", "files.arrow", help="the distributed split")
    image_rejects: Path = source("dicom_to_arrow", "rejects.arrow", help="counted only")
    report_rejects: Path = source("split_reports", "rejects.arrow", help="counted only")
    pairs: Path = product("pairs.arrow", table="PAIRS")
    rejects: Path = product("rejects.arrow", table="REJECTS", summary=True, help="what has no partner")
    audit: Path = product("audit.json", summary=True, help="counts and leakage")
    fingerprint: Path = product("fingerprint.json", summary=True, help="description of the data set")
