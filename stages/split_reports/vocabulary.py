"""Words that decide where sentences end, and sentences that say nothing about the images.

Words are in lower case, without their last stop. Sentences that say who wrote a report, and where it ends, are left out
on purpose, and `quality.json` counts them by kind; besides headers and placeholders, split_reports drops nothing else.
Such a sentence must match to its end: behind its beginning stand only persons, dates, times and words of a closed list,
so that no finding is dropped for what its sentence begins with. In doubt, a sentence is kept.
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
BEFORE_INITIAL = TITLES | _words(
    "by called contacted doctor fellow from informed notified nurse np pa paged per radiologist resident rn "
    "technologist to told with"
)

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

# A number with a stop that is followed by one of these, in lower case, does not end a sentence: "3, 4. and 5 mm".
BEHIND_NUMBER = _words("and at by cc cm in mm ml of or percent th than through to with x")

# What is counted, so that a stop and a number after it belong to two sentences: "image 4. 5 mm nodule".
COUNTED = _words("class figure film grade image level no number rib ribs segment series stage type view zone")

# A line that begins with one of these begins a sentence, so that no finding is dropped with the boilerplate.
FIRST_WORDS = r"dictated|transcribed|typed\ by|electronically|digitally|approved\ by|signed\ by|end\ of|reviewed\ and"

# Kind -> how such a sentence begins. What stands behind is read word by word.
_PERSONS = {
    "dictated by": r"dictated(?= (?:and \w+ )?(?:by|but not)\b)|dictation (?=by|date|time)|d:(?=\s*\d)",
    "transcribed by": r"(?:transcribed|typed)(?= by\b)|transcription(?:ist)?(?: (?:date|time|by))*\s?:|t:(?=\s*\d)",
    "signed by": r"(?:electronically |digitally )?(?:signed|authenticated|verified|finali[sz]ed)(?: electronically)?"
                 r"(?= (?:by|on)\b)|electronic(?:ally)? (?:signature|signed|approved|reviewed)\b|signature:",
    "approved by": r"(?:reviewed and )?approved(?= (?:by|on)\b|:)|(?:interpreted|read)(?= by\b)|"
                   r"(?:attending|radiologists?|residents?|physicians?):",
}  # fmt: skip
_ENDS = {
    "end of report": r"\**\s*end (?:of )?(?:the )?(?:final |wet )?(?:impression|findings|report|addendum|read)\b\W*\Z",
    "page break": r"\(?(?:over|cont(?:\.|inued)?)\)\Z",
}
_ATTESTATION = r"i\b(?=.{1,60}\b(?:reviewed|supervised|interpreted|examined|viewed)\b)"
_KINDS = _PERSONS | {"attestation": _ATTESTATION} | _ENDS
KINDS = tuple(_KINDS)
_BEGINS = re.compile(
    r"\W*(?:" + "|".join(f"({pattern})" for pattern in _KINDS.values()) + ")", re.IGNORECASE | re.DOTALL
)

# Words of such sentences, besides names: in front of a name, behind it, and all others.
_TITLES = _words(
    "dr drs doctor mr mrs ms miss prof professor attending fellow resident radiologist physician staff nurse"
)
_DEGREES = _words(
    "md do phd mph ms msc mbbs mbchb facr frcr frcpc rn np pa pac rt rpa ra pgy jr sr ii iii iv m.d d.o ph.d r.n"
)
_OTHERS = _words(
    "a am and approved approval at attending authenticated but by date dated dates dictated dictating dictation",
    "department doctor electronic electronically edited est fellow file final finalized finalised for hours hrs id in",
    "initials interpreted interpreting is job name no not number of on or pager pm physician prelim preliminary",
    "radiologist radiology read reading report resident review reviewed reviewing signature signed staff system the",
    "this time transcribed transcription transcriptionist typed using verified via voice was with powerscribe",
)
_ATTESTED = _words(
    "a above accompanying agree agreed all also am and any are as attending attest been by chest conclusion",
    "conclusions concur concurred confirm described dictated documented edited entirety exam examination examinations",
    "film films final findings for have her his i image images impression in interpretation interpreted is it its key",
    "made my myself of or performed personally physician portions preliminary present procedure radiograph",
    "radiographs radiologist radiology read reading report reports resident resident's residents reviewed s stated",
    "studies study supervised that the their them these this viewed was were with written x-ray x-rays",
)

# Words with a capital that are no names of persons: "Read by: Dr. X. Nodule", "Verified by CT", "AGREE EXCEPT".
_NO_NAME = re.compile(
    r"(?:above|absent|acute|after|airspace|air|along|also|altered|an?|and|apex|apical|areas?|as|at|atypical|base|basal|"
    r"basilar|below|better|bilateral|biops(?:y|ies)|blunt\w*|bones?|both|but|cardiac|catheter|cavit\w+|cavity|changes?|"
    r"chest|chronic|clear(?:ed|ing)?|clips?|collapse|comparison|congestion|consider|consistent|correction|cta?|culture|"
    r"cxr|cysts?|decreased|definite|dense|density|densities|diffuse|discrepan\w+|disagree\w*|disease|ecg|echo|"
    r"enlarged|error|ett?|except\w*|exam|extensive|failure|few|films?|findings?|focal|follow|followup|for|free|from|"
    r"growing|growth|has|have|heart|hernia|hilar|hila|his|histology|history|if|images?|improv\w+|in|increas\w+|"
    r"infarct\w*|infection|infiltrat\w+|inflammation|interstitial|interval|is|it|joint|kub|large|larger|lateral|left|"
    r"lesions?|line|lines|lobe|lobar|lower|lucency|lumps?|lungs?|mass(?:es)?|mediastin\w+|metastas\w+|middle|mild|"
    r"minimal|moderate|mri?|mra|multiple|negative|new|no|nod\w+|none|normal|not|note|now|obstruction|of|old|on|opaci\w+|"
    r"or|pacemaker|patient|pathology|patchy|perforation|pet|picc|placed|please|port|positive|possible|posterior|"
    r"probable|progress\w+|pulmonary|radiograph\w*|read|resolved|rib|ribs|right|scan|scar\w*|sepsis|severe|shadow|"
    r"should|small|smaller|some|spine|spur\w*|stable|status|strand\w*|study|subtle|suspicious|swelling|tb|tear|the|"
    r"there|these|thicken\w*|this|to|tube|tubes|tumou?rs?|two|under|unchanged|unremarkable|upper|us|volume|wall|was|"
    r"were|when|widen\w*|with|within|without|worse\w*|xr|x-?rays?|zone|\w*(?:oma|omas|omata|itis|osis|oses|iasis|thorax|"
    r"ectas\w+|megaly|pathy|emia|edema|oedema|usion|usions|ation|ations|cture|ctures|ular|pleura\w*|nchial|ricardi\w+|"
    r"pneumo\w*|calcif\w+|embol\w+|graphy|gram|scopy|sound|aneurysm|abscess|ascites|atroph\w+|fibro\w+|fissur\w+|"
    r"fluid|foreign|granul\w+|haem\w+|hemato\w+|hydro\w+|hyper\w+|hypo\w+|lymph\w*|osteo\w+|sarcoid\w*|"
    r"tubercul\w+|vascul\w*|emphysem\w*|congest\w*|deviat\w*|displac\w*|disloc\w*|atelect\w*|consolid\w*|"
    r"effus\w*|fractur\w*|cardio\w*|\w*empyem\w*|bulla\w*|blebs?|copd|chf|ards|pe|pna|ptx|ggos?|ild|tortuo\w*|kink\w*|"
    r"malignan\w+|cancer\w*|haz[ey]\w*|loculat\w*|perihilar|retro\w+|malposition\w*|stents?|trache\w+|aort\w+|"
    r"stern\w+|hemorrhag\w+|deform\w+|r[lmu]l|l[lu]l|icd|aicd|lvad|iabp|ngt|ogt|svc|ivc|cm|mm|wedge\w*|compress\w+|"
    r"bronch\w*|angio\w*|surg\w+|thora\w+|drain\w*|efface\w*|hiatal|hilum|vein|vessels?|artery|arteries|tortuosity|"
    r"diaphragm\w*|hemidiaphragm\w*|costophrenic|apices|bases|crowd\w*|streak\w*|reticul\w*|ground|honeycomb\w*|"
    r"kerley|septal|lytic|blastic|sclero\w+|degenerat\w*|arthr\w*|scolio\w*|kypho\w*|spondyl\w*|fat|gas|bowel|stomach|liver|"
    r"spleen|abdom\w*|breast\w*|nipple\w*|skin|soft|tissues?|clavic\w*|humer\w*|scapul\w*|shoulder\w*|vertebra\w*|"
    r"rotat\w*|portable|supine|limited|tip|leads?|wires?|valves?|prosthes\w*|hardware|screws?|plates?|sutures?|staples?))\Z",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[^\s,;()\[\]*/|]+|[,/;]")
_NUMBER = re.compile(r"[\d.:\-#x+]*\d[\d.:\-hH]*(?:am|pm|st|nd|rd|th)?\Z|_{2,}\Z|xxx+\Z", re.IGNORECASE)
_NAME = re.compile(r"[A-ZÀ-ÖØ-Þ][^\W\d_]*(?:['\u2019-][^\W\d_]+)*\.?\Z")
_INITIALS = re.compile(r"(?:[A-Z]\.)+\Z|[A-Z]\Z")
_MONTH_OR_DAY = re.compile(
    r"(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec|mon|tues?|wed|wednes|thu|thurs?|fri|satur?|sun)"
    r"(?:[a-z]*(?:ary|ch|il|ust|ber|day))?\Z",
    re.IGNORECASE,
)
_LONGEST_NAME = 4  # words
_ROLE = re.compile(r"(?:attending|radiologists?|residents?|physicians?|signature):\Z", re.IGNORECASE)


def boilerplate_kind(sentence: str) -> str | None:
    """Return one of KINDS, or None for a sentence that is kept; line ends are read, since a name ends with its line."""
    found = _BEGINS.match(sentence)
    if found is None or not found.lastindex:
        return None
    kind = KINDS[found.lastindex - 1]
    if kind in _ENDS:
        return kind
    rest = sentence[found.end() :]
    if kind == "attestation":
        return kind if _is_closed(rest, _ATTESTED, "person") and "review" in rest.lower() else None
    by_role = _ROLE.search(found[0]) or not found[0].endswith(":")  # "Radiologist: Kerley B" is no person
    return kind if _is_closed(rest, _OTHERS, "unsure" if by_role else "person") else None


def _is_closed(rest: str, words: frozenset[str], place: str) -> bool:
    """Return whether `rest` consists of `words`, numbers and persons.

    `place` is what may stand next:

    - "person": a name, behind "by", a title or the colon of a role;
    - "name": more of a name, on its line;
    - "unsure": a name that must be confirmed, by a degree, a title, an initial, a number or "on" behind it: the second
      part of "Moss, Ada, MD", or a name without "by". A finding is not ("Signed by Dr. Moss, effusion");
    - "": no name.
    """
    unconfirmed, length, end = False, 0, 0
    for match in _TOKEN.finditer(rest):
        token, broken = match[0], any(mark in rest[end : match.start()] for mark in "\r\n")
        end = match.end()
        word = token.strip(".:\"'\u2019\u201c\u201d-*#&").lower()
        if broken and place in ("name", "unsure"):
            place = ""
        if token in (",", "/", ";") or not word:
            place = "unsure" if place in ("name", "unsure") else place
            continue
        if place and _INITIALS.match(token):
            place, unconfirmed, length = "name", False, length + 1
        elif word in _TITLES or word in _DEGREES:
            place, unconfirmed, length = "person" if word in _TITLES else "", False, 0
        elif word in words:
            unconfirmed = unconfirmed and word not in ("on", "at", "date", "dated")
            place = "person" if word == "by" else "unsure" if word == "and" and place in ("name", "") else ""
            length = 0
        elif _NUMBER.match(word) or _MONTH_OR_DAY.match(word):
            place, unconfirmed, length = "", False, 0
        elif place and length < _LONGEST_NAME and _NAME.match(token.rstrip(":,;")) and not _NO_NAME.match(word):
            unconfirmed = unconfirmed or place == "unsure"
            place, length = "name", length + 1
        else:
            return False
        if token.endswith(":"):
            place = "" if place == "name" else "person"
    return not unconfirmed
