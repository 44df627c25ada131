"""Sex and age of an image's patient, as headers and tables write them, and the groups in which figures are split.

Ages of 90 years and more are one value, 90, wherever they are read: the safe harbour of HIPAA (45 CFR 164.514(b)(2))
lets no age above 89 stand by itself. An age above 120 is a mistake of the source, and counts as unstated.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

Sex = Literal["female", "male", "other"]
Attribute = Literal["sex", "age", "view"]
ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)

OLDEST = 90.0  # years: this age, or a greater one
_IMPLAUSIBLE = 120
_AGE = re.compile(r"(?:>=? ?)?(\d{1,4}(?:[.,]\d+)?) ?\+? ?([DWMY]?|YEARS?|YRS?|Y/O)", re.ASCII)
_PER_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0}
_DICOM_SEX: dict[str, Sex] = {"F": "female", "M": "male", "O": "other"}  # PS3.3 C.7.1.1
NOT_STATED = "not stated"


def parse_age(text: str) -> float | None:
    """Return an age in years, at most `OLDEST`, of `62`, `62,5`, `62 years` or DICOM's `062Y`, `009M`.

    `90+` and `>89`, as de-identified tables write them, are `OLDEST`, too. None for an implausible age. Raises
    ValueError for a text that is no age.
    """
    found = _AGE.fullmatch(text.strip(" \0").upper())
    if found is None:
        raise ValueError("not an age")
    years = float(found[1].replace(",", ".")) / _PER_YEAR.get(found[2], 1.0)
    if ">" in found[0] or "+" in found[0]:
        if years < OLDEST - 1:
            raise ValueError("a bound, and not an age")
        return OLDEST
    return min(years, OLDEST) if years <= _IMPLAUSIBLE else None


def dicom_age(text: str) -> float | None:
    """Return the age that PatientAge states, None where it states none: no image is refused for its age."""
    try:
        return parse_age(text)
    except ValueError:
        return None


def dicom_sex(text: str) -> Sex | None:
    """Return the sex that PatientSex states, or None."""
    return _DICOM_SEX.get(text)


def age_band(age: float, bounds: Sequence[int]) -> str:
    """Return the name of the band of an age: `under 18`, `18 to 39`, `60 and over` for bounds 18, 40, 60."""
    reached = sum(age >= bound for bound in bounds)
    return age_bands(bounds)[reached]


def age_bands(bounds: Sequence[int]) -> list[str]:
    """Return the names of the bands between ascending whole bounds, in years."""
    between = [f"{low} to {high - 1}" for low, high in pairwise(bounds)]
    return [f"under {bounds[0]}", *between, f"{bounds[-1]} and over"]
