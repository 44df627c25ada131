"""Sections of a radiology report by their headers (header_search.py): what is kept, and what is lost beside it."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from .cleaning import is_placeholder
from .header_search import CLINICAL, ENGLISH, Header, Strength, find_headers
from .headers import HeaderNames

_LAST_RESORT = ("addendum", "wet_read")
WHOLE_REPORT = "report"  # section name of a report's text where it has no requested header
Fallback = Literal["unheaded", "whole_report", "reject"]

_LETTER = re.compile(r"[^\W\d_]")
_ONE_PARAGRAPH = (*CLINICAL, "recommendation", "notification")
_LINE_OR_STOP = re.compile(r"(?<=\w)[ \t]*(?:[.!?]|[\r\n])\s*(?=[A-ZÀ-ÖØ-Þ])")
_LINE_BEHIND_STOP = re.compile(  # no question of the clinician begins there
    r"(?<=\w)[.!?][ \t]*[\r\n]\s*(?=[A-ZÀ-ÖØ-Þ])"
    r"(?!(?i:any|assess|check|concern|eval|is there|look|please|possible|quer|question|r/o|rule|suspect))"
)
_FINDING = re.compile(  # stems that findings have in English, Spanish, French, German, Italian, Portuguese and Dutch
    r"(?i:pneum|neumo|effus|erguss|derrame|épanch|versament|opaci|opacid|nod[uú]l|knoten|infiltr|consolid|konsolid|atele[ck]|"
    r"[ck]ardiomegal|o?edema|ödem|oedeem|fra[ck]tur|frattur|fratur|\bmass(?:es)?\b|\bmasa\b|massa|masse\b|lesion|läsion|"
    r"congest|stauung|\blungs? (?:is|are)\b|\bheart (?:is|size)\b|emphy|enfis|thicken|embol|granulom|calcif|verkalk|"
    r"enlarged|\bclear\b|unchanged|\bstable\b|pleura)"
)
_PARAGRAPH_END = re.compile(r"\S[^\S\r\n]*(?:\r\n|\r(?!\n)|\n)[^\S\r\n]*[\r\n]")


class Section(NamedTuple):
    """Text of one section: offsets from its header up to the next header."""

    name: str
    start: int
    end: int


class Selection(NamedTuple):
    """What is kept of a report, and what text under no header is not kept beside it."""

    kept: list[Section]
    lost: list[Section]
    has_header: bool
    has_placeholder: bool = False  # a kept section stands for a missing text


def select_sections(
    text: str,
    wanted: Sequence[str],
    fallback: Fallback,
    names: HeaderNames = ENGLISH,
    keep_unheaded: bool = False,
) -> list[Section]:
    """Return what `read_sections` keeps."""
    return read_sections(text, wanted, fallback, names, keep_unheaded).kept


def read_sections(
    text: str,
    wanted: Sequence[str],
    fallback: Fallback,
    names: HeaderNames = ENGLISH,
    keep_unheaded: bool = False,
) -> Selection:
    """Return the sections of `text` in the order of `wanted`, those of one name in the order of the text.

    Several reports or addenda in one text give all of their sections; one that holds a placeholder ("nan") is empty.
    Where none of `wanted` is present, `fallback` says what is taken, as sections named "report":

    - "unheaded": what stands under no header: before the first one, after FINAL REPORT, and after the first paragraph
      of INDICATION, COMPARISON and the like, or after its first sentence if it speaks of findings; where that has no
      letter, an addendum or a wet read;
    - "whole_report": all text outside headers;
    - "reject": nothing.

    What stands under no header beside a wanted section is kept, too, with `keep_unheaded`. With the fallback
    "unheaded", it is kept where no section was found by its name, but by other signs ("LEFT RIBS:", "LUNGS:"); and,
    except for what stands before the first header, where findings are wanted and stand under no header.
    """
    headers = find_headers(text, names)
    ends = [header.start for header in headers[1:]] + [len(text)]
    found = [
        Section(header.names[0] if len(header.names) == 1 else _name_of(header.names, wanted), header.end, end)
        for header, end in zip(headers, ends, strict=False)
    ]
    written, found = found, [_without_placeholder(text, section) for section in found]
    chosen = [section for name in wanted for section in found if section.name == name]
    missing = any(each.name in wanted and each.end != whole.end for each, whole in zip(found, written, strict=True))
    spoken = [section for section in chosen if _LETTER.search(text, section.start, section.end)]
    unheaded = _unheaded(text, headers, found, wanted if spoken else ())
    if spoken:
        addenda = [each for each in found if each.name == "addendum" and each.name not in wanted]
        if keep_unheaded or not unheaded:
            return Selection(chosen + unheaded, addenda, True)
        lost = unheaded if fallback != "unheaded" else _beside(unheaded, spoken, headers, wanted)
        return Selection(chosen + [section for section in unheaded if section not in lost], lost + addenda, True)
    if fallback == "reject":
        return Selection(chosen, [], bool(headers), missing)
    whole = [section._replace(name=WHOLE_REPORT) for section in found]
    if fallback == "whole_report":
        return Selection(
            [Section(WHOLE_REPORT, 0, headers[0].start if headers else len(text)), *whole], [], bool(headers), missing
        )
    late = [
        section
        for section, named in zip(whole, found, strict=True)
        if named.name in _LAST_RESORT and _LETTER.search(text, section.start, section.end)
    ]
    return Selection(unheaded or late or chosen, [], bool(headers), missing)


def _beside(
    unheaded: list[Section], spoken: list[Section], headers: list[Header], wanted: Sequence[str]
) -> list[Section]:
    """Return what of the text under no header is not kept beside the wanted sections `spoken`."""
    starts = {section.start for section in spoken}
    if not any(header.end in starts and header.strength == Strength.NAMED for header in headers):
        return []
    if "findings" in wanted and all(section.name != "findings" for section in spoken):
        return [section for section in unheaded if section.start == 0]
    return unheaded


def _name_of(names: tuple[str, ...], wanted: Sequence[str]) -> str:
    """Return the name of a merged header that comes first in `wanted`."""
    return next((name for name in wanted if name in names), names[0])


def _without_placeholder(text: str, section: Section) -> Section:
    """Return the section, empty where it holds a placeholder only."""
    return section._replace(end=section.start) if is_placeholder(text, section.start, section.end) else section


def _unheaded(text: str, headers: list[Header], found: list[Section], wanted: Sequence[str]) -> list[Section]:
    """Return the text under no header that has a letter, as sections "report"; that of `wanted` sections is theirs."""
    first = headers[0].start if headers else len(text)
    bodies = [(0, first)] if first else []
    for section in found:
        if section.name in wanted:
            continue
        if section.name == "final_report":
            bodies.append((section.start, section.end))
        elif section.name in _ONE_PARAGRAPH:
            bodies += _behind_its_own(text, section)
    return [
        Section(WHOLE_REPORT, *body)
        for body in bodies
        if _LETTER.search(text, *body) and not is_placeholder(text, *body)
    ]


def _behind_its_own(text: str, section: Section) -> list[tuple[int, int]]:
    """Return what of a section stands under no header: its later paragraphs, or sentences that speak of findings.

    Examination, technique and comparison are a line or a sentence; history and indication are longer, so that only a
    line of its own behind a full stop is not theirs.
    """
    end = _PARAGRAPH_END.search(text, section.start, section.end)
    if section.name not in CLINICAL:  # a recommendation or notification has several paragraphs
        return [(end.end(), section.end)] if end and _FINDING.search(text, end.end(), section.end) else []
    if end and len(text[section.start : section.end].strip().splitlines()) > 1:
        return [(end.end(), section.end)]
    ends = _LINE_BEHIND_STOP if section.name in ("indication", "history") else _LINE_OR_STOP
    first = ends.search(text, section.start, section.end)
    if first is None or not _FINDING.search(text, first.end(), section.end):
        return []
    return [(first.end(), section.end)]
