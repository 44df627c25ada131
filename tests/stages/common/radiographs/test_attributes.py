"""Ages and sexes as headers and tables write them."""

import pytest

from stages.common.radiographs.attributes import age_band, age_bands, dicom_age, dicom_sex, parse_age


@pytest.mark.parametrize(
    ("text", "years"),
    [("62", 62), ("62.0", 62), ("062Y", 62), ("18 Y", 18), ("006M", 0.5), ("026W", 182 / 365.25), ("010D", 10 / 365.25),
     ("089Y", 89), ("090Y", 90), ("104Y", 90), ("120", 90), ("121", None), ("411Y", None), ("90+", 90),
     (">89", 90), (">= 90 years", 90), ("45 years", 45), ("62,5", 62.5), ("45 yrs", 45)],
)  # fmt: skip
def test_ages_are_years_and_none_above_89_stands_by_itself(text: str, years: float | None) -> None:
    assert parse_age(text) == (None if years is None else pytest.approx(years))


@pytest.mark.parametrize("text", ["", "old", "-3", "62X", "6 2", "18+", ">=60", "\u0664\u0662"])
def test_what_is_no_age_is_refused_in_a_table_and_ignored_in_a_header(text: str) -> None:
    with pytest.raises(ValueError, match="an age"):
        parse_age(text)
    assert dicom_age(text) is None


def test_sexes_are_the_standards_three() -> None:
    assert [dicom_sex(each) for each in ("F", "M", "O", "", "X")] == ["female", "male", "other", None, None]


def test_every_age_is_in_the_band_that_its_name_says() -> None:
    bounds = [18, 40, 90]
    assert age_bands(bounds) == ["under 18", "18 to 39", "40 to 89", "90 and over"]
    ages = [0.0, 17.9, 18.0, 39.9, 40.0, 89.0, 90.0]
    bands = ["under 18"] * 2 + ["18 to 39"] * 2 + ["40 to 89"] * 2 + ["90 and over"]
    assert [age_band(age, bounds) for age in ages] == bands
