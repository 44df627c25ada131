"""Labels of your own tables: those of images or studies, and boxes of a second table."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from ..common.data.distributions import WHERE_TO_GET
from ..common.data.folder_trees import read_rows
from ..common.data.index_tables import (
    plain_paths,
    read_index,
    refuse_duplicates,
    refuse_unsafe_paths,
    require_values,
)
from ..common.data.table_files import ROW
from ..common.errors import InputError
from .contract import LabelImagesSettings
from .distributed_labels import LabelTable, row_of
from .label_columns import BoxesTable, folded
from .label_rows import Rows
from .listed_labels import ListedRows, findings_by_word


def read_folder(root: Path, settings: LabelImagesSettings, roots: tuple[Path, ...] = ()) -> LabelTable:
    """Return the labels by distributed image id.

    Raises InputError, which names the row, for a cell without meaning, for what contradicts itself, and for one of
    several findings that the table never has.
    """
    columns = settings.columns
    assert columns is not None, "the settings' validator saw to it"
    source, key = root / settings.main_table(root), columns.key
    table = read_rows(root, settings, settings.named_columns(), roots).table
    if columns.image is not None:
        table = table.with_columns(plain_paths(columns.image))  # as index_inputs, whose ids these are
    require_values(table, source, [key, *([settings.readers.column] if settings.readers else [])])
    one_box_a_row = any(isinstance(each.boxes, list) for each in settings.by_finding.values())
    if columns.findings is None and not one_box_a_row and settings.readers is None:
        refuse_duplicates(table, source, key, show=settings.show)
    own_masks = [each.mask for each in settings.by_finding.values()]
    for column in dict.fromkeys([columns.mask, columns.lung_mask, *own_masks]):
        if column is not None:
            refuse_unsafe_paths(table[column], table[ROW], source)
    rows = Rows(settings, source) if columns.findings is None else ListedRows(settings, source)
    for row in table.iter_rows(named=True):
        rows.add(row, row[key])
    lines = [] if settings.boxes_table is None else _add_boxes(rows, root, settings, settings.boxes_table)
    read = rows.table()
    return replace(read, warnings=[*read.warnings, *lines])


def _add_boxes(rows: Rows, root: Path, settings: LabelImagesSettings, place: BoxesTable) -> list[str]:
    """Add the boxes of the second table, and return a warning about images that the first one lacks.

    Raises InputError where no row has a known word.
    """
    assert settings.columns is not None
    source = root / place.table
    table = read_index(root, place.table, place.names(), WHERE_TO_GET["folder"], settings.show, settings.own_format)
    if settings.columns.image_id is None:
        table = table.with_columns(plain_paths(place.image))
    require_values(table, source, [place.image])
    findings, words = findings_by_word(settings), {folded(word): other for word, other in place.words.items()}
    lost: list[str] = []
    known, unused = False, Counter[str]()
    for row in table.iter_rows(named=True):
        word = str(row[place.finding]) if place.finding else ""
        meant = folded(words.get(folded(word), word))
        finding = settings.finding if place.finding is None else findings.get(meant)
        if finding is None:
            unused[word] += 1
            continue
        known, where = True, row_of(source, row[ROW], row[place.image], settings.show)
        if not rows.add_boxes(row, row[place.image], finding, where):
            lost.append(where)
    if not known:
        what = f"{source}: no row of {place.finding} has a word of `findings`"
        raise InputError(what, "correct `boxes_table.finding`, or map its words in `boxes_table.words`")
    lines = [f"{lost[0]}: a box, but the table of labels lacks the image ({len(lost)} such)"] if lost else []
    if unused:
        shown = ", ".join(f"{word} {count}" for word, count in unused.most_common()) if settings.show else "not shown"
        lines.append(f"{source}: {unused.total()} boxes have words that no finding has ({shown}): they are not used")
    return lines
