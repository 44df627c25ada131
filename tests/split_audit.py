"""audit.json of a split, as audit_splits writes it."""

from pathlib import Path

from stages.audit_splits.contract import Compared, SplitAudit
from stages.common.files.atomic_files import verify
from stages.common.records import Overlap, write_record


def overlap_of(*counts: int) -> Overlap:
    """The overlap with these numbers in the order of its fields; without any, that of a clean split."""
    names = list(Overlap.model_fields)
    return Overlap(**dict(zip(names, counts or [0] * len(names), strict=True)))


CLEAN = overlap_of()


def write_audit(labels: Path, audit: Path, *counts: int) -> Path:
    """An audit of the table `labels` that found the overlap `counts`."""
    compared = Compared(images=1, patients_within=True, patients_with_pretraining=False, pictures_with_pretraining=True)
    write_record(audit, SplitAudit(labels_sha256=verify(labels), compared=compared, overlap=overlap_of(*counts)))
    return audit
