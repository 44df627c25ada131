"""One shard: every file that the index gives it becomes a row of images or a row of rejects, in the index's order."""

import hashlib
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import pyarrow.compute as pc

from stages.common import schemas
from stages.common.arrow_tables import map_table, read_table, write_table
from stages.common.errors import InputError
from stages.common.identifiers import read_key
from stages.common.private_sources import is_keyed, reveal
from stages.common.progress import progress
from stages.dicom_to_arrow.instance_uid import read_instance_uid
from stages.dicom_to_arrow.isolation import Limits, map_isolated
from stages.dicom_to_arrow.outcome_log import Outcome, OutcomeLog, remove_other_logs
from stages.dicom_to_arrow.picture_digest import picture_sha256
from stages.dicom_to_arrow.radiograph import Radiograph
from stages.dicom_to_arrow.radiograph_file import read_radiograph
from stages.dicom_to_arrow.raster_file import is_raster
from stages.dicom_to_arrow.rejection import RejectionError
from stages.dicom_to_arrow.settings import DicomToArrowSettings
from stages.dicom_to_arrow.sources import read_source


@dataclass(frozen=True)
class ShardJob:
    """What a shard is made of, and where it goes. `log` holds the outcomes so far; the caller removes it at the end."""

    root: Path
    files: Path
    shard: int
    images: Path
    rejects: Path
    log: Path
    private: Path | None = None  # needed where identifiers are keyed
    workers: int = 1  # processes; changes no byte of the result


@dataclass(frozen=True)
class ShardCounts:
    indexed: int
    resumed: int  # outcomes that an earlier, unfinished run of the job left
    images: int
    duplicates: int  # images whose pixels an earlier image of the shard has
    reasons: Counter[str]

    def metrics(self) -> dict[str, int]:
        rejects = {f"rejects_{reason}": count for reason, count in sorted(self.reasons.items())}
        totals = {"indexed": self.indexed, "resumed": self.resumed, "images": self.images}
        return totals | {"rejects": self.reasons.total(), "duplicate_images": self.duplicates} | rejects


def convert_shard(job: ShardJob, settings: DicomToArrowSettings) -> ShardCounts:
    """Convert one shard, from the first file on that has no outcome in `job.log`.

    Both tables are written from the log, so they are the same bytes however often the job was killed.
    """
    if not job.root.is_dir():
        raise InputError(f"{job.root}: no such folder; give the root of the data set with --root")
    table = read_table(job.files, schemas.FILES)
    key = read_key(job.private) if is_keyed(table) else None
    table = reveal(table, job.private)
    rows = table.filter(pc.equal(table["shard"], job.shard)).to_pylist()
    remove_other_logs(job.log)
    with OutcomeLog(job.log, settings.size, [row["image_id"] for row in rows]) as log:
        resumed = len(log)
        with progress("files", len(rows), resumed) as report:
            for outcome in convert_files(rows[resumed:], job.root, settings, job.workers, key):
                log.append(outcome)
                report.advance()
        write_table(job.images, schemas.images(settings.size), log.batches("image"))
        write_table(job.rejects, schemas.REJECTS, log.batches("reject"))
    digests = map_table(job.images)["pixels_sha256"]
    reasons = Counter(map_table(job.rejects)["reason"].to_pylist())
    if len(digests) + reasons.total() != len(rows):
        raise AssertionError(f"shard {job.shard}: {len(digests)} + {reasons.total()} outcomes of {len(rows)} files")
    return ShardCounts(len(rows), resumed, len(digests), len(digests) - len(pc.unique(digests)), reasons)


def convert_files(
    rows: list[dict[str, Any]], root: Path, settings: DicomToArrowSettings, workers: int, key: bytes | None = None
) -> Iterator[Outcome]:
    """Outcomes in the order of `rows` (rows of FILES), converted in child processes. `key`: of keyed identifiers."""
    convert = partial(convert_file, root=root, settings=settings, key=key)
    results = map_isolated(convert, rows, workers, Limits(settings.max_seconds, settings.max_memory_bytes))
    for row, result in zip(rows, results, strict=True):
        if result == "died":
            yield _rejected(row, "decoder_died", "the process that decoded the file aborted or crashed")
        elif result == "too slow":
            yield _rejected(row, "too_slow", f"more than {settings.max_seconds:g} s (max_seconds)")
        else:
            yield result


def convert_file(row: dict[str, Any], root: Path, settings: DicomToArrowSettings, key: bytes | None = None) -> Outcome:
    """One row of FILES to its outcome. Whatever the file holds, no exception but an interruption leaves here."""
    cv2.setNumThreads(1)  # one core a child
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of quirks such as PatientAge "62" in every RSNA file
            data = read_verified(row, root, settings)
            radiograph = read_radiograph(data, row["view"], settings)
            uid = None if is_raster(data) else read_instance_uid(data, key)
            return Outcome(image=_image_row(row, radiograph, uid, settings.size))
    except RejectionError as rejection:
        reason, message = rejection.reason, str(rejection)
    except (KeyboardInterrupt, SystemExit):
        raise
    except MemoryError:
        reason, message = "out_of_memory", f"more than {settings.max_memory_bytes} bytes of memory (max_memory_bytes)"
    except BaseException as error:  # panics of Rust code derive from BaseException
        # Where, not what: the text of an exception may quote the file.
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        reason, message = "unexpected_error", f"{type(error).__name__} at {where}; please report it"
    return _rejected(row, reason, message)


def _rejected(row: dict[str, Any], reason: str, message: str) -> Outcome:
    return Outcome(
        reject={"dataset": row["dataset"], "source_id": row["image_id"], "reason": reason, "message": message}
    )


def read_verified(row: dict[str, Any], root: Path, settings: DicomToArrowSettings) -> bytes:
    """Bytes of the file of a row, the ones that the distribution published. Raises RejectionError."""
    data = read_source(root, row["path"], settings.max_file_bytes)
    published = row["sha256"] if settings.verify_checksums else None
    if published is not None and hashlib.sha256(data).hexdigest() != published:
        raise RejectionError("checksum_mismatch", "not the bytes that the distribution published; download it again")
    return data


def _image_row(row: dict[str, Any], radiograph: Radiograph, uid: str | None, size: int) -> dict[str, Any]:
    square = radiograph.square(size)
    box, pixels = square.content, square.pixels
    content = pixels[box.y : box.y + box.height, box.x : box.x + box.width]
    if content.min() == content.max():
        raise RejectionError("constant_image", f"one grey level everywhere at {size} pixels")
    rows, columns = radiograph.shape
    data = pixels.tobytes()
    return {
        "image_id": row["image_id"],
        "study_id": row["study_id"],
        "patient_id": row["patient_id"],
        "dataset": row["dataset"],
        "view": radiograph.view,
        "pixels": data,
        "content_box": [box.x, box.y, box.width, box.height],
        "original_rows": rows,
        "original_columns": columns,
        "row_spacing": radiograph.row_spacing,
        "column_spacing": radiograph.column_spacing,
        "photometric": radiograph.photometric,
        "window": radiograph.window,
        "pixels_sha256": hashlib.sha256(data).hexdigest(),
        "picture_sha256": picture_sha256(radiograph),
        "instance_uid": uid,
    }
