"""What is left out of a report on purpose, beside headers: sentences that say who wrote it, and where it ends.

The list is all that split_reports drops; `quality.json` counts it by kind. Only the beginning of a sentence is looked
at, so a finding is never dropped for a word in its middle.
"""

import re

# Kind -> how such a sentence begins.
_KINDS = {
    "dictated by": r"dictated (?:and \w+ )?(?:by|but not)\b|dictation (?:by|date|time)\b|d:\s*\d",
    "transcribed by": r"(?:transcribed|typed) by\b|transcription(?:ist)?\b.{0,12}:|t:\s*\d",
    "signed by": r"(?:electronically |digitally )?(?:signed|authenticated|verified|finali[sz]ed) (?:electronically )?"
                 r"(?:by|on)\b|electronic(?:ally)? (?:signature|signed|approved|reviewed)\b|signature:",
    "approved by": r"(?:reviewed and )?approved (?:by|on|:)|(?:interpreted|read) by:|"
                   r"(?:attending|radiologists?|residents?|physicians?):",
    "attestation": r"i,? (?:___,? |dr\.? )?.{0,30}(?:have )?(?:personally )?(?:reviewed|supervised) (?:the|these|this) "
                   r"(?:images?|films?|study|studies|examination|report|procedure)\b.{0,80}\b(?:agree|findings|report)",
    "end of report": r"\**\s*end (?:of )?(?:the )?(?:final |wet )?(?:impression|findings|report|addendum|read)\b\W*$",
    "page break": r"\(?(?:over|cont(?:\.|inued)?)\)$",
}  # fmt: skip
_BOILERPLATE = re.compile(
    r"\W*(?:" + "|".join(f"({pattern})" for pattern in _KINDS.values()) + ")", re.IGNORECASE | re.DOTALL
)
KINDS = tuple(_KINDS)

# A line that begins with one of these begins a sentence, so that no finding goes with the boilerplate.
FIRST_WORDS = r"dictated|transcribed|typed\ by|electronically|digitally|approved\ by|signed\ by|end\ of|reviewed\ and"


def boilerplate_kind(sentence: str) -> str | None:
    """One of KINDS, or None for a sentence that is kept."""
    found = _BOILERPLATE.match(sentence)
    return KINDS[found.lastindex - 1] if found and found.lastindex else None
