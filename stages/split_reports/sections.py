"""Sections of a radiology report by their headers, as character offsets.

A header is a known name with a colon: at the start of a line in any case, within a line in capitals ("IMPRESSION:")
or, behind a full stop, with a capital ("Impression:"). In capitals and alone on its line it needs no colon
("FINAL REPORT"). Unknown names ("LUNGS:") are part of the section that they stand in.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain, permutations
from typing import NamedTuple

# What reports call their sections: MIMIC-CXR's headers and their usual variants.
_NAMES = {
    "examination": ["EXAMINATION", "EXAMINATIONS", "EXAM", "STUDY", "PROCEDURE", "TYPE OF EXAMINATION", "TYPE OF EXAM"],
    "indication": ["INDICATION", "INDICATIONS", "CLINICAL INDICATION", "CLINICAL INDICATIONS", "REASON FOR EXAM",
                   "REASON FOR EXAMINATION", "REASON FOR THE EXAM", "REASON FOR STUDY"],
    "history": ["HISTORY", "CLINICAL HISTORY", "PATIENT HISTORY", "CLINICAL INFORMATION", "CLINICAL DATA"],
    "technique": ["TECHNIQUE", "TECHNIQUES"],
    "comparison": ["COMPARISON", "COMPARISONS", "COMPARISON STUDY", "COMPARISON STUDIES"],
    "findings": ["FINDINGS", "FINDING", "CHEST FINDINGS", "OTHER FINDINGS", "ADDITIONAL FINDINGS"],
    "impression": ["IMPRESSION", "IMPRESSIONS", "CONCLUSION", "CONCLUSIONS", "OPINION", "FINAL IMPRESSION"],
    "recommendation": ["RECOMMENDATION", "RECOMMENDATIONS", "RECOMMENDATION(S)"],
    "notification": ["NOTIFICATION", "NOTIFICATIONS", "NOTIFICATION(S)"],
    "wet_read": ["WET READ", "PRELIMINARY REPORT", "PROVISIONAL FINDINGS IMPRESSION"],
    "addendum": ["ADDENDUM", "FINAL ADDENDUM"],
    "final_report": ["FINAL REPORT"],
}  # fmt: skip
SECTIONS = tuple(_NAMES)
WHOLE_REPORT = "report"  # what a report's text is called where it has no header that was asked for

_SINGLE = {name: (section,) for section, names in _NAMES.items() for name in names}
_HEADERS: dict[str, tuple[str, ...]] = _SINGLE | {
    f"{first} AND {second}": _SINGLE[first] + _SINGLE[second]
    for first, second in permutations(_SINGLE, 2)
    if _SINGLE[first] != _SINGLE[second]
}
_LONGEST = max(map(len, _HEADERS)) + 4  # characters; a few more for doubled blanks

_NAME_REVERSED = re.compile(r"[A-Za-z()/& \t]*")
_WORD = re.compile(r"[A-Za-z()]+|[/&]")
_ALONE = rf"[ \t]*(?P<name>[A-Z][A-Z()/& \t]{{2,{_LONGEST}}})(?=[\r\n]|\Z)"
_ALONE_ON_FIRST_LINE = re.compile(_ALONE)
_ALONE_ON_LATER_LINE = re.compile(rf"[\r\n]{_ALONE}")  # begins with a character: twice as fast
_MARKUP = " \t*#_"  # may stand in front of a header at the start of its line


class Section(NamedTuple):
    """Text of one section: offsets behind its header up to the next header."""

    name: str
    start: int
    end: int


class _Header(NamedTuple):
    start: int
    end: int
    names: tuple[str, ...]  # several for a merged header


def select_sections(text: str, wanted: Sequence[str], whole_report: bool) -> list[Section]:
    """The sections of `text` in the order of `wanted`, those of one name in the order of the text.

    Where none is there: the text outside all headers as sections named "report", or nothing without `whole_report`.
    """
    headers = find_headers(text)
    ends = [header.start for header in headers[1:]] + [len(text)]
    found = [
        Section(next((name for name in wanted if name in header.names), header.names[0]), header.end, end)
        for header, end in zip(headers, ends, strict=False)
    ]
    chosen = [section for name in wanted for section in found if section.name == name]
    if chosen or not whole_report:
        return chosen
    preamble = Section(WHOLE_REPORT, 0, headers[0].start if headers else len(text))
    return [preamble, *(section._replace(name=WHOLE_REPORT) for section in found)]


def find_headers(text: str) -> list[_Header]:
    """All headers in the order of the text; linear in its length."""
    found = {header.end: header for header in _headers_with_colon(text)}
    first = _ALONE_ON_FIRST_LINE.match(text)
    for match in chain([first] if first else [], _ALONE_ON_LATER_LINE.finditer(text)):
        names = _HEADERS.get(_normal(match["name"]))
        if names:
            found[match.end()] = _Header(match.start("name"), match.end(), names)
    return [found[end] for end in sorted(found)]


def _headers_with_colon(text: str) -> Iterator[_Header]:
    colon = text.find(":")
    while colon >= 0:
        reach = text[max(0, colon - _LONGEST) : colon]
        run = _NAME_REVERSED.match(reach[::-1])
        assert run is not None  # it matches the empty text
        first = colon - run.end()
        for word in _WORD.finditer(text, first, colon):
            names = _HEADERS.get(_normal(text[word.start() : colon]))
            if names and _may_be_header(text, word.start(), colon):
                yield _Header(word.start(), colon + 1, names)
                break
        colon = text.find(":", colon + 1)


def _normal(name: str) -> str:
    return " ".join(name.upper().replace("/", " AND ").replace("&", " AND ").split())


def _may_be_header(text: str, start: int, colon: int) -> bool:
    before = text[max(0, start - _LONGEST) : start].rstrip(_MARKUP)
    if (not before and start <= _LONGEST) or before.endswith(("\n", "\r")) or text[start:colon].isupper():
        return True
    return text[start].isupper() and before.endswith((".", "?", "!"))
