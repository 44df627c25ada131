"""Labels by row: a table of `image, finding, present`, and boxes or masks of the findings that rows list."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from ..common.data.own_tables import names_of
from ..common.data.table_files import ROW
from ..label_images.boxes import parse_boxes
from ..label_images.label_columns import folded
from ..label_images.label_rows import NO_WORDS
from ..label_images.listed_labels import words_in
from .finding_prompts import NAMES_NOTHING, plain_words
from .label_guess import Boxes, Finding, Listed, is_normal, listed_in

_DIFFERING = 4  # of so many images with several rows, one at least has different words
_OF_NO_FINDING = re.compile(  # names of columns by which the rows of an image may differ, too
    r"\b(sides?|laterality|zones?|regions?|locations?|sites?|lobes?|quadrants?|positions?|organs?|views?|anatom\w*|"
    r"doctor|physician|expert|users?|method|model|source|time\w*|date|visit|type|split|severity|grade)\b"
)


def long_in(
    table: pl.DataFrame, keys: Sequence[str], names: Sequence[str], findings: Sequence[Finding]
) -> Listed | None:
    """Return the column of words that a column of yes and no labels row by row, or None.

    `keys` are the columns of the image and its reader, `names` those that may hold words. Where several say yes and no,
    the label is the one whose name says nothing by itself (`present`).
    """
    unnamed = [each for each in findings if NAMES_NOTHING.fullmatch(plain_words(each.column))]
    if not unnamed and len(findings) != 1:
        return None
    target = (unnamed or findings)[0]
    found = []
    for name in names:
        # Beside `present`, a column of words is one of findings, whatever its name; beside `mass`, it has to say so.
        listed = listed_in(table[name], is_named=bool(unnamed) and not _OF_NO_FINDING.search(plain_words(name)))
        labelled = _labelled(table, keys, listed, target) if listed else None
        found += [labelled] if labelled else []
    return min(found, key=lambda each: each.clashes, default=None)


def _labelled(table: pl.DataFrame, keys: Sequence[str], listed: Listed, target: Finding) -> Listed | None:
    """Return the words with what the column of yes and no says of them; None where it says nothing of words.

    Rows of an image differ in words, and some word is affirmed in one image and denied in another.
    """
    usual = {folded(word): word for word in (*listed.words, *listed.normal, *listed.beside)}
    whether = {cell: cell in target.present for cell in (*target.present, *target.absent)}
    images: dict[tuple[str, ...], dict[str, set[bool]]] = {}
    cells: dict[tuple[str, ...], list[str]] = {}
    for cell, said, *key in table.select(listed.column, target.column, *keys).drop_nulls(listed.column).iter_rows():
        cells.setdefault(tuple(key), []).append(folded(cell))
        image = images.setdefault(tuple(key), {})
        for word in words_in(cell, listed.separator):
            if said in whether and folded(word) in usual:
                image.setdefault(usual[folded(word)], set()).add(whether[said])
    several = [len({*each}) > 1 for each in cells.values() if len(each) > 1]
    affirmed = Counter(word for image in images.values() for word, said in image.items() if True in said)
    denied = {word for image in images.values() for word, said in image.items() if False in said}
    findings = [word for word in listed.words if word in affirmed or word in denied]
    if not any(several) or _DIFFERING * sum(several) < len(several) or denied.isdisjoint(affirmed) or not findings:
        return None
    affirming = [{word for word, said in image.items() if True in said} for image in images.values()]
    beside = {word for words in affirming if not all(map(is_normal, words)) for word in words}
    normal = (*listed.normal, *listed.beside)
    return replace(
        listed,
        words={word: affirmed[word] for word in sorted(findings, key=lambda word: -affirmed[word])},
        normal=tuple(word for word in normal if word not in beside),
        beside=tuple(word for word in normal if word in beside),
        empty=(),
        target=target,
        clashes=sum(len(said) > 1 for image in images.values() for said in image.values()),
    )


def outlined_by_word(table: pl.DataFrame, listed: Listed, boxes: Boxes | None, mask: str | None) -> Mapping[str, int]:
    """Return the number of boxes of each finding, or of masks where there are no boxes; the most first."""
    names = names_of(boxes.columns if boxes else mask)
    usual = {folded(word): word for word in listed.words}
    target = [listed.target.column] if listed.target else []
    outlined: Counter[str] = Counter()
    for row, cell, *said in table.select(ROW, listed.column, *names, *target).drop_nulls(listed.column).iter_rows():
        words = [usual[key] for word in words_in(cell, listed.separator) if (key := folded(word)) in usual]
        given = [each for each in said[: len(names)] if each and each.lower() not in NO_WORDS]
        # A box belongs to one finding: label_images refuses it in a row of several.
        if given and len(words) == 1 and (listed.target is None or said[-1] in listed.target.present):
            in_a_cell = boxes is not None and len(names) == 1
            outlined[words[0]] += len(parse_boxes(row, given[0], f"row {row}")) if in_a_cell else 1
    return {word: number for word, number in outlined.most_common() if number}
