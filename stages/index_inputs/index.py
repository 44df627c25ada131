"""From a distribution's own index to the tables FILES and REPORTS: checks, checksums, identifiers, order, shards."""

import re
import sys
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa

from ..common.data.distributions import CHECKSUMS, IMAGE_FOLDERS, WHERE_TO_GET, not_there
from ..common.data.identifiers import Subject, keyed, read_or_create_key, write_map
from ..common.data.index_tables import (
    Index,
    plain_paths,
    refuse_duplicates,
    refuse_unsafe_paths,
    similar_patients,
)
from ..common.data.private_sources import hide
from ..common.data.table_files import ROW
from ..common.errors import InputError
from ..common.files import schemas
from ..common.files.archives import is_dir, is_file, read_bytes
from ..common.files.arrow_tables import conform, write_table
from ..common.files.rooted_files import RootedFileError, archive_warnings, check_folders, find_under
from ..common.journal.tracking import track_job
from .contract import IndexInputsJob, IndexInputsSettings, index_files, optional_index_files
from .layouts import read_challenge, read_mimic_cxr
from .own_folder import read_folder
from .presence import look_for_files

# A line of SHA256SUMS.txt, as PhysioNet and `sha256sum` write it.
_LINE = r"^([0-9A-Fa-f]{64})[ \t]+\*?(?:\./)?(.+?)\r?$"


def index_data_set(job: IndexInputsJob) -> None:
    """Write the tables of files and reports, and warn about files that are missing."""
    root, settings = job.root, job.settings
    if not re.fullmatch(r"[A-Za-z0-9_.-]*[A-Za-z0-9_-]", job.dataset):
        raise InputError(f"--dataset {job.dataset!r}: use only letters, digits, '_', '-' and '.'")
    present = present_index_files(root, settings, job.roots, job.private)
    with track_job(job, more={name: path for name, path in present.items() if path.is_file()}) as run:
        index = build_index(root, settings, job.dataset, job.private, job.roots)
        for line in index.warnings:
            print(f"warning: {line}", file=sys.stderr)
        looked_for = look_for_files(job, index.files, index.reports)
        tables = {job.files: files_table(index, job.dataset, settings.shards), job.reports: reports_table(index)}
        for path, table in tables.items():
            if settings.identifier_kind == "keyed":
                assert job.private is not None  # `build_index` has read its key
                table = hide(table, job.private, f"{job.dataset}_{path.name}")
            write_table(path, table.schema, table)
        counts = {
            "images": len(index.files),
            "reports": len(index.reports),
            "patients": index.files["patient_id"].drop_nulls().n_unique(),
            "files_with_checksum": len(index.files) - index.files["sha256"].null_count(),
        }
        run.log_metrics(counts | looked_for | index.counts)
        for key, value in index.tags.items():
            run.log_tag(key, value)


def add_checksums(files: pl.DataFrame, root: Path) -> pl.DataFrame:
    """Return `files` with the column sha256 (hex, lower case) by path; null where none is published.

    Raises InputError for a line of another form, and for a path with two different checksums.
    """
    source = root / CHECKSUMS
    if not is_file(source):
        return files.with_columns(sha256=pl.lit(None, pl.String))
    try:
        text = read_bytes(source).decode("utf-8-sig").split("\n")
    except (UnicodeError, OSError):
        raise InputError(f"{source}: not readable as text", remedy="download it again, or move it away") from None
    lines = pl.DataFrame({"line": text}).with_row_index("row", offset=1)
    lines = lines.filter(pl.col("line").str.strip_chars() != "")
    sums = lines.select(
        "row",
        path=pl.col("line").str.extract(_LINE, 2),
        sha256=pl.col("line").str.extract(_LINE, 1).str.to_lowercase(),
    )
    other = sums.filter(pl.col("path").is_null())["row"]
    if len(other):
        raise InputError(
            f"{source}: line {other[0]} is not '<sha256>  <path>'", remedy="download the file again, or move it away"
        )
    sums = sums.unique(["path", "sha256"], keep="first", maintain_order=True)
    twice = sums.filter(pl.col("path").is_duplicated())["row"]
    if len(twice):
        raise InputError(
            f"{source}: line {twice[1]} contradicts an earlier line with the same path",
            remedy="download the file again",
        )
    return files.join(sums.drop("row"), on="path", how="left", maintain_order="left")


_SUBJECTS: Mapping[str, Subject] = {"image_id": "image", "study_id": "study", "patient_id": "patient"}


def present_index_files(
    root: Path, settings: IndexInputsSettings, roots: tuple[Path, ...] = (), private: Path | None = None
) -> dict[str, Path]:
    """Return name -> path of the existing index files; what is found in archives is kept in `private`.

    Raises InputError for a missing or damaged root, folder or required file.
    """
    if not root.exists():
        raise not_there(root, "no such folder", "correct the root of the data set")
    check_folders(root, roots, private)
    where = WHERE_TO_GET[settings.layout]
    necessary = index_files(settings, root)
    for name in necessary:
        if not is_file(root / name):
            raise not_there(root / name, "no such index file", where)
    folder = IMAGE_FOLDERS.get(settings.layout)
    if folder is not None and not is_dir(root / folder):
        raise not_there(root / folder, "no such folder of images", where)
    optional = [name for name in optional_index_files(settings, root) if is_file(root / name)]
    return {name: root / name for name in dict.fromkeys(necessary + optional)}


def build_index(
    root: Path, settings: IndexInputsSettings, dataset: str, private: Path | None, roots: tuple[Path, ...] = ()
) -> Index:
    """Build the checked index, its files ordered by path.

    Where identifiers are keyed, they replace the distributed ones, and the map back is written. Raises InputError where
    the index contradicts itself.
    """
    index = _read_layout(root, settings, roots)
    index = replace(index, files=index.files.with_columns(plain_paths("path")))
    source = root / index.source
    refuse_unsafe_paths(index.files["path"], index.files[ROW], source)
    alike = [] if settings.patients else similar_patients(
        index.files["patient_id"], index.files[ROW], source, settings.show)  # fmt: skip
    warnings = [*index.warnings, *alike, *archive_warnings(root, roots)]
    index = replace(index, files=add_checksums(index.files, root), warnings=warnings)
    if settings.identifier_kind == "keyed":
        index = _with_keyed_identifiers(index, dataset, private)
    own_ids = settings.columns is None or settings.columns.image_id is not None
    refuse_duplicates(index.files, source, "image_id", own_ids or settings.show, "" if own_ids else "image")
    refuse_duplicates(index.files, source, "path", settings.show)
    _refuse_names_of_one_file(index.files, root, source, roots)
    _refuse_shared_studies(index.files, source)
    return replace(index, files=index.files.sort("path", "image_id"), reports=index.reports.sort("study_id"))


def files_table(index: Index, dataset: str, shards: int) -> pa.Table:
    """Return the table FILES; shards are contiguous blocks whose sizes differ by at most one."""
    count = len(index.files)
    shard = (pl.int_range(count, dtype=pl.Int64) * shards // count).cast(pl.Int32)
    return conform(index.files.with_columns(dataset=pl.lit(dataset), shard=shard), schemas.FILES)


def reports_table(index: Index) -> pa.Table:
    """Return the table REPORTS; it has no rows where the distribution has no reports."""
    return conform(index.reports, schemas.REPORTS)


def _read_layout(root: Path, settings: IndexInputsSettings, roots: tuple[Path, ...]) -> Index:
    if settings.layout == "mimic_cxr":
        return read_mimic_cxr(root, settings.show)
    return (read_folder if settings.layout == "folder" else read_challenge)(root, settings, roots)


def _with_keyed_identifiers(index: Index, dataset: str, private: Path | None) -> Index:
    key = read_or_create_key(private)
    assert private is not None  # otherwise read_or_create_key has raised
    pairs: set[tuple[Subject, str, str]] = set()

    def carry(table: pl.DataFrame) -> pl.DataFrame:
        for column, subject in _SUBJECTS.items():
            if column in table.columns:
                known = table[column].drop_nulls().unique().to_list()
                names = {identifier: keyed(identifier, subject, key) for identifier in known}
                pairs.update((subject, identifier, name) for identifier, name in names.items())
                carried = [names.get(identifier) for identifier in table[column]]
                table = table.with_columns(pl.Series(column, carried, dtype=pl.String))
        return table

    carried = replace(index, files=carry(index.files), reports=carry(index.reports))
    write_map(private / f"{dataset}.csv", pairs)
    return carried


def _refuse_shared_studies(files: pl.DataFrame, source: Path) -> None:
    """Raise an InputError where a study has two patients: its report would cross the splits."""
    shared = files.group_by("study_id").agg(pl.col("patient_id").n_unique(), pl.col(ROW).min())
    shared = shared.filter(pl.col("patient_id") > 1).sort(ROW)
    if len(shared):
        study, _, row = shared.row(0)
        raise InputError(
            f"{source}: row {row}: study {study} has images of more than one patient", remedy="correct the ids"
        )


def _refuse_names_of_one_file(files: pl.DataFrame, root: Path, source: Path, roots: tuple[Path, ...]) -> None:
    """Raise an InputError for two rows whose paths differ in case or in how accents are coded, and are one file.

    Whether they are is the file system's answer, which is asked about such paths only.
    """
    folded = [unicodedata.normalize("NFC", path).casefold() for path in files["path"]]
    alike = files.select(ROW, "path", folded=pl.Series(folded, dtype=pl.String))
    alike = alike.filter(pl.col("folded").is_duplicated()).sort(ROW)
    first: dict[tuple[int, int], int] = {}
    for row, path in alike.select(ROW, "path").iter_rows():
        with suppress(RootedFileError, OSError):  # a missing file is accounted for by dicom_to_arrow
            status = find_under(root, path, roots).stat()
            if (other := first.setdefault((status.st_dev, status.st_ino), row)) != row:
                raise InputError(f"{source}: rows {other} and {row} name the same file", remedy="keep one of them")
