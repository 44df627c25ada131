"""Sentences of a radiology report, as character offsets.

One pass looks at the places where a sentence may end: full stops, question and exclamation marks, ends of lines and the
parentheses of list numbers. Each is decided from a few characters around it, so the time is linear in the text. Only
blanks, list markers, stray stops, and fragments without a letter stand between sentences. Semicolons and colons end no
sentence, but a list after a colon begins one.
"""

import re
from dataclasses import dataclass

from .abbreviations import joined
from .headers import Language
from .vocabulary import (
    ALWAYS,
    BEFORE_CAPITAL,
    BEFORE_INITIAL,
    BEFORE_NUMBER,
    BEFORE_STARTER,
    BEHIND_NUMBER,
    COUNTED,
    FIRST_WORDS,
    GOES_ON,
    GOES_ON_IN_CAPITALS,
    STARTERS,
    UNFINISHED,
)

Span = tuple[int, int]  # character offsets: start inclusive, end exclusive

_CAPITAL = "A-ZÀ-ÖØ-Þ"
_WIDE_STOPS = "\u3002\uff01\uff1f"  # of Chinese and Japanese: they end a sentence without a blank
_BULLET = r"-*>\u00b7\u2022\u2013\u2014"  # with middle dot, bullet, en and em dash
_CLOSING = r")\]\"'\u2019\u201d"
_OPENING = r"(\[\"'\u2018\u201c"
# The last four letters of abbreviations: such words are not plain ends of sentences.
_CLIPPED = frozenset(
    cased(word[-4:])
    for word in ALWAYS | BEFORE_CAPITAL | BEFORE_STARTER
    for cased in (str.lower, str.upper, str.capitalize)
)
_DECIDED = ALWAYS | BEFORE_NUMBER | BEFORE_CAPITAL | BEFORE_STARTER  # words that have rules of their own
_STOP = rf"(?P<stop> [.?!…]*[{_CLOSING}]* ) (?= (?P<gap>\s*) [{_OPENING}]* \s* (?P<next>.?) )"
_ANY_STOP = re.compile(rf"[.?!…] {_STOP}", re.VERBOSE)

# The single class in front lets the engine skip from one candidate to the next.
_CANDIDATE = re.compile(
    rf"""
    [.?!…)\r\n{_WIDE_STOPS}]
    (?:
        (?<=[a-zA-Z]{{4}}\.) (?=\s+[A-Z]|\s*\Z)                                 # plain: most ends of sentences
      | (?<=[.?!…]) {_STOP}
      | (?<=[{_WIDE_STOPS}]) (?P<wide> [{_WIDE_STOPS}]*[\u300d\u300f\uff09\u201d\u2019]* )
      | (?<=\d\)) (?P<parenthesis>) (?=\s)                                     # 2) Effusion
      | (?<=[\r\n]) (?P<blank> (?:(?<=\r)\n)? [^\S\r\n]* (?!(?<=\r)\n)[\r\n] )  # a blank line
      | (?<=[\r\n]) (?P<line>
            \s* (?=[{_BULLET}]+(?:\s|[{_CAPITAL}]))                            # - Effusion
          | \s* (?=[A-Z][A-Za-z/\ ]{{1,30}}:\s)                                # Heart: normal
          | \s* (?=(?i:{FIRST_WORDS})\b)                                      # Dictated by Dr. X
        )
      | (?<=[\r\n]) \s* (?=\(?(?P<item>\d{{1,2}})[.)]+(?:\s|[{_CAPITAL}]))     # 2. Effusion
      | (?<=[\r\n]) (?P<capital> \s* ) (?=[A-Z][a-z])                          # a line that may be a sentence
    )
    """,
    re.VERBOSE,
)

# What no sentence begins with: blanks, bullets, list numbers, stray stops (but ".5 cm" keeps its point). There are no
# possessive quantifiers here or above, because those of Python 3.11.2 are wrong around groups.
_LEAD = re.compile(
    rf"(?:[\s\ufeff]+|[{_BULLET}]+(?=\s|[{_CAPITAL}])|\(?(\d{{1,2}})[.)]+(?=\s|[{_CAPITAL}])|[.,;:…]+(?!\d))*"
)
_LETTER = re.compile(r"[^\W\d_]")
_HYPHENATED = re.compile(r"[^\W\d_]+-(?:[a-z]*ed|based|like|lead|lumen|chamber|line|type|to|and)?", re.IGNORECASE)
_NUMBER_AT_END = re.compile(r"(?<![^\s(])\(?(\d{1,2})\Z")
_LIST_NUMBER = re.compile(rf"\d{{1,2}}[.)]+(?:\s|[{_CAPITAL}])")
_UNIT = r"(?:%|(?:cc|cm|degrees?|inch(?:es)?|kg|mg|mgy|ml|mm|msv|percent)\b)"
_SPLIT_DECIMAL = re.compile(
    rf"\d{{1,2}}\s*(?:{_UNIT}|[-x\u00d7\u2013]\s*\d)", re.IGNORECASE
)  # "2. 5 cm": from the 5 on
_MEASURE = re.compile(rf"\d{{1,3}}(?:\.\d+)?\s*{_UNIT}", re.IGNORECASE)
_WORD_AHEAD = re.compile(r"[A-Za-z]+")
_LABEL = re.compile(r"[A-Za-z]|[IVX]{2,4}")  # of an item: "b. No kink", "II. No acute disease"
_SHORT_LINE = 50  # characters; reports are wrapped near 80, so a shorter line was ended by hand
_WORD_REACH = 14  # characters; longer than every abbreviation
_NAME_REACH = 30  # characters in front of an initial that may hold its title


@dataclass(slots=True)
class _Position:
    """Start of the current sentence (kept up to date for the rules that need it), and the last list number seen."""

    begin: int
    number: int = 0


def fold(text: str) -> str:
    """Return `text` with every run of blanks (line ends included) as one space, and none at its ends."""
    return " ".join(text.split())


def split_sentences(text: str, start: int = 0, end: int | None = None, language: Language = "english") -> list[Span]:
    """Return the sentences of `text[start:end]`: ordered, disjoint offsets into `text`, each with at least one letter.

    Splitting the folded text of one sentence gives that sentence back.
    """
    return joined(text, _split(text, start, end), language)


def _split(text: str, start: int, end: int | None) -> list[Span]:
    end = len(text) if end is None else end
    while end > start and text[end - 1].isspace():
        end -= 1
    if end <= start:
        return []
    spans: list[Span] = []
    at = _Position(start)
    begin = _begin(text, start, end, at)
    for match in _CANDIDATE.finditer(text, start, end):
        stop, cut = match.span()
        if stop < begin:
            continue  # within the lead of the sentence
        kind = match.lastgroup
        if kind is None:  # a plain end
            if text[stop - 4 : stop] not in _CLIPPED:
                spans.append((begin, cut))
                begin = cut + 1  # one blank and a letter: there is no lead
                if begin >= end or not text[begin].isalpha():
                    begin = _begin(text, cut, end, at)
                continue
            following = _ANY_STOP.match(text, stop, end)
            assert following is not None  # it begins with a stop
            match, kind = following, "next"
        at.begin = begin
        place = _CUTS[kind](text, match, at)
        if place is not None:
            _add(text, begin, place, spans)
            begin = _begin(text, place, end, at)
    if begin < end:
        _add(text, begin, end, spans)
    return spans


def _begin(text: str, position: int, end: int, at: _Position) -> int:
    """Return where the sentence at `position` begins, or `end` where none does; note a list number in front of it."""
    if position >= end or text[position].isalpha():  # no lead
        return position
    lead = _LEAD.match(text, position, end)
    assert lead is not None  # it matches the empty text
    if lead[1]:
        at.number = int(lead[1])
    return lead.end()


def _add(text: str, begin: int, end: int, spans: list[Span]) -> None:
    while end > begin and text[end - 1].isspace():
        end -= 1
    if _LETTER.search(text, begin, end):
        spans.append((begin, end))


def _cut_at_line(_text: str, match: re.Match[str], _at: _Position) -> int:
    """Return the cut before a bullet, a label or boilerplate at the start of a line."""
    return match.start()


def _cut_behind(_text: str, match: re.Match[str], _at: _Position) -> int:
    """Return the cut behind a full-width stop."""
    return match.end()


def _cut_at_blank_line(text: str, match: re.Match[str], at: _Position) -> int | None:
    """Return the cut at a blank line, or None for a page break within a sentence.

    An example is "effusion on the", blank line, "left".
    """
    ahead = text[match.end() : min(match.end() + _NAME_REACH, match.endpos)].lstrip()
    return None if ahead[:1].islower() and _is_unfinished(text, match.start(), at) else match.start()


def _cut_at_capital(text: str, match: re.Match[str], at: _Position) -> int | None:
    """Return the cut before a line with a capital, if the line before it ended early and without a stop."""
    stop, first = match.start(), max(match.pos, match.start() - _SHORT_LINE)
    line = max(text.rfind("\n", first, stop), text.rfind("\r", first, stop)) + 1
    if line == 0 and first > match.pos:
        return None  # a long line was wrapped
    before = _visible_before(text, stop, at.begin)
    return stop if (before.isalnum() or before in (")", "%")) and not _is_unfinished(text, stop, at) else None


def _is_unfinished(text: str, position: int, at: _Position) -> bool:
    last = text[max(at.begin, position - _WORD_REACH) : position].split()[-1:]
    return bool(last) and (
        last[0].endswith(",") or last[0].lower() in UNFINISHED or _HYPHENATED.fullmatch(last[0]) is not None
    )


def _cut_at_item(text: str, match: re.Match[str], at: _Position) -> int | None:
    """Return the cut before a number at the start of a line, unless the number ends a wrapped sentence."""
    number, before = int(match["item"]), _visible_before(text, match.start(), at.begin)
    return match.start() if number in (1, at.number + 1) or before in tuple(".?!:;") else None


def _list_number_before(text: str, stop: int, at: _Position) -> int | None:
    """Return the start of the list number that ends at `stop`, if the list continues: "1. Clear 2. Normal"."""
    found = _NUMBER_AT_END.search(text, max(at.begin, stop - 4), stop)
    if found is None:
        return None
    number, before = int(found[1]), text[max(at.begin, found.start() - 8) : found.start()].split()[-1:]
    if before and (before[0].endswith(",") or before[0] in ("and", "or")):
        return None  # counted within a sentence: "(1) a port, (2) a tube and (3) clips"
    if text[stop + 1 : stop + 3].strip()[:1].islower() and number == 1:
        return None
    if number == at.number + 1 > 1 or (number == 1 and _opens_list(text, found.start(), at)):
        return found.start()
    return None


def _opens_list(text: str, start: int, at: _Position) -> bool:
    """Return whether a 1 at `start` opens a list: after a colon, or a title of one or two words ("Left hand")."""
    if _visible_before(text, start, at.begin) == ":":
        return True
    title = text[at.begin : start].split() if start - at.begin <= _NAME_REACH else []
    return 1 <= len(title) <= 2 and title[0][0].isupper() and title[-1].isalpha() and title[-1].lower() not in COUNTED


def _visible_before(text: str, position: int, begin: int) -> str:
    """Return the last non-blank character before `position`, or ""."""
    while position > begin and text[position - 1].isspace():
        position -= 1
    return text[position - 1 : position] if position > begin else ""


def _cut_at_stop(text: str, match: re.Match[str], at: _Position) -> int | None:
    """Return where the sentence ends if it ends at this run of stops, else None."""
    (stop, end), (gap, following) = match.span(), match.group("gap", "next")
    run, blank = text[stop:end], gap != ""
    if not following or following in ",;:)]%/" or stop == at.begin:
        return None  # after the last stop, the end of the text ends the sentence
    if run == "." and blank:  # most stops
        word = _word_before(text, stop, at.begin)
        if not word.isdigit():
            return end if _ends_after(text, word, match, at) else None
    if "?" in run or "!" in run:
        return end if _ends_at_mark(text, stop, blank, following) else None
    dots = run.count(".") + 3 * run.count("…")
    if dots >= 3:
        return end if following.isupper() and (blank or _second(text, match).islower()) else None
    word = _word_before(text, stop, at.begin)
    if word.isdigit() and (following.isupper() or following in "_("):
        number = _list_number_before(text, stop, at)
        if number is not None:
            return number
    if blank:
        if run[-1] not in ".…" and following.islower():
            return None  # after a bracket or quote: "(Dr. Lee was told.) before"
        return end if dots == 2 or _ends_after(text, word, match, at) else None
    return end if _blank_is_missing(text, word, match) else None


def _ends_at_mark(text: str, stop: int, blank: bool, following: str) -> bool:
    """Return whether a question or exclamation mark ends a sentence; "(?) mass" and "? mass" do not."""
    before = text[stop - 1]
    if blank:
        return before != "(" and not following.islower()
    return following.isupper() and before.isalpha()


def _word_before(text: str, stop: int, begin: int) -> str:
    """Return the word that touches the stop, without the bracket or quote in front of it."""
    reach = text[max(begin, stop - _WORD_REACH) : stop]
    return "" if reach[-1:].isspace() else reach.split()[-1].lstrip("([{\"'\u2018\u201c")


def _ends_after(text: str, word: str, match: re.Match[str], at: _Position) -> bool:
    """Return whether `word` and a full stop end a sentence before a blank."""
    key, following, stop = word.lower(), match["next"], match.start()
    if key not in _DECIDED and following.isupper() and len(word) > 1 and stop - len(word) > at.begin:
        return True
    if key in ALWAYS:
        return False
    if key in BEFORE_NUMBER:
        return following.isupper()
    if key in BEFORE_CAPITAL or key in BEFORE_STARTER:
        found = _WORD_AHEAD.match(text, match.start("next"), min(match.start("next") + _WORD_REACH, match.endpos))
        ahead = found[0] if found else ""
        if stop - len(word) <= at.begin or ahead.lower() in (GOES_ON_IN_CAPITALS if ahead.isupper() else GOES_ON):
            return False
        return ahead.lower() in STARTERS if key in BEFORE_STARTER else following.isupper() or following in "-*•"
    if following.islower() and all(len(part) == 1 and part.isalpha() for part in word.split(".")):
        return False  # "E. coli", "the U.S. navy"
    if stop - len(word) <= at.begin and _LABEL.fullmatch(word):
        return False
    if len(word) == 1 and word.isalpha():
        return not _is_initial(text, stop - 1, at)
    if word.isdigit() and following.islower():
        found = _WORD_AHEAD.match(text, match.start("next"), min(match.start("next") + _WORD_REACH, match.endpos))
        return found is None or found[0] not in BEHIND_NUMBER
    return not (following.isdigit() and _is_split_decimal(text, word, match, at))


def _is_split_decimal(text: str, word: str, match: re.Match[str], at: _Position) -> bool:
    """Return whether a blank slipped into a decimal: "2. 5 cm", but not "image 2. 5 mm nodule"."""
    if not (word.isdigit() and len(word) <= 2 and _SPLIT_DECIMAL.match(text, match.start("next"), match.endpos)):
        return False
    position = match.start() - len(word)
    before = text[max(at.begin, position - _WORD_REACH) : position].split()[-1:]
    return bool(before) and before[0].lower() not in COUNTED


def _is_initial(text: str, position: int, at: _Position) -> bool:
    """Return whether the single letter at `position` abbreviates a first name: "Dr. J. Smith", "by A. B. Jones"."""
    before = text[max(at.begin, position - _NAME_REACH) : position].split()
    last = before[-1].lower().rstrip(".:") if before else ""
    return last in BEFORE_INITIAL or (len(last) == 1 and before[-1].endswith("."))


def _blank_is_missing(text: str, word: str, match: re.Match[str]) -> bool:
    """Return whether a stop without a following blank ends a sentence: "pneumothorax.Heart", "effusion.2. Heart"."""
    following = match["next"]
    if len(word) < 2 or "." in word or word.lower() in ALWAYS:
        return False
    if following.isdigit():
        if not word.isalpha():
            return False
        if _LIST_NUMBER.match(text, match.end(), match.endpos):
            return True
        return len(word) >= 4 and _MEASURE.match(text, match.end(), match.endpos) is not None
    if following.islower():
        found = _WORD_AHEAD.match(text, match.end(), min(match.end() + _WORD_REACH, match.endpos))
        return (
            len(word) >= 4
            and word.isalpha()
            and found is not None
            and found[0] in STARTERS
            and text[found.end() : min(found.end() + 1, match.endpos)].isspace()
        )
    second = _second(text, match)
    return following.isupper() and (second.islower() or second.isspace() or len(word) >= 3)


def _second(text: str, match: re.Match[str]) -> str:
    """Return the second character after a stop, or ""."""
    return text[match.end("next") : min(match.end("next") + 1, match.endpos)]


# By the last named group of _CANDIDATE that matched.
_CUTS = {"wide": _cut_behind, "next": _cut_at_stop, "blank": _cut_at_blank_line, "line": _cut_at_line,
         "item": _cut_at_item, "capital": _cut_at_capital,
         "parenthesis": lambda text, match, at: _list_number_before(text, match.start(), at)}  # fmt: skip
