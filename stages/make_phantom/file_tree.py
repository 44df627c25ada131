"""The folder of a phantom: safe to write again, listed with digests."""

import csv
import gzip
import hashlib
import io
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..common.errors import InputError
from ..common.files.atomic_files import sidecar_of, write_text

MARKER, MANIFEST = "PHANTOM.txt", "manifest.json"
_NOTICE = "Synthetic radiographs and reports, drawn by stages/make_phantom. No patient is shown or described.\n"

FileDigest = tuple[str, str]  # path relative to the phantom's folder, hex sha256


def prepare_folder(output: Path, folders: Sequence[str]) -> None:
    """Prepare `output`: remove an earlier phantom. Raises InputError where it holds other files."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: not a folder", remedy="give --output a new folder")
    # Empty folders do not count: a workflow makes those of its outputs before the job starts.
    if output.is_dir() and any(path.is_file() for path in output.rglob("*")) and not (output / MARKER).is_file():
        raise InputError(f"{output}: holds files that make_phantom did not write", remedy="give --output a new folder")
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / MARKER, _NOTICE)
    for path in (output / MANIFEST, sidecar_of(output / MANIFEST)):
        path.unlink(missing_ok=True)
    for name in folders:
        shutil.rmtree(output / name, ignore_errors=True)


def write_bytes(root: Path, relative: str, content: bytes) -> FileDigest:
    """Write one file of the tree. The manifest, written last, says whether a tree is complete."""
    path = root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return relative, hashlib.sha256(content).hexdigest()


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Return a CSV file with a header, as UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def gzip_bytes(content: bytes) -> bytes:
    """Compress without a time stamp, so that the same content gives the same bytes."""
    return gzip.compress(content, mtime=0)


def tree_digest(files: Iterable[FileDigest]) -> str:
    """Return the hex sha256 over the sorted lines `path sha256`."""
    lines = "".join(f"{path} {digest}\n" for path, digest in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()
