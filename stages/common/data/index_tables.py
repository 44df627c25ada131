"""Tables of a data set: read as text and checked; every error names the file and row."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from ..errors import InputError
from ..files.archives import is_file
from ..settings import did_you_mean
from .distributions import not_there
from .own_tables import DISTRIBUTED, TableFormat
from .table_files import ROW, read_table_file

REPORT_COLUMNS = ("study_id", "patient_id", "distributed_split", "path", "text")

# An absolute path (Unix or Windows), a step upwards, or a backslash between folders.
_UNSAFE_PATH = r"^/|^[A-Za-z]:|(^|/)\.\.(/|$)|\\"


@dataclass(frozen=True)
class Index:
    """Entries of a distribution's index, with the distribution's own ids.

    `files` has image_id, study_id, patient_id, path, view, sex, age, distributed_split, inverted and `ROW` (in
    `source`).
    `reports` has `REPORT_COLUMNS`. `counts` and `tags` go to the journal; `warnings` are for the reader.
    """

    source: str
    files: pl.DataFrame
    reports: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict.fromkeys(REPORT_COLUMNS, pl.String)))
    counts: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read_index(
    root: Path,
    name: str,
    columns: Iterable[str],
    where_to_get: str = "",
    show: bool = True,
    form: TableFormat = DISTRIBUTED,
) -> pl.DataFrame:
    """Read the table `name` as text (`read_table_file`), with the number of each row in `ROW`.

    `columns` must be there; a mapping gives the key of the settings that names each. Raises InputError where the file
    is missing, is no table, has no row, or lacks a column or has it twice. The message quotes the file only if `show`
    is true: without a header, the names of the columns are a patient's row.
    """
    path = root / name
    if not is_file(path):
        raise not_there(path, "no such index file", where_to_get or "correct the file name in the settings")
    columns = columns if isinstance(columns, Mapping) else list(columns)
    table = read_table_file(path, form, where_to_get or "write a header and one row per image", columns)
    refuse_lacking_columns(path, table, columns, show, form)
    if table.is_empty():
        raise InputError(f"{path}: no row below the header", remedy=where_to_get or "add one row per image")
    return table


def refuse_lacking_columns(
    path: Path, table: pl.DataFrame, columns: Iterable[str], show: bool, form: TableFormat
) -> None:
    """Raise an InputError for each of `columns` that a table lacks; `read_index` explains the arguments."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        keys = columns if isinstance(columns, Mapping) else {}
        raise _no_column(path, table.columns[1:], missing, keys, show, form)


def only_rows(rows: pl.DataFrame, chosen: Mapping[str, Sequence[str]], source: Path, show: bool) -> pl.DataFrame:
    """Return the rows whose cells are among those that `chosen` has for their columns; "" is a blank cell.

    Raises InputError for a cell that no row has, and where no row is left.
    """
    every = rows
    for column, cells in chosen.items():
        texts = every[column].fill_null("")
        if absent := [cell for cell in cells if cell not in texts]:
            what = f"{source}: no row of {column} has the cell {absent[0]!r} of `only_rows`"
            seen = f"; it has {', '.join(sorted(texts.unique())[:8])}" if show and texts.n_unique() <= 50 else ""
            raise InputError(what, f"correct it{seen}")
        rows = rows.filter(pl.col(column).fill_null("").is_in(cells))
    if rows.is_empty():
        raise InputError(f"{source}: `only_rows` leaves no row", "no row has all of its cells: correct it")
    return rows


# Names that tables commonly give to their columns. Where messages may not quote a file, they may suggest these.
_COMMON_NAMES = frozenset(
    [
        "id",
        "file",
        "filename",
        "file_name",
        "path",
        "file_path",
        "image",
        "image_id",
        "image_path",
        "image_name",
        "dicom_id",
        "imageid",
        "encodedpixels",
        "patient",
        "patient_id",
        "patientid",
        "subject",
        "subject_id",
        "person",
        "study",
        "study_id",
        "exam",
        "accession",
        "view",
        "view_position",
        "viewposition",
        "projection",
        "report",
        "report_file",
        "text",
        "findings",
        "impression",
        "label",
        "target",
        "finding",
        "class",
        "boxes",
        "box",
        "mask",
        "lung_mask",
        "split",
        "license",
        "x",
        "y",
        "width",
        "height",
        "age",
        "sex",
    ]
)


def _no_column(
    path: Path, header: Sequence[str], missing: Sequence[str], keys: Mapping[str, str], show: bool, form: TableFormat
) -> InputError:
    what = f"{path}: no column {', '.join(missing)}"
    for separator, name in ((";", "';'"), ("\t", r"'\t'"), ("|", "'|'"), (",", "','")):
        if len(header) == 1 and len(header[0].split(separator)) > 1:
            act = f"set separator: {name}" if form.keys else "save it with commas"
            return InputError(what, remedy=f"it has 1 column, its cells seem to be separated by {name}: {act}")
    named = dict.fromkeys(f"`{keys[column]}`" for column in missing if column in keys)
    found = ", ".join(header) if show else f"{len(header)} columns of other names"
    hints = "".join(_did_you_mean(column, header, show) for column in missing)
    return InputError(
        what, remedy=f"correct the table or {', '.join(named) or 'the column name'}; it has {found}{hints}"
    )


def _did_you_mean(column: str, header: Sequence[str], show: bool) -> str:
    """Suggest a near name of the header; unless `show`, only one that equals `column` but for case and punctuation."""
    if show:
        return did_you_mean(column, header)
    same = [name for name in header if _letters(name) == _letters(column)]
    return did_you_mean(column, same or [name for name in header if name.lower() in _COMMON_NAMES])


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def whole_number(text: str) -> int:
    """Return the number that ASCII digits write. Raises ValueError; Python itself reads `1_0` and full-width digits."""
    return int(_plain(text))


def decimal_number(text: str) -> float:
    """Return the number that ASCII text writes. Raises ValueError, as `whole_number`."""
    return float(_plain(text))


def _plain(text: str) -> str:
    if not text.isascii() or "_" in text:
        raise ValueError(f"{text!r} is no number")
    return text


def similar_patients(patients: pl.Series, rows: pl.Series, source: Path, show: bool) -> list[str]:
    """Return a warning where ids of patients look like one: they differ in zeros, case, blanks or unseen characters.

    They may be one patient, whose images then fall into several splits. Ids are quoted only if `show` is true.
    """
    first: dict[str, tuple[str, int]] = {}
    found: list[tuple[str, int, str, int]] = []
    table = pl.DataFrame({"patient": patients, "row": rows}).drop_nulls("patient")
    for patient, row in table.unique("patient", keep="first", maintain_order=True).iter_rows():
        other, other_row = first.setdefault(_plain_id(patient), (patient, row))
        if other != patient:
            found.append((other, other_row, patient, row))
    if not found:
        return []
    one, one_row, two, two_row = found[0]
    named = (
        f"patients {_visible(one)} and {_visible(two)} (rows {one_row} and {two_row})"
        if show
        else f"the patients of rows {one_row} and {two_row}"
    )
    return [
        f"{source}: {named} differ only in zeros, case or blanks ({len(found)} such); they count as different patients "
        "and may fall into different splits: write one patient's id in one way"
    ]


def _plain_id(identifier: str) -> str:
    """Return an id without what programs and keyboards add: case, width, blanks, zeros, unseen characters, `.0`."""
    folded = unicodedata.normalize("NFKC", identifier).casefold()
    seen = "".join(each for each in folded if not each.isspace() and unicodedata.category(each) not in ("Cf", "Cc"))
    whole = re.sub(r"^([^.]*\d)\.0+$", r"\1", seen)  # 1.0 is the 1 of a column that was read as numbers; 1.2.0 is not
    return re.sub(r"(?<!\d)0+(?=\d)", "", whole)


def _visible(identifier: str) -> str:
    return identifier if identifier.isprintable() else ascii(identifier)


# What programs write for a missing value, in lower case; as ids these would join what does not belong together.
NO_VALUE = ("nan", "na", "n/a", "n.a.", "<na>", "#n/a", "none", "null", "nil", "nat", "-", "--", "?")


def require_values(table: pl.DataFrame, source: Path, columns: Sequence[str]) -> None:
    """Raise an InputError that names the first row in which a cell of `columns` is empty, or says so: `nan`, `None`."""
    for column in columns:
        says_nothing = pl.col(column).is_null() | pl.col(column).str.to_lowercase().is_in(NO_VALUE)
        rows = table.filter(says_nothing).select(ROW, column)
        if len(rows):
            row, value = rows.row(0)
            state = "empty" if value is None else f"{value}, which stands for a missing value"
            raise InputError(
                f"{source}: row {row}: {column} is {state} ({len(rows)} such rows)", remedy="fill it or remove the row"
            )


def refuse_duplicates(table: pl.DataFrame, source: Path, column: str, show: bool = True, called: str = "") -> None:
    """Raise an InputError that names two rows with the same value of `column`, `called` so where the user has no such.

    It quotes the value if `show`.
    """
    repeated = table.filter(pl.col(column).is_duplicated())
    if len(repeated):
        value = repeated[column][0]
        rows = repeated.filter(pl.col(column) == value)[ROW].sort()
        named = f"{called or column} {value}" if show else called or column
        count = repeated[column].n_unique()
        raise InputError(
            f"{source}: rows {rows[0]} and {rows[1]} have the same {named} ({count} such)", remedy="keep one of them"
        )


def plain_paths(column: str) -> pl.Expr:
    """Return the paths of a column with one spelling of each: `./a//b.png` and `a/./b.png` are `a/b.png`.

    Steps upwards are left, and refused by `refuse_unsafe_paths`.
    """
    joined = pl.col(column).str.replace_all(r"/(\.?/)+", "/")
    return joined.str.replace(r"^(\./)+", "").str.replace(r"(.)/\.?$", "$1")


def refuse_unsafe_paths(paths: pl.Series, rows: pl.Series, source: Path) -> None:
    """Raise an InputError that names the first row whose path is absolute or leaves the root."""
    unsafe = rows.filter(paths.str.contains(_UNSAFE_PATH).fill_null(value=False))
    if len(unsafe):
        raise InputError(
            f"{source}: row {unsafe[0]}: the path is absolute, contains '..' or a backslash",
            remedy="write it relative to the data set's root, with '/' between folders",
        )


PATIENT_COLUMNS = ("image_id", "patient_id")


def read_patients(root: Path, name: str, show: bool, form: TableFormat) -> tuple[pl.DataFrame, list[str]]:
    """Return the table of image_id and patient_id, and warnings about ids of patients that are nearly equal."""
    source = root / name
    table = read_index(root, name, PATIENT_COLUMNS, show=show, form=form)
    require_values(table, source, PATIENT_COLUMNS)
    refuse_duplicates(table, source, "image_id", show)
    return table.select(ROW, *PATIENT_COLUMNS), similar_patients(table["patient_id"], table[ROW], source, show)
