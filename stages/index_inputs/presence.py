"""Which indexed files can be read, without opening them: by the rules of dicom_to_arrow and split_reports."""

import sys
from pathlib import Path

import polars as pl

from ..common.data.table_files import ROW
from ..common.files.rooted_files import RootedFileError, find_under
from .contract import IndexInputsJob, IndexInputsSettings

# No more files than this are looked for on disk: 377,110 of MIMIC-CXR would take minutes on a network file system, and
# dicom_to_arrow accounts for each of them anyway.
LOOKED_FOR = 20_000
OUTSIDE = "a link leads out of the root: name its folder in `roots`"


def missing_files(
    root: Path, files: pl.DataFrame, roots: tuple[Path, ...] = (), limit: int = LOOKED_FOR
) -> tuple[pl.DataFrame, int]:
    """Return the rows of `files` that cannot be read, with the column `problem`, and how many were looked for.

    That is all rows that have a path, or about `limit` of them, evenly spaced.
    """
    files = files.filter(pl.col("path").is_not_null())
    looked_for = files.gather_every(max(1, -(-len(files) // max(1, limit))))
    problems = [_problem(root, path, roots) for path in looked_for["path"]]
    found = looked_for.with_columns(problem=pl.Series(problems, dtype=pl.String))
    return found.filter(pl.col("problem").is_not_null()), len(looked_for)


def _problem(root: Path, path: str, roots: tuple[Path, ...]) -> str | None:
    try:
        find_under(root, path, roots)
    except RootedFileError as error:
        return OUTSIDE if error.kind == "link_leads_out" else str(error)
    return None


def first_missing(
    missing: pl.DataFrame, settings: IndexInputsSettings, identifier: str, count: int = 1, ids_are_kept: bool = True
) -> list[str]:
    """Return the first missing files by path; where ids are keyed by id and row: paths may hold names of people.

    Where the key is thrown away, as the doctor does, an id means nothing: `ids_are_kept` is false.
    """
    first = missing.head(count)
    if settings.show:
        return first["path"].to_list()
    rows = [f"row {row}" for row in first[ROW]] if ROW in first.columns else []
    ids = first[identifier].to_list()
    if rows and ids_are_kept:
        return [f"{each} ({row})" for each, row in zip(ids, rows, strict=True)]
    return rows or ids


def look_for_files(job: IndexInputsJob, files: pl.DataFrame, reports: pl.DataFrame) -> dict[str, int]:
    """Look for images and reports, print one warning for each kind that lacks some, and return the counts."""
    missing, looked_for = missing_files(job.root, files, job.roots)
    if job.settings.layout == "folder":  # whose files and reports are of one table
        reports = reports.join(files.group_by("study_id").agg(pl.col(ROW).min()), on="study_id", how="left",
                               maintain_order="left")  # fmt: skip
    absent, asked = missing_files(job.root, reports, job.roots)
    _warn_about_missing(job, missing, looked_for, "files", "image_id", "dicom_to_arrow")
    _warn_about_missing(job, absent, asked, "report files", "study_id", "split_reports")
    return {
        "files_looked_for": looked_for,
        "files_missing": len(missing),
        "report_files_looked_for": asked,
        "report_files_missing": len(absent),
    }


def _warn_about_missing(
    job: IndexInputsJob, missing: pl.DataFrame, looked_for: int, kind: str, identifier: str, stage: str
) -> None:
    """Print the first missing files."""
    if missing.is_empty():
        return
    named = first_missing(missing, job.settings, identifier, 3)
    reasons = "; ".join(missing["problem"].unique(maintain_order=True))
    print(
        f"warning: {len(missing)} of {looked_for} {kind} checked cannot be read in {job.root} ({reasons}), first "
        f"{', '.join(named)}; {stage} rejects each",
        file=sys.stderr,
    )
