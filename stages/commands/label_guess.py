"""Columns of labels and boxes, read off their cells: yes and no, a list of findings, boxes in text or in columns."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from ..common.data.own_tables import names_of
from ..common.data.table_files import ROW
from ..common.errors import InputError
from ..label_images.boxes import parse_box, parse_boxes
from ..label_images.label_columns import BoxesForm, folded
from ..label_images.label_rows import NO_WORDS
from ..label_images.listed_labels import words_in
from .finding_prompts import plain_words

PRESENT = frozenset(
    [
        "1",
        "1.0",
        "yes",
        "y",
        "true",
        "t",
        "positive",
        "pos",
        "present",
        "si",
        "s\u00ed",
        "oui",
        "ja",
        "j",
        "sim",
        "vorhanden",
    ]
)
ABSENT = frozenset(
    [
        "0",
        "0.0",
        "no",
        "n",
        "false",
        "f",
        "negative",
        "neg",
        "absent",
        "non",
        "nein",
        "nee",
        "n\u00e3o",
        "nao",
        "nicht vorhanden",
    ]
)
UNCERTAIN = frozenset(
    ["-1", "-1.0", "uncertain", "unclear", "equivocal", "indeterminate", "?", "u", "unklar", "fraglich", "incertain",
     "douteux", "dudoso", "incierto"]
)  # fmt: skip
UNKNOWN = frozenset(
    ["unknown", "unbekannt", "inconnu", "desconocido", "k.a.", "k. a.", "k.a", "keine angabe", "n/a", "n.a.", "na"]
)
_OTHER_WORDS = 3  # words among the labels that say neither, e.g. n/a: unlabelled
_NORMAL = re.compile(  # beside the words of ABSENT
    r"none|nothing|[-\u2013\u2014]+|healthy( (control|subject|lungs?))?|clear( (chest|lungs?))?|"
    r"(within )?normal( (chest|lungs?|image|stud(y|ies)|exam|x ?rays?|radiograph|cxr|limits))?|"
    r"(no|without) ((significant|acute|active|relevant|abnormal|pathologic(al)?|radiographic) )*"
    r"(findings?|abnormalit(y|ies)|disease|patholog(y|ies)|lesions?)|unremarkable|negative for .+|"
    r"sin hallazgos|sano|ning[u\u00fa]n[oa]?|negativ[oa]?|ohne befund|o ?b|kein befund|keine|gesund|unauff\u00e4llig|"
    r"normal(e|o|befund)|normaal|geen( (afwijkingen|bevindingen))?|sem achados|nenhuma?|saud\u00e1vel|"
    r"ness(un|una|uno)( reperto)?|aucune?( anomalie)?|sain|rien",
    re.IGNORECASE,
)
_LISTING = re.compile(r"\b(labels?|class(es)?|findings?|diagnos\w+|categor\w+|disease\w*|patholog\w+|abnormalit\w+)\b")
_LIST = re.compile(r"\[.*\]|\(['\"].*\)|\{['\"].*\}", re.DOTALL)
_MOST_WORDS = 200  # that a column of findings has
MOST_FINDINGS = 30  # that are written, the most frequent first


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
class Listed:
    """A column that lists findings: the text between its words, the words with their rows, and those for none."""

    column: str
    separator: str
    words: Mapping[str, int]  # the most frequent first; with `target`, the rows where it says present
    normal: tuple[str, ...]
    beside: tuple[str, ...] = ()  # words for none that stand beside findings: read as such, they would contradict them
    empty: tuple[str, ...] = ()  # whole cells that say none without a word of `normal`, e.g. []
    target: Finding | None = None  # the column of yes and no that labels the findings of a row
    clashes: int = 0  # images and words that one row affirms and another denies
    outlined: Mapping[str, int] = field(default_factory=dict)  # boxes or masks by word


def finding_in(cells: pl.Series) -> Finding | None:
    """Return the labels of a column of yes and no, or None."""
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


def not_understood(cells: pl.Series) -> list[str]:
    """Return the words beside yes and no of a column that is of labels but for them; nothing for any other column."""
    counts = dict(cells.drop_nulls().value_counts().iter_rows())
    known = {value for value in counts if value.lower() in PRESENT | ABSENT}
    others = sorted(value for value in counts if value not in known and value.lower() not in UNCERTAIN | UNKNOWN)
    of_labels = 2 * sum(counts[value] for value in known) > sum(counts.values())
    is_word = any(len(value) > 1 and value.isalpha() for value in known) and not any(map(_is_number, others))
    return others if of_labels and is_word and finding_in(cells) is None else []


def listed_in(cells: pl.Series, *, is_named: bool = False) -> Listed | None:
    """Return the findings that a column lists: few words, which return in other cells; None for any other column.

    Cells without a separator are a list where the column is named so (`class_name`), or is said to be.
    """
    known = [cell for cell in cells.drop_nulls() if not _is_missing(cell)]
    lists = [cell for cell in known if _LIST.fullmatch(cell)]
    texts = [cell for cell in known if not _LIST.fullmatch(cell)]
    separator = next((each for each in ("|", ";", ",") if any(each in cell for cell in texts)), "|")
    read = {cell: words_in(cell, separator) for cell in known}
    words = _case_folded(Counter(word for cell in known for word in read[cell] if not _is_missing(word)))
    several = bool(lists) or any(separator in cell for cell in texts)
    if not words or not (several or is_named or _LISTING.search(plain_words(cells.name))):
        return None
    findings = {word: number for word, number in words.most_common() if not is_normal(word)}
    returns = 3 * len(words) < words.total() and len(words) <= _MOST_WORDS
    short = all(len(word.split()) <= 8 and not word.endswith(".") and any(map(str.isalpha, word)) for word in findings)
    if not findings or not returns or not short or (not several and len(words) < 2):
        return None
    normal = [word for word in words if is_normal(word)]
    keys = set(map(folded, findings))
    mixed = {word for each in read.values() if keys & (cell := set(map(folded, each))) for word in cell}
    empty = (cell for cell, each in read.items() if all(is_normal(word) and folded(word) in mixed for word in each))
    return Listed(
        cells.name,
        separator,
        findings,
        tuple(word for word in normal if folded(word) not in mixed),
        tuple(word for word in normal if folded(word) in mixed),
        tuple(sorted(empty)),
    )


def is_normal(word: str) -> bool:
    """Return whether a word of a list says that there is no finding."""
    return word.lower() in ABSENT or _NORMAL.fullmatch(plain_words(word) or word) is not None


def _is_missing(word: str) -> bool:
    return word.lower() in NO_WORDS and not is_normal(word)


def _case_folded(spelled: Counter[str]) -> Counter[str]:
    """Return words that label_images takes for one as one, in their most frequent spelling."""
    usual: dict[str, str] = {}
    words: Counter[str] = Counter()
    for word, number in spelled.most_common():
        words[usual.setdefault(folded(word), word)] += number
    return words


@dataclass(frozen=True)
class Boxes:
    """Columns of boxes and the keys of `label_images` that describe them."""

    columns: str | list[str]
    form: BoxesForm = "xywh"
    size: tuple[int, int] | None = None
    size_columns: tuple[str, ...] = ()

    def keys(self) -> dict[str, Any]:
        """Return the keys beside `columns`."""
        form = {"boxes_form": self.form} if self.form != "xywh" else {}
        return form | ({"boxes_size": list(self.size)} if self.size else {})

    def named(self) -> dict[str, Any]:
        """Return the keys of `columns`."""
        size = {"boxes_size": list(self.size_columns)} if self.size_columns else {}
        return {"boxes": self.columns} | size


_ORGANS = re.compile("lung|heart|organ|crop", re.IGNORECASE)  # their boxes outline no finding
_WIDTH, _HEIGHT = "width|breite|largeur|ancho", "height|hoehe|hohe|h\u00f6he|hauteur|alto"
_BOX_NAMES: tuple[tuple[BoxesForm, tuple[str, ...]], ...] = (  # names of each number, without blanks and `bbox`
    ("xyxy", ("xmin|x1|x0|left|x", "ymin|y1|y0|top|y", "xmax|x2|right", "ymax|y2|bottom")),
    ("xyxy", ("x0", "y0", "x1", "y1")),
    ("xywh", ("x|xmin|left|x1", "y|ymin|top|y1", f"w|{_WIDTH}", f"h|{_HEIGHT}")),
)
_SIZE_NAMES = (
    rf"(image|img|orig\w*|dicom|bild)({_WIDTH}|w|columns|cols)|{_WIDTH}|columns",
    rf"(image|img|orig\w*|dicom|bild)({_HEIGHT}|h|rows)|{_HEIGHT}|rows",
)


def boxes_in(table: pl.DataFrame, names: Sequence[str]) -> Boxes | None:
    """Return the boxes of a table: of four columns of numbers, else of a column of text."""
    plain = {name: re.sub(r"^(boundingbox|bbox|box)(?=.)", "", re.sub(r"[\W_]", "", name.lower())) for name in names}
    numbers = [name for name in names if _holds_numbers(table[name])]

    def first(pattern: str, among: Sequence[str]) -> str | None:
        return next((name for name in among if re.fullmatch(pattern, plain[name])), None)

    for form, patterns in _BOX_NAMES:
        found = [name for name in (first(pattern, numbers) for pattern in patterns) if name is not None]
        if len({*found}) == 4:
            rest = [name for name in numbers if name not in found]
            size = [name for name in (first(pattern, rest) for pattern in _SIZE_NAMES) if name is not None]
            largest = max(_largest(table[name]) for name in found)
            if largest <= 1:
                return Boxes(found, form, (1, 1))
            return Boxes(found, form, None, tuple(size) if len(size) == 2 else ())
    for name in names:
        if _holds_boxes(table[name]) and not _ORGANS.search(name):
            largest = max(float(each) for cell in _known(table[name]) for each in _NUMBER.findall(cell))
            return Boxes(name, size=(1, 1) if largest <= 1 else None)
    return None


def decimal_commas(table: pl.DataFrame, names: Sequence[str]) -> str:
    """Return why the columns hold no boxes where decimal points would make them some; else nothing."""
    with_points = table.with_columns(pl.col(names).str.replace_all(r"(\d),(\d)", "${1}.${2}")) if names else table
    boxes = boxes_in(with_points, names)
    if boxes is None:
        return ""
    columns = names_of(boxes.columns)
    cell = next(cell for name in columns for cell in table[name].drop_nulls() if "," in cell)
    return f"{', '.join(columns)}: numbers have decimal commas ({cell}), which are read as separators: write points"


def refused_boxes(table: pl.DataFrame, boxes: Boxes) -> str:
    """Return what label_images refuses in the boxes of a table, e.g. 0 0 0 0 for none; else nothing."""
    names = names_of(boxes.columns)
    cells = [pl.when(~pl.col(name).str.to_lowercase().is_in(NO_WORDS)).then(pl.col(name)) for name in names]
    refused: list[InputError] = []
    for row, *box in table.select(ROW, *cells).iter_rows():
        if not any(box):
            continue
        try:
            if len(names) == 1:
                parse_boxes(row, box[0], f"row {row}", boxes.form)
            else:
                parse_box(row, box, f"row {row}", boxes.form)
        except InputError as error:
            refused.append(error)
    if not refused:
        return ""
    what, rows = refused[0].what, f" ({len(refused):,} such rows)" if len(refused) > 1 else ""
    return f"{', '.join(names)}: {what}{rows}, which label_images refuses: clear the cells where there is no box"


def outlined_finding(table: pl.DataFrame, findings: Sequence[Finding], outlines: Sequence[str]) -> str | None:
    """Return the only column of `findings` that says present in every row with a box or mask; None for 0 or several."""
    known = [pl.col(name).is_not_null() & ~pl.col(name).str.to_lowercase().is_in(NO_WORDS)
             & ~pl.col(name).str.contains(_NO_BOX) for name in outlines]  # fmt: skip
    rows = table.filter(pl.any_horizontal(known)) if known else table.clear()
    present = [each.column for each in findings if rows[each.column].is_in(each.present).fill_null(value=False).all()]
    return present[0] if len(rows) and len(present) == 1 else None


_NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:e[-+]?\d+)?")
_FOUR = rf"[\s\[(]*{_NUMBER.pattern}(?:[\s,]+{_NUMBER.pattern}){{3}}"
_BOXES = rf"^(?:{_FOUR}\s*(?:[;,\])][\s;,\])]*|$))+$"  # as parse_boxes reads them, and 4 numbers after 4 others
_NUMBERS = r"^[\d\s.,;:()\[\]+-]*$"
_NO_BOX = r"^[\s\[\](),;]+$"  # [], as Python writes no boxes


def _known(cells: pl.Series) -> pl.Series:
    """Return the cells that hold something, as label_images reads boxes."""
    return cells.filter(cells.is_not_null() & ~cells.str.to_lowercase().is_in(NO_WORDS) & ~cells.str.contains(_NO_BOX))


def _holds_boxes(cells: pl.Series) -> bool:
    known = _known(cells)
    return bool(len(known)) and bool(known.str.contains(_BOXES).all())


def _holds_numbers(cells: pl.Series) -> bool:
    known = _known(cells)
    return bool(len(known)) and all(map(_is_number, known.unique()))


def _largest(cells: pl.Series) -> float:
    return float(_known(cells).cast(pl.Float64).max())  # type: ignore[arg-type]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)", text) is not None


def mean_words(cells: pl.Series) -> float:
    """Return how many words a cell has on average; none where all are numbers."""
    if cells.drop_nulls().str.contains(_NUMBERS).all():
        return 0.0
    mean: Callable[[], Any] = cells.drop_nulls().str.split(" ").list.len().mean
    return float(mean() or 0)
