"""Words that decide where sentences end, and sentences that say nothing about the images.

Words are in lower case, without their last stop. Sentences that say who wrote a report, and where it ends, are left out
on purpose; besides headers, split_reports drops nothing else, and `quality.json` counts them by kind. Only the
beginning of a sentence is examined, so a finding is never dropped for a word in its middle.
"""

import re


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


# Never the end of a sentence: a name, an example or a disease follows ("Dr. X", "e.g. a nodule", "s/p. CABG").
ALWAYS = _words(
    "approx assoc capt cf dr drs e.g eg fig figs i.e ie incl messrs mr mrs ms mt poss prob prof resp sgt st viz vs",
    "c/o c/w d/t h/o r/o s/p w.r.t",
)

# Those of them that stand before a name: "Dr. J. Smith".
TITLES = _words("capt dr drs mr mrs ms prof sgt st")

# Other words before an initial: "Approved by J. Moss", "Nurse R. Vane".
BEFORE_INITIAL = TITLES | _words("by doctor fellow from nurse np pa per radiologist resident rn technologist with")

# The end of a sentence only if a capital follows, never before a number ("No. 3", "ca. 5 mm", "ver. 2.1").
BEFORE_NUMBER = _words("ca im img no nos nr ser v ver vol")

# The end of a sentence only if a capital or a bullet follows ("at 8 a.m. on Monday", "3 cm. in size").
BEFORE_CAPITAL = _words(
    "a.m p.m am pm al co corp dept est etc inc jr ltd ref sr",  # clock, lists, names
    "cm mm in ft lb lbs oz kg sec mins hr hrs wk wks mo mos yr yrs",  # units
    "b.i.d f/u p.o p.r.n post-op pre-op q.d q.i.d t.i.d w/u w.o w/o",  # orders
    "dx eval fx hx prev rx sx tx wt ht",  # charts
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun",
)

# The end of a sentence only before a word of STARTERS ("Max. Inspiration", "i.v. Lasix", but "seen by the pt. The").
BEFORE_STARTER = _words("ant bilat i.m i.v inf lat lt max med min post pt pts rt s.c sup temp")

# Words that often begin a sentence of a report, and are seldom names.
STARTERS = _words(
    "a all also an as at both each he her his if in it its new no none not on one other otherwise please she since",
    "that the there these they this those two when with without",
    "bones cardiac compared comparison consider correlate follow follow-up heart interval large left lung lungs mild",
    "normal old osseous pleural right small stable unchanged",
)

# Words after an abbreviation that continue the sentence though they have a capital: "7 a.m. Monday", "cm. H2O" ...
GOES_ON = _words("h hg monday tuesday wednesday thursday friday saturday sunday today tomorrow yesterday")
# ... and, in a text in capitals, prepositions: "5 CM. ABOVE THE CARINA".
GOES_ON_IN_CAPITALS = GOES_ON | _words("above and at below by for from in long of on or thick to wide with")

# A line that ends in one of these is not at the end of its sentence.
UNFINISHED = _words(
    "a an and are as at be been between but by for from has have in into is its not of on or over than that the these",
    "this to under versus via was were which with within without",
)

# What is counted, so that a stop and a number after it belong to two sentences: "image 4. 5 mm nodule".
COUNTED = _words("class figure film grade image level no number rib ribs segment series stage type view zone")


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

# A line that begins with one of these begins a sentence, so that no finding is dropped with the boilerplate.
FIRST_WORDS = r"dictated|transcribed|typed\ by|electronically|digitally|approved\ by|signed\ by|end\ of|reviewed\ and"


def boilerplate_kind(sentence: str) -> str | None:
    """Return one of KINDS, or None for a sentence that is kept."""
    found = _BOILERPLATE.match(sentence)
    return KINDS[found.lastindex - 1] if found and found.lastindex else None
