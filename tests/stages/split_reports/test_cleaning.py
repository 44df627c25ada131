"""Leftovers of other formats: removed where they are sure, in linear time, and never with a finding."""

import pytest
from pydantic import ValidationError

from stages.api.reports import split_report
from stages.split_reports.cleaning import clean, prepared
from stages.split_reports.contract import SplitReportsSettings


@pytest.mark.parametrize("text", ["a" * 999_999 + "&", "&a" * 500_000, "<!--" * 250_000, "<style>" * 140_000])
def test_a_million_characters_are_cleaned_in_linear_time(text: str) -> None:
    assert clean(text) is not None  # quadratic, it would take hours


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("nodules <a few mm and one >3 cm", "nodules <a few mm and one >3 cm"),
        ("<a href='x'>Clear</a>", "Clear"),
        ('<td class="a b" nowrap>Clear<br/>Lungs', "Clear Lungs"),
        ("<!-- note -->Clear", "Clear"),
        ("heart &lt; 50 %", "heart < 50 %"),
        (r"Clear.\nHeart normal.", "Clear. Heart normal."),
        ("Clear.\nleft\\normal", "Clear. left\\normal"),  # a text with line ends has no escaped ones
    ],
)
def test_what_is_markup_and_what_is_not(text: str, cleaned: str) -> None:
    assert len(clean(text)) == len(text)
    assert " ".join(clean(text).split()) == cleaned


@pytest.mark.parametrize("text", ["nan", "N/A", " None. ", "\ufeff", "<p></p>"])
def test_a_text_that_stands_for_none_has_no_sentence(text: str) -> None:
    assert prepared(text) == ""
    assert split_report(text, fallback="whole_report") == []


@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        ({"(Text)": "history"}, "is no name: in headers, what it says is left out"),
        ({"Befund": "findings", "BEFUND": "history"}, "'BEFUND' opens history and, written otherwise, findings"),
    ],
)
def test_names_of_headers_are_checked_as_they_are_compared(headers: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint.replace("(", r"\(").replace(")", r"\)")):
        SplitReportsSettings(headers=headers)
