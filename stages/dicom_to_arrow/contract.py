"""What dicom_to_arrow reads and writes."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from ..common.contract import Job, option, product, source
from ..common.data.manifest import Manifest
from ..common.radiographs.settings import RadiographSettings


class ConversionSettings(RadiographSettings):
    """Settings of the conversion: those of reading a radiograph, and whether checksums are verified."""

    verify_checksums: bool = Field(
        True,
        description="check the sha256 of every file for which the distribution publishes one (about 1 GB/s per core)",
    )


class DicomToArrowSettings(ConversionSettings):
    """Settings of the stage: those of the conversion, and what the journal may show."""

    publish_samples: bool = Field(
        False, description="log a contact sheet of radiographs drawn by seed, which MLflow then copies and shows"
    )
    samples: int = Field(24, ge=1, le=600, description="number of radiographs on the contact sheet")
    seed: int = Field(0, description="seed of their choice")

    def conversion(self) -> ConversionSettings:
        """Return the settings of the conversion alone, so that a contact sheet converts nothing again."""
        return ConversionSettings(**{name: getattr(self, name) for name in ConversionSettings.model_fields})


@dataclass(frozen=True, kw_only=True)
class ConvertJob(Job):
    """Convert one shard of radiographs (DICOM of any transfer syntax, JPEG, PNG) to grey squares; list the rejects.

    `--state` keeps the outcomes so far under the digest of settings, data, code and image: with the same digest a
    killed job resumes.
    """

    stage = "dicom_to_arrow"
    command = "convert"
    place = "{dataset}/shards"
    over = "dataset"
    journal_file = "journal_{shard}.json"
    block = DicomToArrowSettings

    settings: ConversionSettings
    root: Path = source(tracked=False, help="folder of the data set, as distributed")
    private: Path | None = source(
        optional=True, tracked=False, help="folder of the key; required for keyed identifiers"
    )
    files: Path = source("index_inputs", "files.arrow")
    shard: int = option("number of the shard, from 0", ge=0)
    state: Path = option("folder of the partial results from which a killed job resumes")
    images: Path = product("{shard}.arrow", table="images")
    rejects: Path = product("{shard}_rejects.arrow", table="REJECTS")
    workers: int = option("processes; the result is the same for any number", default=1, ge=1)
    roots: tuple[Path, ...] = option(
        "further folders of the data set: links may lead into them, and files that are not below --root are sought "
        "there",
        default=(),
    )


@dataclass(frozen=True, kw_only=True)
class GatherJob(Job):
    """Verify all shards of a data set and write their manifest; every indexed file is an image or a reject."""

    stage = "dicom_to_arrow"
    command = "gather"
    place = "{dataset}"
    over = "dataset"

    settings: DicomToArrowSettings
    files: Path = source("index_inputs", "files.arrow")
    shard_images: tuple[Path, ...] = source(
        "dicom_to_arrow", "{shard}.arrow", help="one per shard, in order: 0, 1, ..."
    )
    shard_rejects: tuple[Path, ...] = source(
        "dicom_to_arrow", "{shard}_rejects.arrow", help="one per shard, in order: 0, 1, ..."
    )
    manifest: Path = product("manifest.json", record=Manifest, summary=True)
    rejects: Path = product("rejects.arrow", table="REJECTS", summary=True)


@dataclass(frozen=True, kw_only=True)
class DuplicatesJob(Job):
    """Find copies of images within and across data sets."""

    stage = "dicom_to_arrow"
    command = "duplicates"

    settings: DicomToArrowSettings
    manifests: tuple[Path, ...] = source("dicom_to_arrow", "manifest.json", help="one per data set")
    duplicates: Path = product("duplicates.arrow", table="DUPLICATES", summary=True)
