"""An unclosed quote takes the rows up to the next one into its cell: refused; reports of several lines pass."""

import csv
import io

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.data.own_tables import TableFormat
from stages.common.data.table_files import read_table_file
from stages.common.errors import InputError

FORM = TableFormat()
IDS = ["files/p10/a1.png", "files/p10/a2.png", "files/p11/b3.png", "files/p11/b4.png", "files/p12/c5.png"]


def read(folder, text: str) -> pl.DataFrame:
    path = folder / "t.csv"
    path.write_text(text, newline="")
    return read_table_file(path, FORM, "none")


@pytest.mark.parametrize("further", [0, 2, 5])  # columns behind the report
@pytest.mark.parametrize("swallowed", [1, 2, 3])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_within_a_cell_are_refused(tmp_path, further: int, swallowed: int, end: str) -> None:
    reports = ["Clear."] * 5
    reports[1] = '"No effusion.'
    reports[1 + swallowed] = 'Small nodule."'
    more = ["x"] * further
    rows = [["file", "person", "text", *(f"c{number}" for number in range(further))]]
    rows += [
        [image, f"P{number}", report, *more] for number, (image, report) in enumerate(zip(IDS, reports, strict=True))
    ]
    with pytest.raises(InputError, match=rf"row 3: a quote is not closed before {swallowed} further row"):
        read(tmp_path, "".join(",".join(row) + end for row in rows))


def test_the_cell_may_begin_with_lines_of_its_own_report(tmp_path) -> None:
    text = f'file,text\n{IDS[0]},"No effusion.\nNormal.\n{IDS[1]},Clear.\n{IDS[2]},Nodule"\n{IDS[3]},x\n'
    with pytest.raises(InputError, match="before 2 further row"):
        read(tmp_path, text)


LINE = st.lists(st.sampled_from(["No effusion", "heart", "1", "5 cm", "lungs, bones", "and pleura", " "]), max_size=9)
REPORT = st.lists(LINE.map(",".join), min_size=1, max_size=6).map("\n".join)


@pytest.mark.parametrize("width", [2, 3, 8])
@given(reports=st.lists(REPORT, min_size=1, max_size=5), numbered=st.booleans(), separator=st.sampled_from([",", ", "]))
def test_reports_of_several_lines_pass(tmp_path_factory, width: int, reports: list[str], numbered, separator) -> None:
    reports = [report.replace(",", separator) for report in reports]
    rows = [[str(number) if numbered else IDS[number], *["a, b"] * (width - 2), report]
            for number, report in enumerate(reports)]  # fmt: skip
    text = io.StringIO()
    csv.writer(text).writerows([["file", *(f"c{number}" for number in range(width - 2)), "text"], *rows])
    table = read(tmp_path_factory.mktemp("csv"), text.getvalue())
    assert [cell or "" for cell in table["text"]] == [report.strip() for report in reports]


@pytest.mark.parametrize("report", ["Kein Erguss.\nHerd von 1,5 cm.", "Normal.\nHeart, lungs, and bones.", "a\n1,5 cm"])
def test_decimals_and_lists_are_no_rows(tmp_path, report: str) -> None:
    for header, row in (("file,text", IDS[0]), ("file,person,text", f"{IDS[0]},P"), ("file,text", "7")):
        assert len(read(tmp_path, f'{header}\n{row},"{report}"\n')) == 1
