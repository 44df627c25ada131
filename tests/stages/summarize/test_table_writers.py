"""The four files of a table hold the same figures; what is text cannot break any of them."""

import csv
import io
import re
import shutil
import subprocess
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest

from stages.summarize.numbers import NONE, decimal
from stages.summarize.tables.table import Block, Cell, Column, Row, Table
from stages.summarize.tables.writers import as_csv, as_html, as_latex, as_markdown, write_all

NASTY = r"50 % of_it & {all} \cmd ~ ^ $x$ #1 <b> | [a] *b* `c` " + '"d"'
TABLE = Table(
    name="table9_few_shot",
    caption=f"Figures, {NASTY}",
    columns=(Column("auc_1", "AUC, 1 %"), Column("auc_10", "AUC, 10 %"), Column("prompts", "prompts", "text"),
             Column("threshold", "threshold", shown=False)),
    blocks=(
        Block("measured", (
            Row("mlip", {"auc_1": Cell(0.91234, 0.88, 0.94, 0.0123, bold=True), "auc_10": Cell(text="no positives"),
                         "prompts": Cell(text=NASTY), "threshold": Cell(0.123456789)}),
            Row(NASTY, {"auc_1": Cell(0.5, 0.4, 0.6)}, ("1 test patients were seen by pre-training",)),
        )),
        Block("quoted", (Row("MaCo", {"auc_1": Cell(0.915),
                                      "auc_10": Cell(0.7866, form=partial(decimal, places=4))}),), "A 2024", "theirs"),
    ),
    notes=(f"A note: {NASTY}",),
)  # fmt: skip


def test_csv_keeps_every_digit_and_says_which_rows_are_quoted() -> None:
    first, second, quoted = csv.DictReader(io.StringIO(as_csv(TABLE)))
    assert (first["variant"], first["kind"], first["auc_1"], first["auc_1_low"]) == (
        "mlip",
        "measured",
        "0.91234",
        "0.88",
    )
    assert (first["auc_1_spread"], first["auc_1_bold"], first["threshold"]) == ("0.0123", "1", "0.123456789")
    assert (first["auc_10"], first["auc_10_low"], first["prompts"]) == ("no positives", "", NASTY)
    assert (second["variant"], second["notes"]) == (NASTY, "1 test patients were seen by pre-training")
    assert (quoted["kind"], quoted["source"], quoted["protocol"], quoted["auc_10"]) == (
        "quoted",
        "A 2024",
        "theirs",
        "0.7866",
    )


def cells_of_markdown(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_markdown_has_one_grid() -> None:
    grid = cells_of_markdown(as_markdown(TABLE))
    assert {len(line) for line in grid} == {4}
    assert grid[3] == ["mlip", r"**.912** \[.880, .940\] ± .012", f"{NONE} no positives", grid[3][3]]
    assert "quoted, not measured: A 2024; theirs" in grid[5][0]
    assert grid[6][:3] == ["MaCo", ".915", ".7866"]
    assert re.sub(r"\\(.)", r"\1", grid[3][3]) == NASTY


class Cells(HTMLParser):
    """Texts of th and td, row by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows, self.bold, self._open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, _attributes) -> None:
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "br":
            self._open.pop()

    def handle_endtag(self, tag) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data) -> None:
        if self._open and {"td", "th"} & set(self._open):
            self.rows[-1][-1] += data
        if "b" in self._open:
            self.bold.append(data)


def test_html_is_well_formed_and_holds_the_same_rows() -> None:
    cells = Cells(as_html(TABLE))
    assert cells.rows[2] == ["mlip", ".912 [.880, .940] ± .012", f"{NONE} no positives", NASTY]
    assert cells.rows[3][0] == f"{NASTY}1 test patients were seen by pre-training"
    assert cells.bold == [".912"]  # the <b> of a name is text
    assert cells.rows[-1] == ["MaCo", ".915", ".7866", NONE]


def test_a_table_without_quotations_needs_no_titles() -> None:
    alone = Table("t", "c", TABLE.columns, TABLE.blocks[:1])
    for text in (as_markdown(alone), as_latex(alone), as_html(alone)):
        assert "measured here" not in text


def test_a_cell_without_column_is_an_error() -> None:
    with pytest.raises(ValueError, match="cells of no column"):
        Table("t", "c", (), TABLE.blocks)


def test_all_files_are_written(tmp_path: Path) -> None:
    paths = write_all(tmp_path, TABLE)
    assert [path.name for path in paths] == [f"table9_few_shot.{suffix}" for suffix in ("csv", "md", "tex", "html")]
    assert all(path.stat().st_size > 100 for path in paths)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed: the LaTeX was not compiled")
def test_latex_compiles_and_prints_the_figures(tmp_path: Path) -> None:
    document = (
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\\begin{document}\n%s\\end{document}\n"
    )
    (tmp_path / "table.tex").write_text(document % as_latex(TABLE))
    done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"], cwd=tmp_path,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "table.pdf").stat().st_size > 1000


def test_latex_escapes_every_mark_that_has_a_meaning() -> None:
    text = as_latex(TABLE)
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert r"\textbf{.912} {[}.880, .940{]} $\pm$ .012" in body
    assert r"50 \% of\_it \& \{all\} \textbackslash{}cmd \textasciitilde{} \textasciicircum{} \$x\$ \#1" in body
    assert len(re.findall(r"(?<!\\)&", body)) == 3 * 3  # three rows of four columns; the other & are escaped
