"""Sections of a radiology report by their headers (headers.py), as character offsets."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from stages.split_reports.headers import find_headers

WHOLE_REPORT = "report"  # what a report's text is called where it has no header that was asked for
Fallback = Literal["unheaded", "whole_report", "reject"]

_CLINICAL = ("examination", "indication", "history", "technique", "comparison")  # one paragraph each, as a rule
_LAST_RESORT = ("addendum", "wet_read")
_LETTER = re.compile(r"[^\W\d_]")
_PARAGRAPH_END = re.compile(r"\S[^\S\r\n]*(?:\r\n|\r|\n)[^\S\r\n]*[\r\n]")


class Section(NamedTuple):
    """Text of one section: offsets behind its header up to the next header."""

    name: str
    start: int
    end: int


def select_sections(text: str, wanted: Sequence[str], fallback: Fallback) -> list[Section]:
    """The sections of `text` in the order of `wanted`, those of one name in the order of the text.

    Several reports or addenda in one text give all of their sections. Where none of `wanted` is there, `fallback` says
    what is taken, as sections named "report":

    - "unheaded": what stands under no header: before the first one, behind FINAL REPORT, and behind the first paragraph
      of INDICATION, COMPARISON and their like; where that has no letter, an addendum or a wet read;
    - "whole_report": all text outside headers;
    - "reject": nothing.
    """
    headers = find_headers(text)
    ends = [header.start for header in headers[1:]] + [len(text)]
    found = [
        Section(_name_of(header.names, wanted), header.end, end) for header, end in zip(headers, ends, strict=False)
    ]
    chosen = [section for name in wanted for section in found if section.name == name]
    if any(_LETTER.search(text, section.start, section.end) for section in chosen) or fallback == "reject":
        return chosen
    preamble = Section(WHOLE_REPORT, 0, headers[0].start if headers else len(text))
    if fallback == "whole_report":
        return [preamble, *(section._replace(name=WHOLE_REPORT) for section in found)]
    return _unheaded(text, preamble, found) or chosen


def _name_of(names: tuple[str, ...], wanted: Sequence[str]) -> str:
    """Of a merged header the name that is wanted first."""
    return names[0] if len(names) == 1 else next((name for name in wanted if name in names), names[0])


def _unheaded(text: str, preamble: Section, found: list[Section]) -> list[Section]:
    bodies = [preamble]
    for section in found:
        if section.name == "final_report":
            bodies.append(section)
        elif section.name in _CLINICAL:
            end = _PARAGRAPH_END.search(text, section.start, section.end)
            bodies += [section._replace(start=end.end())] if end else []
    for choice in (bodies, [section for section in found if section.name in _LAST_RESORT]):
        spoken = [section for section in choice if _LETTER.search(text, section.start, section.end)]
        if spoken:
            return [section._replace(name=WHOLE_REPORT) for section in spoken]
    return []
