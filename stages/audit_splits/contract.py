"""Settings of audit_splits, and the record that it writes.

Settings of audit_splits.

The verdict of audit_splits on a labelled data set, as every evaluation reads it and repeats it in its result.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from ..common.errors import InputError
from ..common.files.atomic_files import read_json, verify
from ..common.settings import Settings


class AuditSplitsSettings(Settings):
    allow_overlap: bool = Field(
        False, description="measure although test images are no strangers to training; every result says how many"
    )
    same_patients: bool = Field(
        False, description="one patient id means one person in this data set and in `pretrain_on` (e.g. both from NIH)"
    )


@dataclass(frozen=True)
class Overlap:
    """Numbers of image ids, patients, images, test images and test patients; all 0 in a clean split."""

    images_in_several_parts: int
    patients_in_several_parts: int
    copies_in_several_parts: int
    test_copies_in_pretraining: int
    test_patients_in_pretraining: int


def audit_record(overlap: Overlap, labels: Path, compared: dict[str, Any]) -> dict[str, Any]:
    """audit.json: of which labels (by digest), what was compared, what was found."""
    return {"labels_sha256": verify(labels), "compared": compared, "overlap": asdict(overlap)}


def read_overlap(audit: Path, labels: Path) -> dict[str, int]:
    """The overlap that must stand beside every number of `labels`; an audit of other labels is an InputError.

    An overlap that nobody allowed has no audit.json: its audit_splits has failed, and no evaluation starts.
    """
    verify(audit)
    record = read_json(audit)
    if record["labels_sha256"] != verify(labels):
        raise InputError(f"{audit}: audits other labels than {labels}", remedy="run audit_splits again")
    return asdict(Overlap(**record["overlap"]))
