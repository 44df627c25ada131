"""One shard: every file that the index gives it becomes a row of images or a row of rejects, in the index's order."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa
import pyarrow.compute as pc

from stages.common import schemas
from stages.common.arrow_tables import read_table, write_rows, write_table
from stages.common.errors import InputError
from stages.dicom_to_arrow.dicom_file import is_dicom, read_dicom
from stages.dicom_to_arrow.geometry import fit_into_square
from stages.dicom_to_arrow.isolation import map_isolated
from stages.dicom_to_arrow.radiograph import Radiograph
from stages.dicom_to_arrow.raster_file import is_raster, read_raster
from stages.dicom_to_arrow.rejection import RejectionError
from stages.dicom_to_arrow.settings import DicomToArrowSettings
from stages.dicom_to_arrow.sources import read_source

_BATCH_ROWS = 64  # 64 x 256 x 256 bytes = 4 MiB in memory at a time


@dataclass(frozen=True)
class Outcome:
    """What became of one file: exactly one of the two rows."""

    image: dict[str, Any] | None = None
    reject: dict[str, Any] | None = None


@dataclass
class ShardCounts:
    indexed: int = 0
    images: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    digests: set[str] = field(default_factory=set)

    def metrics(self) -> dict[str, int]:
        rejects = {f"rejects_{reason}": count for reason, count in sorted(self.reasons.items())}
        duplicates = self.images - len(self.digests)  # kept: the audit of pairs decides on them
        totals = {"indexed": self.indexed, "images": self.images, "rejects": self.reasons.total()}
        return totals | {"duplicate_images": duplicates} | rejects


def convert_shard(
    root: Path, files: Path, shard: int, images: Path, rejects: Path, settings: DicomToArrowSettings, workers: int = 1
) -> ShardCounts:
    """Convert shard number `shard` of the table `files`. The number of workers does not change a byte of the result."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the root of the data set with --root")
    table = read_table(files, schemas.FILES)
    rows = table.filter(pc.equal(table["shard"], shard)).to_pylist()
    schema = schemas.images(settings.size)
    counts, rejected = ShardCounts(indexed=len(rows)), []

    def accepted() -> Iterator[dict[str, Any]]:
        for outcome in convert_files(rows, root, settings, workers):
            if outcome.image is not None:
                counts.images += 1
                counts.digests.add(outcome.image["pixels_sha256"])
                yield outcome.image
            else:
                counts.reasons[outcome.reject["reason"]] += 1
                rejected.append(outcome.reject)

    write_table(images, schema, _batches(accepted(), schema))
    write_rows(rejects, schemas.REJECTS, rejected)
    if counts.images + len(rejected) != counts.indexed:
        raise AssertionError(f"shard {shard}: {counts.images} + {len(rejected)} outcomes of {counts.indexed} files")
    return counts


def convert_files(
    rows: list[dict[str, Any]], root: Path, settings: DicomToArrowSettings, workers: int
) -> Iterator[Outcome]:
    """Outcomes in the order of `rows` (rows of FILES), converted in child processes."""
    results = map_isolated(partial(convert_file, root=root, settings=settings), rows, workers, settings.max_seconds)
    for row, result in zip(rows, results, strict=True):
        if result == "died":
            yield _rejected(row, "decoder_died", "the process that decoded the file aborted or crashed")
        elif result == "too slow":
            yield _rejected(row, "too_slow", f"more than {settings.max_seconds:g} s (max_seconds)")
        else:
            yield result


def convert_file(row: dict[str, Any], root: Path, settings: DicomToArrowSettings) -> Outcome:
    """One row of FILES to its outcome. Whatever the file holds, no exception but an interruption leaves here."""
    cv2.setNumThreads(1)  # one core a child
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of quirks such as PatientAge "62" in every RSNA file
            return Outcome(image=_image_row(row, read_radiograph(row, root, settings), settings.size))
    except RejectionError as rejection:
        reason, message = rejection.reason, str(rejection)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # panics of Rust code derive from BaseException
        reason, message = "unexpected_error", f"{type(error).__name__} in dicom_to_arrow; please report it"
    return _rejected(row, reason, message)


def _rejected(row: dict[str, Any], reason: str, message: str) -> Outcome:
    return Outcome(
        reject={"dataset": row["dataset"], "source_id": row["image_id"], "reason": reason, "message": message}
    )


def read_radiograph(row: dict[str, Any], root: Path, settings: DicomToArrowSettings) -> Radiograph:
    """Open the file of a row and read it by its content, whatever its name. Raises RejectionError."""
    data = read_source(root, row["path"], settings.max_file_bytes)
    if is_raster(data):
        return read_raster(data, row["view"], settings)
    if is_dicom(data):
        return read_dicom(data, row["view"], settings)
    raise RejectionError("not_an_image", "neither DICOM nor JPEG nor PNG")


def _image_row(row: dict[str, Any], radiograph: Radiograph, size: int) -> dict[str, Any]:
    square = fit_into_square(radiograph.grey, radiograph.pixel_aspect, size)
    box, pixels = square.content, square.pixels
    content = pixels[box.y : box.y + box.height, box.x : box.x + box.width]
    if content.min() == content.max():
        raise RejectionError("constant_image", f"one grey level everywhere at {size} pixels")
    rows, columns = radiograph.grey.shape
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
    }


def _batches(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    rows = iter(rows)
    while batch := list(islice(rows, _BATCH_ROWS)):
        yield pa.RecordBatch.from_pylist(batch, schema=schema)
