"""Sections of a radiology report, found by their headers, as character offsets.

A header is a known name

- at the start of a line, in any case, with a colon ("Findings:"), also numbered, marked up or with one typing error
  ("2. **IMPRESION (PRELIMINARY)**:");
- at the start of a line, in capitals, alone on it ("FINAL REPORT"), or before a dash, a stop or a sentence
  ("IMPRESSION - No change");
- within a line with a colon, in capitals ("IMPRESSION:") or, after a stop, with a capital ("Impression:").

The examination's name at the start of a line ("PA AND LATERAL CHEST:", "CHEST, TWO VIEWS:") opens the findings, as in
the section list that MIT-LCP publishes with MIMIC-CXR. Other names ("LUNGS:") are part of the section that holds them.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, permutations
from string import ascii_uppercase
from typing import Literal, NamedTuple

# Names of sections in reports: MIMIC-CXR's headers and their usual variants.
_NAMES = {
    "examination": "EXAMINATION, EXAMINATIONS, EXAM, EXAMS, STUDY, STUDIES, PROCEDURE, "
                   "TYPE OF EXAMINATION, TYPE OF EXAM",
    "indication": "INDICATION, INDICATIONS, CLINICAL INDICATION, CLINICAL INDICATIONS, REASON FOR EXAM, "
                  "REASON FOR STUDY, REASON FOR EXAMINATION, REASON FOR THE EXAM, REASON FOR THIS EXAMINATION, "
                  "CLINICAL QUESTION",
    "history": "HISTORY, CLINICAL HISTORY, PATIENT HISTORY, CLINICAL INFORMATION, CLINICAL DATA, CLINICAL STATEMENT, "
               "MEDICAL CONDITION, HISTORY OF PRESENT ILLNESS",
    "technique": "TECHNIQUE, TECHNIQUES, PROCEDURE COMMENTS, VIEWS, NUMBER OF VIEWS",
    "comparison": "COMPARISON, COMPARISONS, COMPARISON STUDY, COMPARISON STUDIES, COMPARISON EXAM, COMPARISON FILMS, "
                  "PRIOR STUDIES, PRIORS",
    "findings": "FINDINGS, FINDING, CHEST FINDINGS, OTHER FINDINGS, ADDITIONAL FINDINGS, OBSERVATIONS, RESULT, RESULTS",
    "impression": "IMPRESSION, IMPRESSIONS, CONCLUSION, CONCLUSIONS, OPINION, FINAL IMPRESSION, OVERALL IMPRESSION, "
                  "SUMMARY, ASSESSMENT, DIAGNOSIS, INTERPRETATION",
    "recommendation": "RECOMMENDATION, RECOMMENDATIONS, PLAN",
    "notification": "NOTIFICATION, NOTIFICATIONS, NOTIFICATION OF CRITICAL RESULT, CRITICAL RESULTS",
    "wet_read": "WET READ, WET READING, WET READ VERSION, PRELIMINARY REPORT, PRELIMINARY READ, "
                "PROVISIONAL FINDINGS IMPRESSION",
    "addendum": "ADDENDUM, ADDENDA, FINAL ADDENDUM, ADDENDUM BEGINS, ADDENDUM REPORT",
    "final_report": "FINAL REPORT, RADIOLOGY REPORT, FINAL RADIOLOGY REPORT, ORIGINAL REPORT, REPORT",
}  # fmt: skip
SECTIONS = tuple(_NAMES)

_SINGLE = {name: (section,) for section, names in _NAMES.items() for name in names.split(", ")}
_HEADERS: dict[str, tuple[str, ...]] = _SINGLE | {
    f"{first}{link}{second}": _SINGLE[first] + _SINGLE[second]
    for first, second in permutations(_SINGLE, 2)
    if _SINGLE[first] != _SINGLE[second] and " " not in first + second
    for link in (" AND ", " ")
}

# An examination's name consists of these words, and holds one of the first set.
_VIEW_NOUNS = frozenset(["CHEST", "CXR", "RADIOGRAPH", "RADIOGRAPHS", "VIEW", "VIEWS"])
_VIEW_WORDS = re.compile(
    r"A|AM|AND|AP|APICAL|AT|BEDSIDE|BILATERAL|CHEST|CXR|DECUBITUS|ERECT|EXAM(INATION)?|FILMS?|FOUR|FRONTAL|HOURS|HRS|"
    r"IMAGES?|LAT(ERAL)?|LEFT|LORDOTIC|OBLIQUES?|OF|ONE|PA|PM|PORTABLE|PROJECTIONS?|RADIOGRAPHS?|RAY|RIGHT|SEMI|SEMIERECT|"
    r"SEMIUPRIGHT|SINGLE|STUDY|SUPINE|THE|THREE|TWO|UPRIGHT|VIEWS?|WITH|X|XRAY|_+"
)
_LONGEST = 80  # characters of a header, blanks and markup included

# In front of a name at the start of its line. Repeats are bounded, so that the search stays linear.
_MARKUP = r"[ \t*#_=>\-]{0,80}(?:\(?\d{1,2}[.)][ \t]{0,8})?[*_]{0,3}"
_LEAD = re.compile(_MARKUP)
_TAIL = re.compile(r"(?:[ \t*_=]|\([^()]*\)|#?\d{1,2}\b|\bVERSION\b)*\Z")  # "(S)", "(PRELIMINARY)", "#1", "**"
_MARKUP_BEHIND = re.compile(r"[*_]{2}(?!_)|")
_WORDS = re.compile(r"[A-Z_]+")
_CAPITALS_REVERSED = re.compile(r"[A-Z()/& \t]*")
_WORD = re.compile(r"[A-Z()]+|[/&]")
_LINE = rf"""
    {_MARKUP}
    (?: (?P<alone> [A-Z][A-Z()/&#\d \t]{{2,{_LONGEST}}} | (?:Findings|Impression|Conclusion)[ \t]{{0,8}} )
        [*_=]{{0,80}}[ \t]{{0,80}} (?=[\r\n]|\Z)
      | (?P<opening> (?:FINDINGS?|IMPRESSIONS?|CONCLUSIONS?|ADDENDUM) )
        (?: [ \t]{{0,3}} (?: [.;](?=\s) | [-\u2013\u2014]{{1,3}}(?=\s|[A-Z]) )
          | [ \t]{{1,8}} (?=[A-Z][a-z]|\d[.)]) )
    )
    """
_FIRST_LINE = re.compile(_LINE, re.VERBOSE)
_LATER_LINE = re.compile(rf"[\r\n]{_LINE}", re.VERBOSE)  # begins with characters to which the engine can skip


class Header(NamedTuple):
    """Offsets of the name and its colon, and the sections that it names (two for a merged header)."""

    start: int
    end: int
    names: tuple[str, ...]


def find_headers(text: str) -> list[Header]:
    """Return all headers in the order of the text, in linear time."""
    headers: list[Header] = []
    for header in sorted([*_without_colon(text), *_with_colon(text)]):
        if not headers or header.start >= headers[-1].end:
            headers.append(header)
    return headers


def _without_colon(text: str) -> Iterator[Header]:
    first = _FIRST_LINE.match(text)
    for match in chain([first] if first else [], _LATER_LINE.finditer(text)):
        name = match.lastgroup or ""
        names = _names_of(match[name])
        if names:
            yield Header(match.start(), match.end(), names)


def _with_colon(text: str) -> Iterator[Header]:
    done = 0
    colon = text.find(":")
    while colon >= 0:
        if text[colon + 1 : colon + 2].isdigit() and text[colon - 1 : colon].isdigit():  # 5:45
            colon = text.find(":", colon + 1)
            continue
        first = max(done, colon - _LONGEST)
        line = (text.rfind("\n", first, colon) + 1) or (text.rfind("\r", first, colon) + 1)
        whole_line = line > 0 or first == 0
        found = _at_line_start(text[line:colon]) if whole_line else None
        if found is None:
            line = max(line, first)
            found = _within_line(text[line:colon])
        if found is not None:
            end = _MARKUP_BEHIND.match(text, colon + 1)
            done = end.end() if end else colon + 1
            yield Header(line + found[0], done, found[1])
        colon = text.find(":", colon + 1)


@lru_cache(4096)
def _at_line_start(line: str) -> tuple[int, tuple[str, ...]] | None:
    """Return (offset of the header's number or markup, its sections) for a line up to its colon, or None."""
    lead = _LEAD.match(line)
    name = line[lead.end() :] if lead else line
    names = _names_of(name) or _names_of_view(name)
    return (len(line) - len(line.lstrip()), names) if names else None


@lru_cache(4096)
def _within_line(line: str) -> tuple[int, tuple[str, ...]] | None:
    """Return the longest name in capitals that ends the text before a colon, or a name after a stop."""
    run = _CAPITALS_REVERSED.match(line[::-1])
    for word in _WORD.finditer(line, len(line) - (run.end() if run else 0)):
        names = _HEADERS.get(_normal(line[word.start() :]))
        if names and not line[: word.start()][-1:].isalpha():
            return word.start(), names
    stop = max(line.rfind(mark) for mark in ".?!") + 1
    start = len(line) - len(line[stop:].lstrip())
    names = _HEADERS.get(_normal(line[start:]))
    return (start, names) if stop and names and line[start].isupper() else None


@lru_cache(4096)
def _names_of(label: str) -> tuple[str, ...] | None:
    name = _normal(label)
    return _HEADERS.get(name) or _SLIPS.get(name)


def _names_of_view(label: str) -> tuple[str, ...] | None:
    words = _WORDS.findall(label.upper())
    return ("findings",) if _VIEW_NOUNS.intersection(words) and all(map(_VIEW_WORDS.fullmatch, words)) else None


def _normal(label: str) -> str:
    name = label.upper()
    name = name[: _tail(name)]
    return " ".join(name.replace("(S)", "S").replace("/", " AND ").replace("&", " AND ").replace("+", " AND ").split())


def _tail(name: str) -> int:
    tail = _TAIL.search(name, max(0, len(name) - 24))
    return tail.start() if tail else len(name)


def _slips(name: str) -> Iterator[str]:
    """Yield `name` with one letter missing, doubled, wrong or swapped with its neighbour; the first letter is right."""
    for place in range(1, len(name)):
        before, behind = name[:place], name[place + 1 :]
        yield before + behind
        yield before + behind[:1] + name[place] + behind[1:]
        for letter in ascii_uppercase:
            yield before + letter + behind
            yield before + letter + name[place:]
    yield from (name + letter for letter in ascii_uppercase)


_SLIPS = {  # for the long names only: a slip in a short one makes another word
    slip: _SINGLE[name]
    for name in ("FINDINGS", "IMPRESSION", "CONCLUSION", "INDICATION", "COMPARISON", "TECHNIQUE", "EXAMINATION",
                 "RECOMMENDATION", "ADDENDUM")
    for slip in _slips(name)
}  # fmt: skip


WHOLE_REPORT = "report"  # section name of a report's text where it has no requested header
Fallback = Literal["unheaded", "whole_report", "reject"]

_CLINICAL = ("examination", "indication", "history", "technique", "comparison")  # one paragraph each, as a rule
_LAST_RESORT = ("addendum", "wet_read")
_LETTER = re.compile(r"[^\W\d_]")
_PARAGRAPH_END = re.compile(r"\S[^\S\r\n]*(?:\r\n|\r|\n)[^\S\r\n]*[\r\n]")


class Section(NamedTuple):
    """Text of one section: offsets from its header up to the next header."""

    name: str
    start: int
    end: int


def select_sections(text: str, wanted: Sequence[str], fallback: Fallback) -> list[Section]:
    """Return the sections of `text` in the order of `wanted`, those of one name in the order of the text.

    Several reports or addenda in one text give all of their sections. Where none of `wanted` is present, `fallback`
    says what is taken, as sections named "report":

    - "unheaded": what stands under no header: before the first one, after FINAL REPORT, and after the first paragraph
      of INDICATION, COMPARISON and the like; where that has no letter, an addendum or a wet read;
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
    """Return the name of a merged header that comes first in `wanted`."""
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
