"""The language whose headers a data set has, counted over some of its reports.

A list of another language finds few headers or none. Where it finds some ("CONCLUSION:" is French and English), text
under the others ("RÉSULTAT:") is taken for part of the indication before it, and lost: therefore the headers of each
language are counted, and the one with clearly more fits.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, get_args

from .header_search import Strength, find_headers
from .headers import COMPOSED, HeaderNames, Language, header_names

LOOKED_AT = 300  # reports: seven searches in each take less than a second
_CLEARLY_MORE = 1.25  # sections by one language's headers, for one by the other's
_COMPOSED = tuple(f"{name}: " for name in COMPOSED)
_LEAST = 0.1  # of the reports: a few with a foreign header are no data set of that language


class Fit(NamedTuple):
    """A language, and in how many of the reports that were looked at its headers are found."""

    language: Language
    reports: int
    looked_at: int


def better_language(
    texts: Sequence[str], language: Language = "english", headers: Mapping[str, str] | None = None
) -> Fit | None:
    """Return the language whose headers open clearly more sections of `texts` than those of `language` do, or None.

    Texts that begin with a header of index_inputs, which composes them from columns of a table, tell no language.
    """
    texts = [text for text in texts if not text.startswith(_COMPOSED)][:LOOKED_AT]
    counts = {each: _counts(texts, header_names(each, headers, composed=False)) for each in get_args(Language)}
    best: Language = max(counts, key=lambda each: counts[each])
    sections, reports = counts[best]
    fits = sections > _CLEARLY_MORE * counts[language][0] and reports >= _LEAST * len(texts)
    return Fit(best, reports, len(texts)) if fits else None


def _counts(texts: Sequence[str], names: HeaderNames) -> tuple[int, int]:
    """Return how many sections known names open in all of `texts`, and in how many texts there is one."""
    opened = [
        len(
            {name for header in find_headers(text, names) if header.strength == Strength.NAMED for name in header.names}
        )
        for text in texts
    ]
    return sum(opened), sum(map(bool, opened))
