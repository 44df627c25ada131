"""Conversion of one shard: every indexed file becomes a row of images or a row of rejects, in the index's order.

Files are opened with care: an index is input like any other, and must not name anything outside the root.

Copies of one image are found in two ways. One is SOPInstanceUID (0008,0018), which identifies and may therefore be
keyed. The other is a digest of the picture, which depends neither on its encoding nor on its stored size. The digest is
SHA-256 over rows, columns and the displayed grey levels (0 to 255, rounded) at 128 x 128 evenly spread points of the
original. So a picture is recognised behind another lossless transfer syntax, a negative that says so (MONOCHROME1),
values shifted by a RescaleIntercept, or another `size`. It is another picture after cropping, rotation, resampling,
lossy compression or under another window. Two pictures that agree at all points and differ between them (a burnt-in
mark that is smaller than the distance of the points) count as one.

Points are used instead of all pixels because the whole picture is never converted to grey (performance: display.py),
and 16,384 points of a radiograph hold enough noise that no two exposures agree in all.
"""

import hashlib
import shutil
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from ..common.data.identifiers import keyed, read_key
from ..common.data.private_sources import is_keyed, reveal
from ..common.errors import InputError
from ..common.files import schemas
from ..common.files.archives import keep_indexes_in
from ..common.files.arrow_tables import map_table, read_table, write_table
from ..common.files.rooted_files import Kind, RootedFileError, check_folders, read_under
from ..common.journal.progress import progress
from ..common.journal.tracking import track_job
from ..common.radiographs.isolation import Limits, map_isolated
from ..common.radiographs.radiograph import Radiograph
from ..common.radiographs.readers import is_raster, read_radiograph
from ..common.radiographs.rejection import RejectionError
from ..common.radiographs.views import rule_for_missing
from .contract import ConversionSettings, ConvertJob
from .outcome_log import Outcome, OutcomeLog, remove_other_logs

# Kind of a RootedFileError -> reason and message of the reject.
_UNREAD: dict[Kind, tuple[str, str]] = {
    "unsafe_path": ("path_outside_root", "the index must name files by a relative path without '..'"),
    "link_leads_out": ("path_outside_root", "a link leads out of the root: name the folder in the data set's `roots`"),
    "missing": ("file_missing", "no such file under the root"),
    "not_regular": ("not_a_regular_file", "the path leads to a folder, pipe, socket or device"),
    "unreadable": ("unreadable_file", "cannot be read: {detail}"),
    "too_large": ("too_large", "{detail}, max_file_bytes is {max_bytes}"),
}


def read_source(root: Path, relative: str, max_bytes: int, roots: tuple[Path, ...] = ()) -> bytes:
    """Return the bytes of the regular file `relative` ('/' between folders) under `root` or `roots`.

    Raises RejectionError.
    """
    try:
        return read_under(root, relative, max_bytes, roots)
    except RootedFileError as error:
        reason, message = _UNREAD[error.kind]
        raise RejectionError(reason, message.format(detail=error, max_bytes=max_bytes)) from None


POINTS = 128  # along each axis, at most


def picture_sha256(radiograph: Radiograph) -> str | None:
    """Return the hex digest of the picture.

    Returns None where fewer pixels were decoded than the file has (jpeg2000_reduce), since their number depends on
    `size`.
    """
    levels, shape = radiograph.levels, radiograph.shape
    if levels.values.shape != shape:
        return None
    points = levels.linear(_places(shape[0]), _places(shape[1]))
    grey = np.rint(levels.to_grey(points)).astype(np.uint8)
    return hashlib.sha256(f"{shape[0]} {shape[1]} ".encode() + grey.tobytes()).hexdigest()


def _places(length: int) -> Int[np.ndarray, "places"]:
    """Return the middles of equal parts of an axis, at most one per pixel."""
    count = min(POINTS, length)
    return (np.arange(count) * 2 + 1) * length // (2 * count)


@dataclass(frozen=True)
class ShardCounts:
    """Counts of one shard."""

    indexed: int
    resumed: int  # outcomes that an earlier, unfinished run of the job left
    images: int
    duplicates: int  # images whose pixels equal those of an earlier image of the shard
    reasons: Counter[str]

    def metrics(self) -> dict[str, int]:
        """Return the counts as metrics of the journal, one per reject reason."""
        rejects = {f"rejects_{reason}": count for reason, count in sorted(self.reasons.items())}
        totals = {"indexed": self.indexed, "resumed": self.resumed, "images": self.images}
        return totals | {"rejects": self.reasons.total(), "duplicate_images": self.duplicates} | rejects


def convert_to_end(job: ConvertJob) -> None:
    """Convert one shard and keep its journal; the log of outcomes is removed once both tables are complete."""
    with track_job(job) as run:
        _refuse_unknown_shard(read_table(job.files, schemas.FILES)["shard"], job)
        log = job.state / f"shard_{job.shard:05d}" / run.digest[:16] / "outcomes.log"
        run.log_metrics(convert_shard(job, log).metrics())
    shutil.rmtree(log.parents[1])


def convert_shard(job: ConvertJob, log: Path) -> ShardCounts:
    """Convert one shard, starting at the first file without an outcome in `log`; the caller removes the log.

    Both tables are written from the log, so they have the same bytes however often the job was killed.
    """
    check_folders(job.root, job.roots, job.private)
    size, table = job.settings.size, read_table(job.files, schemas.FILES)
    key = read_key(job.private) if is_keyed(table) else None
    table = reveal(table, job.private)
    settings = with_views_missing(job.settings, table)
    rows = table.filter(pc.equal(table["shard"], job.shard)).to_pylist()
    remove_other_logs(log)
    with OutcomeLog(log, size, [row["image_id"] for row in rows]) as outcomes:
        resumed = len(outcomes)
        with progress("files", len(rows), resumed) as report:
            for outcome in convert_files(rows[resumed:], job.root, settings, job.workers, key, job.roots, job.private):
                outcomes.append(outcome)
                report.advance()
        write_table(job.images, schemas.images(size), outcomes.batches("image"))
        write_table(job.rejects, schemas.REJECTS, outcomes.batches("reject"))
    digests = map_table(job.images)["pixels_sha256"]
    reasons = Counter(map_table(job.rejects)["reason"].to_pylist())
    if len(digests) + reasons.total() != len(rows):
        raise AssertionError(f"shard {job.shard}: {len(digests)} + {reasons.total()} outcomes of {len(rows)} files")
    return ShardCounts(len(rows), resumed, len(digests), len(digests) - len(pc.unique(digests)), reasons)


def with_views_missing(settings: ConversionSettings, files: pa.Table) -> ConversionSettings:
    """Return settings whose `views_missing` is "accept" or "reject", by the index where it is "auto"."""
    rule = rule_for_missing(settings.views_missing, pc.unique(files["view"]).to_pylist())
    return settings.model_copy(update={"views_missing": rule})


def _refuse_unknown_shard(shards: pa.ChunkedArray, job: ConvertJob) -> None:
    """Raise InputError for a shard that the index does not have.

    Where every file has a shard of its own, there may be further ones, without files.
    """
    count = 1 + (pc.max(shards).as_py() or 0)
    if job.shard >= count and len(pc.unique(shards)) < len(shards):
        raise InputError(
            f"--shard {job.shard}: {job.files} has {count} shard{'' if count == 1 else 's'}",
            remedy=f"give a number from 0 to {count - 1}",
        )


def convert_files(
    rows: list[dict[str, Any]],
    root: Path,
    settings: ConversionSettings,
    workers: int,
    key: bytes | None = None,
    roots: tuple[Path, ...] = (),
    private: Path | None = None,
) -> Iterator[Outcome]:
    """Yield the outcomes of `rows` (rows of FILES) in order, converted in child processes.

    `key` is the key of keyed identifiers; `private` is the folder in which indexes of archives are kept.
    """
    convert = partial(_convert_in_child, root=root, settings=settings, key=key, roots=roots, private=private)
    results = map_isolated(convert, rows, workers, Limits(settings.max_seconds, settings.max_memory_bytes))
    for row, result in zip(rows, results, strict=True):
        if result == "died":
            yield _rejected(row, "decoder_died", "the process that decoded the file aborted or crashed")
        elif result == "too slow":
            yield _rejected(row, "too_slow", f"more than {settings.max_seconds:g} s of processor time (max_seconds)")
        else:
            yield result


def _convert_in_child(row: dict[str, Any], *, private: Path | None, **more: Any) -> Outcome:
    """Convert a file in a process that has checked no folder and opens archives by itself."""
    keep_indexes_in(private)
    return convert_file(row, **more)


def convert_file(
    row: dict[str, Any],
    root: Path,
    settings: ConversionSettings,
    key: bytes | None = None,
    roots: tuple[Path, ...] = (),
) -> Outcome:
    """Return the outcome of one row of FILES. Whatever the file holds, only an interruption raises an exception."""
    cv2.setNumThreads(1)  # one core per child
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns about quirks such as PatientAge "62" in every RSNA file
            data = read_verified(row, root, settings, roots)
            radiograph = read_radiograph(data, row["view"], settings)
            if is_raster(data) and row["inverted"]:  # a DICOM file says itself whether it is inverted
                radiograph = radiograph.inverted()
            return Outcome(image=_image_row(row, radiograph, key, settings.size))
    except RejectionError as rejection:
        reason, message = rejection.reason, str(rejection)
    except (KeyboardInterrupt, SystemExit):
        raise
    except MemoryError:
        reason, message = "out_of_memory", f"more than {settings.max_memory_bytes} bytes of memory (max_memory_bytes)"
    except BaseException as error:  # panics of Rust code derive from BaseException
        # The place, not the message: the text of an exception may quote the file.
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        reason, message = "unexpected_error", f"{type(error).__name__} at {where}; please report it"
    return _rejected(row, reason, message)


def _rejected(row: dict[str, Any], reason: str, message: str) -> Outcome:
    return Outcome(
        reject={"dataset": row["dataset"], "source_id": row["image_id"], "reason": reason, "message": message}
    )


def read_verified(row: dict[str, Any], root: Path, settings: ConversionSettings, roots: tuple[Path, ...] = ()) -> bytes:
    """Return the bytes of a row's file, checked against the published sha256. Raises RejectionError."""
    data = read_source(root, row["path"], settings.max_file_bytes, roots)
    published = row["sha256"] if settings.verify_checksums else None
    if published is not None and hashlib.sha256(data).hexdigest() != published:
        raise RejectionError(
            "checksum_mismatch",
            "not the file that SHA256SUMS.txt lists: download it again; if you changed the files (resized, say), set "
            "dicom_to_arrow's verify_checksums: false",
        )
    return data


def _image_row(row: dict[str, Any], radiograph: Radiograph, key: bytes | None, size: int) -> dict[str, Any]:
    square, uid = radiograph.square(size), radiograph.instance_uid
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
        "sex": row["sex"] or radiograph.sex,
        "age": radiograph.age if row["age"] is None else row["age"],
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
        "instance_uid": keyed(uid, "instance", key) if key and uid else uid,
    }
