"""Find the headers of a radiology report, as character offsets.

A header is a known name (headers.py)

- at the start of a line, in any case, with a colon ("Findings:"), also numbered, marked up or with one typing error
  ("2. **IMPRESION (PRELIMINARY)**:");
- at the start of a line, in capitals, alone on it ("FINAL REPORT"), or before a dash, a stop or a sentence
  ("IMPRESSION - No change");
- within a line with a colon, in capitals ("IMPRESSION:") or, after a stop, with a capital ("Impression:"); those of
  findings and impression also without the stop ("Lungs are clear Impression: normal").

Words of a closed list beside the name of findings, impression and the like are part of it ("PRELIMINARY IMPRESSION:",
"ABDOMEN FINDINGS:"); any other word before it stays in the text ("NORMAL IMPRESSION:").

A name that is only the end of a longer label in capitals ("LEFT RIBS, TWO VIEWS:") is none, unless it is distinctive.

The examination's name with a colon ("PA AND LATERAL CHEST:", "CHEST, TWO VIEWS:") opens the findings, as in the section
list that MIT-LCP publishes with MIMIC-CXR. Other labels ("LUNGS:") are part of the section that holds them; outside of
findings and impression, they and looser names of examinations ("LEFT RIBS:") open the findings, too.
"""

import re
from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from .headers import LONGEST_NAME, HeaderNames, header_names, normal_name, plain_capitals

# In front of a name at the start of its line. Repeats are bounded, so that the search stays linear.
_MARKUP = r"[ \t*#_=>\-]{0,80}(?:\(?\d{1,2}[.)][ \t]{0,8})?[*_]{0,3}"
_LEAD = re.compile(_MARKUP)
_MARKUP_BEHIND = re.compile(r"[*_]{2}(?!_)")
_CAPITAL = "A-ZÀ-ÖØ-Þ"
_CAPITALS_REVERSED = re.compile(rf"[{_CAPITAL}()/& \t]*")
_WORD = re.compile(rf"[{_CAPITAL}()]+|[/&]")
_LABEL_WORD = re.compile(r"[A-Z]+")
_STOPS = ".?!\u3002\uff01\uff1f"
_STOP_AND_BLANK = re.compile(r"[.?!]\s+")
# Words before a name that is part of a sentence: "IN COMPARISON: THE NODULE IS LARGER", "GIVEN THE HISTORY: ...".
_WITHIN_A_SENTENCE = re.compile(
    r"(?:an?|and|as|at|both|by|con|dans|del?|for|from|given|her|his|i[mn]|of|on|our|per|previous|prior|see|the|this|to|"
    r"und|vs|with|zu[mr])\Z",
    re.IGNORECASE,
)
_WORD_START = re.compile(r"(?<!\S)\S")


class Strength(IntEnum):
    """Certainty of a header."""

    NAMED = 0  # a known name
    EXAMINATION = 1  # an examination's name, of words that stand in nothing else
    LABEL = 2  # a longer label in capitals with a word of an examination ("LEFT RIBS:"): not within findings
    TITLE = 3  # an examination's name alone on its line: not within findings, nor behind another name for it
    ANATOMY = 4  # "LUNGS:", which stays in the text: not within findings


class Header(NamedTuple):
    """Offsets of the name and its colon, and the sections that it names (two for a merged header)."""

    start: int
    end: int
    names: tuple[str, ...]
    strength: Strength = Strength.NAMED


_SURE = (Strength.NAMED, Strength.EXAMINATION)
_FINDINGS = ("findings",)
_READ = ("findings", "impression")
_LONGEST_QUALIFIED = 6  # words of a name and its qualifiers
CLINICAL = ("examination", "indication", "history", "technique", "comparison")  # one paragraph each, as a rule
ENGLISH = header_names()


def find_headers(text: str, names: HeaderNames = ENGLISH) -> list[Header]:
    """Return all headers in the order of the text, in linear time."""
    if "\uff1a" in text:
        text = text.replace("\uff1a", ":")  # the full-width colon of Chinese and Japanese
    found = sorted([*_without_colon(text, names), *_with_colon(text, names)])
    headers: list[Header] = []
    end = 0
    for header in found:
        if header.start >= end and (header.strength in _SURE or _opens(header, headers)):
            headers.append(header)
            end = header.end
    # "Lungs: clear" alone makes no section.
    return headers if any(header.strength is not Strength.ANATOMY for header in headers) else []


def _opens(header: Header, before: list[Header]) -> bool:
    """Return whether a header that is not sure begins a section behind the headers `before`."""
    within = before[-1].names if before else ()
    if header.strength == Strength.LABEL:
        return not any(name in _READ for name in within)
    if header.strength == Strength.TITLE:
        return not within or within[0] in ("indication", "history", "comparison", "final_report")
    return not within or within[0] in (*CLINICAL, "final_report")


@lru_cache(16)
def _line_patterns(names: HeaderNames) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return the patterns of a header without a colon, for the first line and for later ones."""
    titles, opening = ("|".join(map(re.escape, each)) for each in (names.titles, names.opening))
    line = rf"""
        {_MARKUP}
        (?: (?P<alone> [{_CAPITAL}][{_CAPITAL}()/&#,_\d \t]{{2,{LONGEST_NAME}}} | (?:{titles})[ \t]{{0,8}} )
            [*_=]{{0,80}}[ \t]{{0,80}} (?=[\r\n]|\Z)
          | (?P<opening> (?:{opening}) )
            (?: [ \t]{{0,3}} (?: [.;](?=\s) | [-\u2013\u2014]{{1,3}}(?=\s|[A-Z]) )
              | [ \t]{{1,8}} (?=[{_CAPITAL}][a-zß-öø-ÿ]|\d[.)]) )
        )
        """
    # The latter begins with characters to which the engine can skip.
    return re.compile(line, re.VERBOSE), re.compile(rf"[\r\n]{line}", re.VERBOSE)


def _without_colon(text: str, names: HeaderNames) -> Iterator[Header]:
    first_line, later_line = _line_patterns(names)
    first = first_line.match(text)
    for match in chain([first] if first else [], later_line.finditer(text)):
        label = match[match.lastgroup or ""]
        found = _names_of(label, names) or (_qualified(label, names) if match.lastgroup == "alone" else None)
        if found:
            yield Header(match.start(), match.end(), found)
        elif match.lastgroup == "alone" and _is_examination(label, names):
            yield Header(match.start(), match.end(), _FINDINGS, Strength.TITLE)


def _with_colon(text: str, names: HeaderNames) -> Iterator[Header]:
    done = 0
    colon = text.find(":")
    while colon >= 0:
        if text[colon + 1 : colon + 2].isdigit() and text[colon - 1 : colon].isdigit():  # 5:45
            colon = text.find(":", colon + 1)
            continue
        first = max(done, colon - LONGEST_NAME)
        line = (text.rfind("\n", first, colon) + 1) or (text.rfind("\r", first, colon) + 1)
        whole_line = line > 0 or first == 0
        found = _at_line_start(text[line:colon], names) if whole_line else None
        if found is None:
            line = max(line, first)
            found = _within_line(text[line:colon], names)
        if found is not None:
            done = colon + 1
            if text[done : done + 1] in ("*", "_") and (markup := _MARKUP_BEHIND.match(text, done)):
                done = markup.end()
            start = line + found.start
            yield Header(start, start if found.strength == Strength.ANATOMY else done, found.names, found.strength)
        colon = text.find(":", colon + 1)


@lru_cache(4096)
def _at_line_start(line: str, names: HeaderNames) -> Header | None:
    """Return the header that a line up to its colon is, its number or markup included, or None; offsets in the line."""
    lead = _LEAD.match(line)
    label = line[lead.end() :] if lead else line
    header = Header(len(line) - len(line.lstrip()), len(line), ())
    if found := _names_of(label, names):
        return header._replace(names=found)
    if _is_examination(label, names):
        return header._replace(names=_FINDINGS, strength=Strength.EXAMINATION)
    if found := _qualified(label, names):
        return header._replace(names=found)
    if _is_anatomy(label, names):
        return header._replace(names=_FINDINGS, strength=Strength.ANATOMY)
    words = _LABEL_WORD.findall(plain_capitals(label))
    if not names.examination.union(names.projection).isdisjoint(words) and (
        (label.isupper() and not _says_something(label, words, names)) or names.around.issuperset(words)
    ):
        return _of_long_label(words, header, names)
    return None


# In capitals, without marks: what denies is a finding, and no label of an examination.
_CLINICAL = ("indication", "history")
_DENYING = frozenset(
    ["NO", "NOT", "WITHOUT", "SIN", "KEIN", "KEINE", "KEINEN", "OHNE", "PAS", "AUCUN", "AUCUNE", "SANS", "NON", "SENZA",
     "SEM", "NAO", "GEEN", "ZONDER"]
)  # fmt: skip


def _says_something(label: str, words: list[str], names: HeaderNames) -> bool:
    """Return whether a label in capitals holds a finding: it denies one, or a header of its own ends it."""
    tail = label[max((match.end() for match in _STOP_AND_BLANK.finditer(label)), default=0) :]
    return not _DENYING.isdisjoint(words) or (tail != label and _names_of(tail, names) is not None)


def _of_long_label(words: list[str], header: Header, names: HeaderNames) -> Header:
    """Return the header that a label with a word of an examination is: "INDICATION FOR CHEST X-RAY", "LEFT RIBS"."""
    for word in words:
        found = names.sections.get(word, ())
        if word not in names.around and found and found[0] in (*_READ, "indication", "history", "comparison"):
            return header._replace(names=found, strength=Strength.LABEL)
    return header._replace(names=_FINDINGS, strength=Strength.LABEL)


@lru_cache(4096)
def _within_line(line: str, names: HeaderNames) -> Header | None:
    """Return the header that ends the text before a colon, or None; offsets in the text.

    It is the longest name in capitals, an examination's name after a stop, or a name with a capital: after a stop, or
    that of findings or impression.
    """
    sentence = max((match.end() for match in _STOP_AND_BLANK.finditer(line)), default=0)
    label = line[sentence:]
    if sentence and label[:1].isupper() and (found := _qualified(label, names)):
        return Header(sentence, len(line), found)
    run = _CAPITALS_REVERSED.match(line[::-1])
    for word in _WORD.finditer(line, len(line) - (run.end() if run else 0)):
        start = word.start()
        name = normal_name(line[start:])
        if (found := names.sections.get(name)) and _may_begin(line[:start], name, names):
            return Header(start, len(line), found)
    if sentence and label[:1].isupper() and " " in label.strip() and _is_examination(label, names):
        return Header(sentence, len(line), _FINDINGS, Strength.LABEL)
    if sentence and label[:1].isupper() and _is_anatomy(label, names):
        return Header(sentence, len(line), _FINDINGS, Strength.ANATOMY)
    stop = max(line.rfind(mark) for mark in _STOPS) + 1
    start = len(line) - len(line[stop:].lstrip())
    found = names.sections.get(normal_name(line[start:]))
    if stop and found and not line[start].islower():
        return Header(start, len(line), found)
    for word in list(_WORD_START.finditer(line))[-3:]:
        start = word.start()
        name = normal_name(line[start:])
        found = names.sections.get(name)
        if (
            found
            and found[0] in _READ
            and line[start].isupper()
            and not names.distinctive.keys().isdisjoint(name.split())
        ):
            return Header(start, len(line), found)
    return None


def _may_begin(before: str, name: str, names: HeaderNames) -> bool:
    """Return whether a name in capitals begins behind `before`, and is no tail of a word or label."""
    last = before.split()[-1:]
    if before[-1:].isalpha():
        return False
    if last and _WITHIN_A_SENTENCE.match(last[0]) and not set(names.sections[name]) & set(_READ):
        return False
    if not last or not names.distinctive.keys().isdisjoint(name.split()):
        return True
    return last[0][-1] in f"{_STOPS}:;)_*" or any(map(str.islower, last[0]))


@lru_cache(4096)
def _names_of(label: str, names: HeaderNames) -> tuple[str, ...] | None:
    name = normal_name(label)
    return names.sections.get(name) or names.slips.get(name)


@lru_cache(4096)
def _qualified(label: str, names: HeaderNames) -> tuple[str, ...] | None:
    """Return the sections of a name with qualifiers beside it, or None: other words before a name are no part of it.

    What was examined stands before findings and impressions only: "CHEST, PORTABLE TECHNIQUE" names an examination.
    """
    words = normal_name(label.replace(",", " ").replace("-", " ")).split()
    if not 2 <= len(words) <= _LONGEST_QUALIFIED:
        return None
    last = len(words)
    while last > 1 and words[last - 1] in names.states:
        last -= 1
    for first in range(last):
        before = words[:first]
        if before and before[-1] not in names.qualifiers and before[-1] not in ("AND", names.link):
            return None
        found = _names_of(" ".join(words[first:last]), names) if (first, last) != (0, len(words)) else None
        # Names of examinations, techniques and the like would end the findings, and take with them what is one.
        if found and (found[0] in _READ or (found[0] in _CLINICAL and names.states.issuperset(before))):
            return found if not before or before[0] not in ("AND", names.link, "THE") else None
    return None


@lru_cache(4096)
def _is_anatomy(label: str, names: HeaderNames) -> bool:
    words = _LABEL_WORD.findall(plain_capitals(label))
    return bool(words) and names.anatomy.issuperset(words) and words[0] != "AND"


@lru_cache(4096)
def _is_examination(label: str, names: HeaderNames) -> bool:
    words = _LABEL_WORD.findall(plain_capitals(label))
    return not names.examination.isdisjoint(words) and names.around.issuperset(words)
