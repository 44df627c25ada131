"""Anyone's own data: one CSV with a row an image, and columns for what is known of it."""

from pathlib import Path

import polars as pl

from stages.common.distributions import WHERE_TO_GET
from stages.common.errors import InputError
from stages.common.index_tables import REPORT_COLUMNS, Index, read_index, refuse_unsafe_paths, require_values
from stages.index_inputs.settings import FolderColumns


def read_folder(root: Path, table: str, columns: FolderColumns, show: bool) -> Index:
    """Files and reports of the CSV `table`. Rows of one study must agree in their report. `show`: errors may quote."""
    source = root / table
    rows = read_index(root, table, columns.names(), WHERE_TO_GET["folder"], show)
    ids = [columns.image, columns.image_id, columns.patient, columns.study]
    require_values(rows, source, [name for name in ids if name])
    image_id = pl.col(columns.image_id or columns.image)
    files = rows.select(
        "row",
        image_id=image_id,
        study_id=pl.col(columns.study) if columns.study else image_id,
        patient_id=_optional(columns.patient),
        path=pl.col(columns.image),
        view=_optional(columns.view),
        distributed_split=pl.lit(None, pl.String),
        report=_optional(columns.report),
        report_file=_optional(columns.report_file),
    )
    refuse_unsafe_paths(files["report_file"], files["row"], source)
    tags = {"licenses": _counted(rows[columns.license])} if columns.license else {}
    return Index(table, files.drop("report", "report_file"), _reports(files, source), tags=tags)


def _optional(column: str | None) -> pl.Expr:
    return pl.col(column) if column else pl.lit(None, pl.String)


def _reports(files: pl.DataFrame, source: Path) -> pl.DataFrame:
    """One row a study that has a report; a study with two different reports is an error."""
    reports = files.select(
        "row", "study_id", "patient_id", "distributed_split", path="report_file", text="report"
    ).filter(pl.col("path").is_not_null() | pl.col("text").is_not_null())
    reports = reports.unique(REPORT_COLUMNS, keep="first", maintain_order=True)
    clash = reports.filter(pl.col("study_id").is_duplicated())
    if len(clash):
        first = clash.filter(pl.col("study_id") == clash["study_id"][0])["row"]
        raise InputError(
            f"{source}: rows {first[0]} and {first[1]} are one study with different reports or patients; "
            "correct them or give the images different studies"
        )
    return reports.select(REPORT_COLUMNS)


def _counted(values: pl.Series) -> str:
    counts = values.fill_null("not stated").value_counts(sort=True).rows()
    return "; ".join(f"{value}: {count}" for value, count in sorted(counts, key=lambda item: (-item[1], item[0])))
