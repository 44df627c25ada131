"""What audit_splits reads and writes. Its verdict on a data set is included in the result of every evaluation."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from ..common.contract import Job, option, product, source
from ..common.errors import InputError
from ..common.files.atomic_files import verify
from ..common.records import Count, Overlap, Record, read_record
from ..common.settings import Settings


class AuditSplitsSettings(Settings):
    """Settings of the audit."""

    allow_overlap: bool = Field(
        False, description="evaluate even if test images also occur in training; every result records how many"
    )
    same_patients: bool = Field(
        False, description="one patient id means one person in this data set and in `pretrain_on` (e.g. both from NIH)"
    )


class Compared(Record):
    """Scope of an audit."""

    images: Count
    patients_within: bool
    patients_with_pretraining: bool
    pictures_with_pretraining: bool  # at whatever size they are stored; false where some have no digest


class SplitAudit(Record):
    """Contents of audit.json: the digest of the labels, what was compared, what was found."""

    labels_sha256: str
    compared: Compared
    overlap: Overlap


def read_overlap(audit: Path, labels: Path) -> Overlap:
    """Read the overlap that must accompany every figure of `labels`.

    An overlap that is not allowed has no audit.json: its audit_splits has failed, and no evaluation starts.

    Raises:
        InputError: the audit is damaged, or of other labels.
    """
    record = read_record(audit, SplitAudit)
    if record.labels_sha256 != verify(labels):
        raise InputError(f"{audit}: is the audit of other labels than {labels}", "run audit_splits again")
    return record.overlap


@dataclass(frozen=True, kw_only=True)
class AuditSplitsJob(Job):
    """Compare the test images of a data set with pre-training, training and validation, once for every evaluation.

    An overlap that is not allowed is an error, and no evaluation starts.
    """

    stage = "audit_splits"
    place = "{dataset}"
    over = "evaluated dataset"

    settings: AuditSplitsSettings
    labels: Path = source("label_images", "labels.arrow")
    dataset: str = option("key of the labelled data set")
    images: Path = source("dicom_to_arrow", "manifest.json")
    duplicates: Path = source("dicom_to_arrow", "duplicates.arrow")
    pretrain_on: str = option("key of the data set of the pairs")
    pretrain_images: Path = source("dicom_to_arrow", "manifest.json", help="manifest of the pairs' images")
    pairs: Path = source("pair_images_reports", "pairs.arrow")
    audit: Path = product("audit.json", record=SplitAudit)
