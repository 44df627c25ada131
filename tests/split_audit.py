"""An audit.json of some labels, as audit_splits would write it."""

from pathlib import Path

from stages.audit_splits.contract import Compared, SplitAudit
from stages.common.files.atomic_files import verify
from stages.common.records import Overlap, write_record

CLEAN = Overlap(**dict.fromkeys(Overlap.model_fields, 0))


def write_audit(audit: Path, labels: Path, overlap: Overlap = CLEAN) -> None:
    compared = Compared(images=1, patients_within=True, patients_with_pretraining=False, pictures_with_pretraining=True)
    write_record(audit, SplitAudit(labels_sha256=verify(labels), compared=compared, overlap=overlap))


def overlap(*counts: int) -> Overlap:
    return Overlap(**dict(zip(Overlap.model_fields, counts, strict=True)))
