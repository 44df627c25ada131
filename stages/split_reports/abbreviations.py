"""Abbreviations and ordinals of languages other than English, behind which a sentence goes on.

Words are in lower case, without their last stop. English has lists of its own (vocabulary.py), by which a report is
split first: what they cut behind such a word is joined again.
"""

import re

from .headers import Language

# A complement follows: never the end of a sentence. `o.B.` ends one, and `max.` may.
_COMPLEMENTED = {
    "german": "z.n v.a v.d vd d.d dd z.b bzw ca evtl ggf vgl insb insbes i.s i.r i.v.m u.a d.h sog inkl ausschl",
    "spanish": "aprox p.ej ej sr sra dra",
    "italian": "ca es p.es dott prof sig",
    "french": "env cf p.ex mme",
    "portuguese": "aprox p.ex ex sr sra dra",
    "dutch": "i.v.m o.a evt bijv ca m.n d.w.z t.g.v t.o.v",
}
# Sides and the like: the end of a sentence unless a small letter follows ("Erguss bds. basal").
_MAY_END = {
    "german": "bds bds.e re li o.b max min ant post",
    "spanish": "dcha dcho der izq izda izdo inf sup",
    "italian": "dx sn sin bil inf sup",
    "french": "dr dte gche g inf sup",
    "portuguese": "dir esq inf sup",
    "dutch": "re li bdz",
}
_NEVER_ENDS, _ENDS_BEFORE_CAPITAL = (
    {language: frozenset(words.split()) for language, words in lists.items()} for lists in (_COMPLEMENTED, _MAY_END)
)
_ORDINALS = frozenset(["german"])  # "der 12. Rippe": a number with a stop
_BEFORE_ORDINAL = r"(?<!\w)(?:der|die|das|dem|den|des|im|am|vom|zum|zur|ab|bis|und|oder)"
_ENDS_IN_ORDINAL = re.compile(rf"{_BEFORE_ORDINAL}\s+\d{{1,2}}\.\Z", re.IGNORECASE)
_ENDS_BEFORE_ORDINAL = re.compile(rf"{_BEFORE_ORDINAL}\Z", re.IGNORECASE)
_ORDINAL_BETWEEN = re.compile(r"\s+\d{1,2}\.\s+\Z")
_PARAGRAPH = re.compile(r"[\r\n]\s*[\r\n]")
_REACH = 24  # characters at the end of a sentence that are looked at


def joined(text: str, spans: list[tuple[int, int]], language: Language) -> list[tuple[int, int]]:
    """Return sentences, as offsets, with those that an abbreviation or an ordinal has parted as one."""
    if language == "english":
        return spans
    whole: list[tuple[int, int]] = []
    for start, end in spans:
        if whole and _goes_on(text, whole[-1], start, language):
            start = whole.pop()[0]
        whole.append((start, end))
    return whole


def _goes_on(text: str, before: tuple[int, int], start: int, language: Language) -> bool:
    """Return whether the sentence `before` goes on at `start`."""
    between = text[before[1] : start]
    end = text[max(before[0], before[1] - _REACH) : before[1]]
    if _PARAGRAPH.search(between):
        return False
    if between.strip():
        is_ordinal = _ORDINAL_BETWEEN.match(between) and _ENDS_BEFORE_ORDINAL.search(end)
        return language in _ORDINALS and bool(is_ordinal)
    if not end.endswith("."):
        return False
    if language in _ORDINALS and _ENDS_IN_ORDINAL.search(end):
        return True
    word = end.split()[-1].lstrip("([{\"'").removesuffix(".").lower()
    return word in _NEVER_ENDS[language] or (word in _ENDS_BEFORE_CAPITAL[language] and text[start].islower())
