"""Jobs as the command line makes them, for tests that call the work itself."""

from pathlib import Path
from typing import Any

from stages.dicom_to_arrow.contract import ConvertJob, DicomToArrowSettings, GatherJob


def shard_job(
    root: Path, files: Path, folder: Path, settings: DicomToArrowSettings, shard: int = 0, **more: Any
) -> ConvertJob:
    """A job that writes <shard>.arrow and <shard>_rejects.arrow into `folder`."""
    return ConvertJob(
        settings=settings,
        journal=folder / f"journal_{shard}.json",
        root=root,
        files=files,
        shard=shard,
        state=folder / "state",
        images=folder / f"{shard}.arrow",
        rejects=folder / f"{shard}_rejects.arrow",
        **more,
    )


def log_of(job: ConvertJob) -> Path:
    """The log of a job without a journal."""
    return job.state / f"shard_{job.shard:05d}" / "digest" / "outcomes.log"


def gather_job(
    files: Path, shard_images: list[Path], shard_rejects: list[Path], folder: Path, settings: DicomToArrowSettings
) -> GatherJob:
    """A job that writes manifest.json and rejects.arrow into `folder`."""
    return GatherJob(
        settings=settings,
        journal=folder / "journal.json",
        files=files,
        shard_images=tuple(shard_images),
        shard_rejects=tuple(shard_rejects),
        manifest=folder / "manifest.json",
        rejects=folder / "rejects.arrow",
    )
