"""Words that end in a full stop without ending a sentence, grouped by what has to follow. Lower case, no last stop."""


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


# Never the end of a sentence: a name, an example or a comparison follows ("Dr. X", "e.g. a nodule", "vs. edema").
ALWAYS = _words("approx assoc cf dr drs e.g eg fig figs i.e ie incl mr mrs ms prof resp st viz vs w.r.t")

# Of them, the ones that stand before a name: "Dr. J. Smith".
TITLES = _words("dr drs mr mrs ms prof st")

# The end of a sentence only where a capital follows, never before a number ("No. 3", "ca. 5 mm").
BEFORE_NUMBER = _words("ca im img no nos nr ser vol")

# The end of a sentence only where a capital or a bullet follows ("at 8 a.m. on Monday", "3 cm. in size").
BEFORE_CAPITAL = _words(
    "a.m p.m am pm al etc inc jr sr dept est",  # clock, lists, names
    "cm mm in ft lb lbs oz kg sec min mins hr hrs wk wks mo mos yr yrs",  # units
    "ant post sup inf lat med bilat rt lt max temp prev eval w.o w/o",  # places and clipped words
    "dx fx hx rx sx tx pt pts wt ht",  # charts
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun",
)
