"""Numbers as the page prints them, against hand-written cases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.records import Estimate
from stages.common.wording import counted
from stages.summarize.numbers import NONE, count, decimal, duration, figures, interval, moment, percent, rank


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.912, ".912"), (1.0, "1.000"), (0.9996, "1.000"), (-0.0031, "-.003"), (-0.0004, ".000"), (12.5, "12.500"),
     (0.0, ".000"), (None, NONE)],
)  # fmt: skip
def test_decimals_have_no_leading_zero(value, text):
    assert decimal(value) == text


def test_a_rank_shows_a_half_and_no_needless_zero():
    assert [rank(value) for value in (12.0, 12.5, 1203.0, 1.0)] == ["12", "12.5", "1,203", "1"]


def test_interval_in_brackets():
    assert interval(Estimate(value=0.912, low=0.88, high=0.941)) == ".912 [.880, .941]"
    assert interval(None) == NONE


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00427, ".0043"), (-0.012, "-.012"), (0.0, "0"), (1.26, "1.3"), (1.1e-8, "1.1e-08"), (None, NONE)],
)
def test_two_significant_figures(value, text):
    assert figures(value) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(4200, "4.2 s"), (59_940, "59.9 s"), (59_960, "1 min 00 s"), (185_000, "3 min 05 s"), (5_790_000, "1 h 36 min"),
     (3_599_900, "1 h 00 min"), (None, NONE)],
)  # fmt: skip
def test_durations(milliseconds, text):
    assert duration(milliseconds) == text


def test_counts_shares_and_times():
    assert (count(377110), count(None), percent(0.3824), percent(None)) == ("377,110", "unknown", "38.2 %", NONE)
    assert moment(0) == "1970-01-01 00:00 UTC"


@given(st.floats(-99, 99))
def test_decimals_and_figures_read_back(value):
    assert float(decimal(value)) == pytest.approx(value, abs=0.00051)
    assert float(figures(value)) == pytest.approx(value, rel=0.051)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 studies"),
        (1, "1 study"),
        (2, "2 studies"),
        (1566, "1,566 studies"),
        (1.0, "1 study"),
        (2.5, "2.5 studies"),
    ],
)
def test_a_number_has_the_form_of_its_noun(number, words):
    assert counted(number, "study", "studies") == words
    assert counted(1, "epoch") == "1 epoch"
    assert counted(51, "epoch") == "51 epochs"
