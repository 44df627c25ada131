"""The verdict of audit_splits on a labelled data set, as every evaluation reads it and repeats it in its result."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages.common.atomic_files import read_json, verify
from stages.common.errors import InputError


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
        raise InputError(f"{audit}: audits other labels than {labels}; run audit_splits again")
    return asdict(Overlap(**record["overlap"]))
