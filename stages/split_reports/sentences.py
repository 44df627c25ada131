"""Sentences of a radiology report, as character offsets.

One pass over the places where a sentence may end: full stops, question and exclamation marks, ends of lines and the
parentheses of list numbers. Each is decided from a few characters around it, so the time is linear in the text.
Between sentences stand only blanks, list markers, stray stops, and fragments without a letter.
"""

import re
from dataclasses import dataclass

from stages.split_reports.abbreviations import ALWAYS, BEFORE_CAPITAL, BEFORE_NUMBER, TITLES

Span = tuple[int, int]  # character offsets: start inclusive, end exclusive

_CAPITAL = "A-ZÀ-ÖØ-Þ"
_BULLET = r"-*>\u00b7\u2022\u2013\u2014"  # with middle dot, bullet, en and em dash
_CLOSING = r")\]\"'\u2019\u201d"
_OPENING = r"(\[\"'\u2018\u201c"
_LONG_ABBREVIATIONS = "".join(rf"(?<!{word}\.)" for word in sorted(ALWAYS) if word.isalpha() and len(word) >= 4)

# The single class in front lets the engine skip from one candidate to the next.
_CANDIDATE = re.compile(
    rf"""
    [.?!…)\r\n]
    (?:
        (?<=[a-zA-Z]{{4}}\.) (?i:{_LONG_ABBREVIATIONS}) (?=\s+[A-Z]|\s*\Z)      # plain: most ends of sentences
      | (?<=[.?!…]) (?P<stop> [.?!…]*[{_CLOSING}]* ) (?= (?P<gap>\s*) [{_OPENING}]* \s* (?P<next>.?) )
      | (?<=\d\)) (?P<parenthesis>) (?=\s)                                     # 2) Effusion
      | (?<=[\r\n]) (?P<line>
            (?:(?<=\r)\n)? [^\S\r\n]* (?!(?<=\r)\n)[\r\n]                      # a blank line
          | \s* (?=[{_BULLET}]+(?:\s|[{_CAPITAL}]))                            # - Effusion
          | \s* (?=[A-Z][A-Za-z/\ ]{{1,30}}:\s)                                # Heart: normal
        )
      | (?<=[\r\n]) \s* (?=\(?(?P<item>\d{{1,2}})[.)]+(?:\s|[{_CAPITAL}]))     # 2. Effusion
    )
    """,
    re.VERBOSE,
)

# What no sentence begins with: blanks, bullets, list numbers, stray stops (but ".5 cm" keeps its point).
# No possessive quantifiers here or above: those of Python 3.11.2 go wrong around groups.
_LEAD = re.compile(
    rf"(?:[\s\ufeff]+|[{_BULLET}]+(?=\s|[{_CAPITAL}])|\(?(\d{{1,2}})[.)]+(?=\s|[{_CAPITAL}])|[.,;:…]+(?!\d))*"
)
_LETTER = re.compile(r"[^\W\d_]")
_NUMBER_AT_END = re.compile(r"(?<![^\s(])\(?(\d{1,2})\Z")
_LIST_NUMBER = re.compile(rf"\d{{1,2}}[.)]+(?:\s|[{_CAPITAL}])")
_WORD_REACH = 14  # characters; longer than every abbreviation
_NAME_REACH = 30  # characters in front of an initial that may hold its title


@dataclass
class _Position:
    """Where the sentence under way began, and the last list number seen."""

    begin: int
    number: int = 0


def fold(text: str) -> str:
    """`text` with every run of blanks (line ends too) as one space, none at its ends."""
    return " ".join(text.split())


def split_sentences(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """Sentences of `text[start:end]`: ordered, disjoint offsets into `text`, each with at least one letter.

    Splitting the folded text of one sentence gives that sentence back.
    """
    end = len(text) if end is None else end
    spans: list[Span] = []
    at = _Position(start)
    _begin(text, start, end, at)
    for match in _CANDIDATE.finditer(text, start, end):
        kind, cut = match.lastgroup, match.end()
        if match.start() < at.begin:
            continue  # within the lead of the sentence
        if kind is None:
            spans.append((at.begin, cut))
            if text[cut + 1 : cut + 2].isalpha() and cut + 1 < end:  # one blank and a letter: no lead to look for
                at.begin = cut + 1
            else:
                _begin(text, cut, end, at)
            continue
        place = _CUTS[kind](text, match, at)
        if place is not None:
            _add(text, at.begin, place, spans)
            _begin(text, place, end, at)
    _add(text, at.begin, end, spans)
    return spans


def _begin(text: str, position: int, end: int, at: _Position) -> None:
    lead = _LEAD.match(text, position, end)
    assert lead is not None  # it matches the empty text
    at.begin = lead.end()
    if lead[1]:
        at.number = int(lead[1])


def _add(text: str, begin: int, end: int, spans: list[Span]) -> None:
    while end > begin and text[end - 1].isspace():
        end -= 1
    if _LETTER.search(text, begin, end):
        spans.append((begin, end))


def _cut_at_line(_text: str, match: re.Match[str], _at: _Position) -> int:
    """A blank line, a bullet or a label at the start of a line."""
    return match.start()


def _cut_at_item(text: str, match: re.Match[str], at: _Position) -> int | None:
    """A number at the start of a line opens an item, unless it is the end of a wrapped sentence."""
    number, before = int(match["item"]), _visible_before(text, match.start(), at.begin)
    return match.start() if number in (1, at.number + 1) or before in tuple(".?!:;") else None


def _cut_at_parenthesis(text: str, match: re.Match[str], at: _Position) -> int | None:
    return _list_number_before(text, match.start(), at)


def _list_number_before(text: str, stop: int, at: _Position) -> int | None:
    """Start of the list number that ends at `stop`, where the list goes on: "1. Clear 2. Normal"."""
    found = _NUMBER_AT_END.search(text, max(at.begin, stop - 4), stop)
    if found is None:
        return None
    number = int(found[1])
    if number == at.number + 1 > 1 or (number == 1 and _visible_before(text, found.start(), at.begin) == ":"):
        return found.start()
    return None


def _visible_before(text: str, position: int, begin: int) -> str:
    """The last character before `position` that is no blank, or nothing."""
    while position > begin and text[position - 1].isspace():
        position -= 1
    return text[position - 1 : position] if position > begin else ""


def _cut_at_stop(text: str, match: re.Match[str], at: _Position) -> int | None:
    """Where the sentence ends if it ends at this run of stops, else None."""
    stop, end, following = match.start(), match.end(), match["next"]
    run = text[stop:end]
    if not following or following in ",;:)]%/" or stop == at.begin:
        return None  # behind the last stop, the end of the text ends the sentence
    blank = match["gap"] != ""
    if "?" in run or "!" in run:
        return end if _ends_at_mark(text, stop, blank, following) else None
    dots = run.count(".") + 3 * run.count("…")
    if dots >= 3:
        return end if blank and following.isupper() else None
    word = _word_before(text, stop, at.begin)
    if word.isdigit() and (following.isupper() or following in "_("):
        number = _list_number_before(text, stop, at)
        if number is not None:
            return number
    if blank:
        return end if dots == 2 or _ends_after(text, word, stop, following, at) else None
    return end if _blank_is_missing(text, word, match) else None


def _ends_at_mark(text: str, stop: int, blank: bool, following: str) -> bool:
    """Question and exclamation marks: "(?) mass" and "? mass" ask within a sentence."""
    before = text[stop - 1]
    if blank:
        return before != "(" and not following.islower()
    return following.isupper() and before.isalpha()


def _word_before(text: str, stop: int, begin: int) -> str:
    """The word that touches the stop, without the bracket or quote in front of it."""
    reach = text[max(begin, stop - _WORD_REACH) : stop]
    return "" if reach[-1:].isspace() else reach.split()[-1].lstrip("([{\"'\u2018\u201c")


def _ends_after(text: str, word: str, stop: int, following: str, at: _Position) -> bool:
    """Whether `word` and a full stop end a sentence in front of a blank and `following`."""
    key = word.lower()
    if key in ALWAYS:
        return False
    if key in BEFORE_NUMBER:
        return following.isupper()
    if key in BEFORE_CAPITAL:
        return following.isupper() or following in "-*•"
    if following.islower() and all(len(part) == 1 and part.isalpha() for part in word.split(".")):
        return False  # "E. coli", "the U.S. navy"
    if len(word) == 1 and word.isalpha():
        return not _is_initial(text, stop - 1, at)
    return True


def _is_initial(text: str, position: int, at: _Position) -> bool:
    """Whether the single letter at `position` abbreviates a first name: "Dr. J. Smith", "by A. B. Jones"."""
    before = text[max(at.begin, position - _NAME_REACH) : position].split()
    if not before:
        return position - _NAME_REACH <= at.begin
    last = before[-1].lower().rstrip(".")
    return last in TITLES or last in ("by", "with", "per", "from") or (len(last) == 1 and before[-1].endswith("."))


def _blank_is_missing(text: str, word: str, match: re.Match[str]) -> bool:
    """Whether a stop without a blank behind it ends a sentence: "pneumothorax.Heart", "effusion.2. Heart"."""
    following = match["next"]
    if len(word) < 2 or "." in word or word.lower() in ALWAYS:
        return False
    if following.isdigit():
        return word.isalpha() and _LIST_NUMBER.match(text, match.end(), match.endpos) is not None
    second = text[match.end("next") : min(match.end("next") + 1, match.endpos)]
    return following.isupper() and (second.islower() or second.isspace() or len(word) >= 3)


_CUTS = {  # by the last named group of _CANDIDATE that matched
    "next": _cut_at_stop,
    "line": _cut_at_line,
    "item": _cut_at_item,
    "parenthesis": _cut_at_parenthesis,
}
