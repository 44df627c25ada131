"""CSV tables of a distribution: read as text and checked; every error names the file and row."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from ..errors import InputError, first_line

REPORT_COLUMNS = ("study_id", "patient_id", "distributed_split", "path", "text")

# An absolute path (Unix or Windows), a step upwards, or a backslash between folders.
_UNSAFE_PATH = r"^/|^[A-Za-z]:|(^|/)\.\.(/|$)|\\"


@dataclass(frozen=True)
class Index:
    """Entries of a distribution's index, with the distribution's own ids.

    `files` has image_id, study_id, patient_id, path, view, distributed_split and row (1-based in `source`, the header
    counted). `reports` has `REPORT_COLUMNS`. `counts` and `tags` go to the journal.
    """

    source: str
    files: pl.DataFrame
    reports: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict.fromkeys(REPORT_COLUMNS, pl.String)))
    counts: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def read_index(
    root: Path, name: str, columns: Sequence[str], where_to_get: str = "", show: bool = True
) -> pl.DataFrame:
    """Read the CSV `name` (or csv.gz) as text, and add the column `row`.

    Cells and column names lose outer blanks; empty cells become null. Raises InputError where the file is missing, is
    no CSV, has no row or lacks a column. The message quotes the file only if `show` is true: without a header, the
    names of the columns are a patient's row.
    """
    path = root / name
    if not path.is_file():
        raise InputError(f"{path}: no such index file", remedy=where_to_get or "correct the file name in the settings")
    try:
        table = pl.read_csv(path, infer_schema=False).rename(str.strip)
    except pl.exceptions.NoDataError:
        raise InputError(f"{path}: empty", remedy=where_to_get or "write a header and one row per image") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = first_line(error)[:160] if show else type(error).__name__
        raise InputError(f"{path}: not readable as CSV ({reason})", remedy="download it again, or correct it") from None
    missing = [column for column in columns if column not in table.columns]
    if missing:
        found = ", ".join(table.columns) if show else f"{len(table.columns)} columns of other names"
        raise InputError(
            f"{path}: no column {', '.join(missing)}",
            remedy=f"correct the table or the column name; it has {found}",
        )
    if table.is_empty():
        raise InputError(f"{path}: no row below the header", remedy=where_to_get or "add one row per image")
    text = pl.col(pl.String).str.strip_chars()
    return table.with_columns(pl.when(text != "").then(text)).with_row_index("row", offset=2)


def require_values(table: pl.DataFrame, source: Path, columns: Sequence[str]) -> None:
    """Raise an InputError that names the first row in which a cell of `columns` is empty."""
    for column in columns:
        rows = table.filter(pl.col(column).is_null())["row"]
        if len(rows):
            count = f"{len(rows)} such rows"
            raise InputError(
                f"{source}: row {rows[0]}: {column} is empty ({count})", remedy="fill it or remove the row"
            )


def refuse_duplicates(table: pl.DataFrame, source: Path, column: str, show: bool = True) -> None:
    """Raise an InputError that names two rows with the same value of `column`; it quotes the value if `show`."""
    repeated = table.filter(pl.col(column).is_duplicated())
    if len(repeated):
        value = repeated[column][0]
        rows = repeated.filter(pl.col(column) == value)["row"].sort()
        named = f"{column} {value}" if show else column
        count = repeated[column].n_unique()
        raise InputError(
            f"{source}: rows {rows[0]} and {rows[1]} have the same {named} ({count} such)", remedy="keep one of them"
        )


def refuse_unsafe_paths(paths: pl.Series, rows: pl.Series, source: Path) -> None:
    """Raise an InputError that names the first row whose path is absolute or leaves the root."""
    unsafe = rows.filter(paths.str.contains(_UNSAFE_PATH).fill_null(value=False))
    if len(unsafe):
        raise InputError(
            f"{source}: row {unsafe[0]}: the path is absolute, contains '..' or a backslash",
            remedy="write it relative to the data set's root, with '/' between folders",
        )


def read_patients(root: Path, name: str, image_ids: pl.Series, show: bool) -> pl.Series:
    """Return the patient_id of each of `image_ids`, read from a CSV of image_id and patient_id.

    Raises InputError where an image has no patient.
    """
    table = read_index(root, name, ["image_id", "patient_id"])
    require_values(table, root / name, ["image_id", "patient_id"])
    refuse_duplicates(table, root / name, "image_id", show)
    joined = pl.DataFrame({"image_id": image_ids}).join(table, on="image_id", how="left", maintain_order="left")
    unknown = joined.filter(pl.col("patient_id").is_null())["image_id"]
    if len(unknown):
        raise InputError(
            f"{root / name}: no patient for {f'image {unknown[0]}' if show else 'an image'} ({len(unknown)} such)",
            remedy="add rows, or set `patients` to null",
        )
    return joined["patient_id"]
