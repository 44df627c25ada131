"""The reference pages are what contracts and settings say now, and they say something of every key, file and option."""

import re

import pytest

from workflow.reference import pages, stale


def rows_of(page: str) -> list[list[str]]:
    lines = [line for line in pages()[page].splitlines() if line.startswith("| `")]
    return [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in lines]


def test_no_page_is_stale() -> None:
    assert stale() == [], "run `make reference`"


@pytest.mark.parametrize(("page", "columns"), [("settings.md", 4), ("commands.md", 3)])
def test_every_key_and_every_option_has_a_meaning(page: str, columns: int) -> None:
    rows = rows_of(page)
    assert len(rows) > 100
    lacking = [row[0] for row in rows if len(row) < columns or not row[-1].strip("| ")]
    assert lacking == []
