"""What the columns of a table hold, read off its cells: images, patients, reports, views, a finding, boxes, masks.

A cell decides before a name does: an image column names files that exist, labels are words of yes and no, a view is
one that `normalise_view` knows. Names decide between columns whose cells look alike.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from ..common.data.own_tables import TableFormat
from ..common.data.table_files import ROW, default_separator, read_table_file
from ..common.errors import InputError
from ..common.radiographs.views import normalise_view
from ..split_reports.languages import LOOKED_AT, better_language

_SEPARATORS = (",", ";", "\t", "|")
_LOOKED_AT = 500  # rows whose files are looked for
_SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg")
PRESENT = frozenset(
    ["1", "1.0", "yes", "y", "true", "t", "positive", "pos", "present", "si", "s\u00ed", "oui", "ja", "sim"]
)
ABSENT = frozenset(
    ["0", "0.0", "no", "n", "false", "f", "negative", "neg", "absent", "non", "nein", "nee", "n\u00e3o", "nao"]
)
_NO_FINDING = re.compile(  # yes and no about something else than the lungs; words apart, see _words
    r"\b(portable|sex|gender|male|female|smok\w*|split|train\w*|test\w*|valid\w*|inver\w*|supine|erect|consent\w*|"
    r"frontal|lateral|deceased|dead|death|died|alive|icu|admitted|intubated)\b",
    re.IGNORECASE,
)
_OTHER_WORDS = 3  # words among the labels that say neither, e.g. n/a: unlabelled
UNCERTAIN = frozenset(["-1", "-1.0", "uncertain", "unclear", "equivocal", "indeterminate", "?", "u"])
UNKNOWN = frozenset(["unknown"])
_BOX = r"\s*\d+(\.\d+)?(\s+\d+(\.\d+)?){3}\s*"


@dataclass(frozen=True)
class Finding:
    """A column of labels, and which of its values say what, as they are written."""

    column: str
    present: tuple[str, ...]
    absent: tuple[str, ...]
    uncertain: tuple[str, ...]
    unknown: tuple[str, ...]
    counts: Mapping[str, int]  # by value, blank cells as ""

    def count(self, values: Iterable[str]) -> int:
        """Return how many rows have one of the values."""
        return sum(self.counts[value] for value in values)


@dataclass(frozen=True)
class TableGuess:
    """Columns by what they hold; None where the table has no such column."""

    form: TableFormat
    rows: int
    image: str
    files: int  # rows whose image exists, of `looked_for`
    looked_for: int
    folder: Path  # below which the images lie
    patient: str | None
    without_patient: int  # rows
    study: str | None
    view: str | None
    report: str | None
    boxes: str | None
    mask: str | None
    lung_mask: str | None
    findings: tuple[Finding, ...]
    lists: tuple[str, ...]  # columns that list findings, which are not read
    unused: tuple[str, ...] = field(default=())
    language: str | None = None  # of the reports' headers, where it is clearly not English


def guess_table(path: Path, root: Path) -> TableGuess:
    """Read a table and say what its columns hold. Raises InputError where no column names images below `root`."""
    table, form = read_any(path)
    names = [name for name in table.columns if name != ROW]
    image, files, folder = _image_column(table, names, root, path)
    rest = [name for name in names if name != image]

    def taken(name: str | None) -> str | None:
        if name is not None:
            rest.remove(name)
        return name

    outlines = [name for name in rest if _names_files(table[name], folder, root)]
    lung_mask = taken(next((name for name in outlines if "lung" in name.lower()), None))
    mask = taken(next((name for name in outlines if name in rest), None))
    yes_or_no = (found for name in rest if (found := _finding(table[name])) is not None)
    findings = tuple(found for found in yes_or_no if not _NO_FINDING.search(_words(found.column)))
    for each in findings:
        rest.remove(each.column)
    organs = re.compile("lung|heart|organ|crop", re.IGNORECASE)  # their boxes outline no finding
    boxes = taken(next((name for name in rest if _holds_boxes(table[name]) and not organs.search(name)), None))
    patient = taken(_named(rest, table, r"patient|subject|person|\bpid\b|mrn"))
    study = taken(_named(rest, table, r"study|exam|accession|encounter"))
    view = taken(next((name for name in rest if _holds_views(table[name])), None))
    report = taken(_report_column(rest, table))
    lists = tuple(name for name in rest if _lists_findings(table[name]))
    without_patient = table[patient].null_count() if patient else 0
    fit = better_language(table[report].drop_nulls().head(LOOKED_AT).to_list()) if report else None
    return TableGuess(form, table.height, image, files, min(table.height, _LOOKED_AT), folder, patient,
                      without_patient, study, view,
                      report, boxes, mask, lung_mask, findings, lists, tuple(rest),
                      fit.language if fit else None)  # fmt: skip


def read_any(path: Path) -> tuple[pl.DataFrame, TableFormat]:
    """Read a table whose separator and encoding are not known.

    Raises InputError, that of the usual format, where no format fits.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file", remedy="name the table of your data set")
    encoding = _encoding_of(path)
    usual = default_separator(path)
    separators = (usual, *(each for each in _SEPARATORS if each != usual))
    found, error = None, None
    for separator in separators:
        form = TableFormat(None if separator == usual else separator, encoding, keys=True)
        try:
            table = read_table_file(path, form, "name a table with rows")
        except InputError as wrong:
            error = error or wrong
            continue
        if found is None or table.width > found[0].width:
            found = table, form
    if found is None:
        assert error is not None
        raise error
    if found[0].is_empty():
        raise InputError(f"{path}: no rows", remedy="name a table with a header and rows")
    return found


def _encoding_of(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith((b"PAR1", b"\x1f\x8b")):  # Parquet or gzip
        return "utf-8"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:1000]:
        return "utf-16"
    for encoding in ("utf-8", "cp1252"):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"


def _image_column(table: pl.DataFrame, names: list[str], root: Path, path: Path) -> tuple[str, int, Path]:
    """Return the column with most existing images, how many, and the folder below which they lie."""
    folders = [root, *sorted(each for each in root.iterdir() if each.is_dir())] if root.is_dir() else []
    best: tuple[int, str, Path] | None = None
    without_ending = ""
    for name in names:
        cells = [cell for cell in table[name].head(_LOOKED_AT).to_list() if cell]
        if len(set(cells)) <= len(cells) / 2:
            continue
        for folder in folders:
            number = sum(_is_file(folder / cell) for cell in cells)
            if number and (best is None or number > best[0]):
                best = number, name, folder
            if not number and cells and (ending := _ending_of(folder / cells[0])):
                without_ending = f"; {name} names files in {folder} without their ending {ending}: add it"
    if best is None:
        raise InputError(
            f"{path}: no column names images below {root}{without_ending}",
            remedy="name the images' folder with --root: a column must hold their paths relative to it, with the "
            "files' endings",
        )
    return best[1], best[0], best[2]


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - unlike pathlib's, it raises no error: a cell may be a whole report


def _ending_of(path: Path) -> str | None:
    return next((ending for ending in _SUFFIXES if _is_file(path.with_name(path.name + ending))), None)


def _names_files(cells: pl.Series, folder: Path, root: Path) -> bool:
    known = [cell for cell in cells.drop_nulls().head(50).to_list() if cell.lower().endswith(".png")]
    return bool(known) and all(_is_file(folder / cell) or _is_file(root / cell) for cell in known)


def _holds_boxes(cells: pl.Series) -> bool:
    known = cells.drop_nulls()
    return bool(len(known)) and bool(known.str.contains(rf"^{_BOX}(;{_BOX})*;?\s*$").all())


def _holds_views(cells: pl.Series) -> bool:
    values = [normalise_view(value) for value in cells.drop_nulls().unique().to_list()[:50]]
    return bool(values) and sum(view not in (None, "OTHER") for view in values) > len(values) / 2


def _finding(cells: pl.Series) -> Finding | None:
    counts = {value or "": number for value, number in cells.value_counts().iter_rows()}
    values = sorted(value for value in counts if value)

    def of(words: frozenset[str]) -> tuple[str, ...]:
        return tuple(value for value in values if value.lower() in words)

    present, absent, uncertain = of(PRESENT), of(ABSENT), of(UNCERTAIN)
    others = tuple(value for value in values if value not in (*present, *absent, *uncertain))
    foreign = [value for value in others if value.lower() not in UNKNOWN]
    few = (
        not any(map(_is_number, foreign))
        and len(foreign) <= _OTHER_WORDS
        and 4 * sum(counts[value] for value in foreign) < len(cells)
    )
    return Finding(cells.name, present, absent, uncertain, others, counts) if present and absent and few else None


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?[\d.]+", text) is not None


def _named(names: list[str], table: pl.DataFrame, pattern: str) -> str | None:
    """Return the first column with such a name and few blank cells; `PatientID` and `patient-id` are words, too."""
    for name in names:
        plain = _words(name)
        is_named = re.search(pattern, plain) and not re.search(r"\b(age|sex|gender|date|weight|position)\b", plain)
        if is_named and 4 * table[name].null_count() < table.height:  # a run names the rows that are blank
            return name
    return None


def _words(name: str) -> str:
    """Return a column's name in words: `PatientID` and `patient-id` are `patient id`."""
    return re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).lower()


def _report_column(names: list[str], table: pl.DataFrame) -> str | None:
    """Return the column with the longest text, of at least four words on average."""
    words: Callable[[str], float] = lambda name: (  # noqa: E731
        float(table[name].drop_nulls().str.split(" ").list.len().mean() or 0)  # type: ignore[arg-type]
    )
    lengths = {name: words(name) for name in names if not _lists_findings(table[name])}
    best = max(lengths, key=lambda name: lengths[name], default=None)
    return best if best is not None and lengths[best] >= 4 else None


def _lists_findings(cells: pl.Series) -> bool:
    """Return whether cells list findings, as `Effusion|Edema`: few words, which return in other cells."""
    known = cells.drop_nulls()
    words = known.str.split("|").explode()
    return bool(len(known)) and bool(known.str.contains("|", literal=True).any()) and 3 * words.n_unique() < len(words)
