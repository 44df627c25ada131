"""Writers of a table as CSV (every digit), Markdown, LaTeX (booktabs), HTML and text: equal rows, text escaped."""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape as escape_html
from pathlib import Path
from typing import Any

from ...common.files.atomic_files import write_text
from ..numbers import NONE, decimal
from .table import Block, Cell, Row, Table

Escape = Callable[[str], str]
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
          ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", NONE: "--", "\u00b1": r"$\pm$",
          "\u2264": r"$\le$", "\u03c6": r"$\varphi$"} | {mark: f"\\{mark}" for mark in "&%$#_{}"}  # fmt: skip
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 15px/1.5 sans-serif; margin: 2em; }} table {{ border-collapse: collapse; }}
caption {{ text-align: left; margin-bottom: .6em; }} th, td {{ padding: .2em .8em; text-align: left; }}
thead th, tbody + tbody th.block {{ border-bottom: 1px solid #888; }}
th.block {{ font-weight: normal; font-style: italic; }}
.note {{ color: #a33; }}</style></head>
<body>
{table}
</body></html>
"""


def write_all(folder: Path, table: Table) -> list[Path]:
    """Write the four files of a table, named after it, and return their paths."""
    texts = {"csv": as_csv(table), "md": as_markdown(table), "tex": as_latex(table),
             "html": _PAGE.format(title=escape_html(table.name), table=as_html(table))}  # fmt: skip
    for suffix, text in texts.items():
        write_text(Path(folder) / f"{table.name}.{suffix}", text)
    return [Path(folder) / f"{table.name}.{suffix}" for suffix in texts]


def as_csv(table: Table) -> str:
    """Return CSV with one line per row; a figure is five columns (value, low, high, spread, bold), None is empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = []
    for column in table.columns:
        parts = ("", "_low", "_high", "_spread", "_bold") if column.kind == "figure" else ("",)
        names += [column.key + part for part in parts]
    writer.writerow([table.first, "kind", *names, "notes", "source", "protocol"])
    for block, row in table.rows():
        line: list[object] = [row.label, block.kind]
        for column in table.columns:
            cell = row[column]
            line += [cell.text] if column.kind == "text" else _figure(cell)
        writer.writerow([*line, "; ".join(row.notes), block.source, block.protocol])
    return buffer.getvalue()


def _figure(cell: Cell) -> list[object]:
    """Return the columns of a figure; a reason in words why there is none takes the place of the value."""
    if cell.value is None:
        return [cell.text, None, None, None, None]
    return [cell.value, cell.low, cell.high, cell.spread, int(cell.bold)]


def as_markdown(table: Table) -> str:
    """Return the table in Markdown."""

    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cells)} |"

    lines = [f"**{_markdown(table.caption)}**", "", line([table.first, *(_markdown(c.header) for c in table.shown)])]
    lines += [line(["---"] * (1 + len(table.shown)))]
    for block in table.blocks:
        if table.titled:
            lines += [line([f"*{_markdown(block.title)}*", *[""] * len(table.shown)])]
        for row in block.rows:
            cells = [_bold(row[column], _markdown, "**{}**") for column in table.shown]
            lines += [line([_label(row, _markdown), *cells])]
    return "\n".join([*lines, "", *(f"{_markdown(note)}\n" for note in table.notes)])


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", text)


def as_latex(table: Table) -> str:
    r"""Return a float for `\input`.

    The document needs `\usepackage{booktabs}` (and `[T1]{fontenc}` for quotation marks).
    """
    width = 1 + len(table.shown)
    lines = [r"\begin{table*}", r"\centering\small", f"\\caption{{{_latex(table.caption)}}}",
             f"\\label{{tab:{re.sub(r'[^A-Za-z0-9:-]', '-', table.name)}}}", f"\\begin{{tabular}}{{{'l' * width}}}",
             r"\toprule"]  # fmt: skip
    lines += [" & ".join(map(_latex, [table.first, *(column.header for column in table.shown)])) + r" \\"]
    for block in table.blocks:
        lines += [r"\midrule"]
        if table.titled:
            lines += [f"\\multicolumn{{{width}}}{{l}}{{\\emph{{{_latex(block.title)}}}}} \\\\"]
        for row in block.rows:
            cells = [_bold(row[column], _latex, r"\textbf{{{}}}") for column in table.shown]
            lines += [" & ".join([_label(row, _latex), *cells]) + r" \\"]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [f"\\par\\smallskip\\footnotesize {_latex(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table*}", ""])


def _latex(text: str) -> str:
    """Escape a cell's text; a bracket after the end of a line would be read as its option, so it is put in braces."""
    return "".join(_LATEX.get(mark, mark) for mark in text).replace("[", "{[}").replace("]", "{]}")


def as_html(table: Table) -> str:
    """Return a `<table>` with its notes, for a page of your own."""
    head = "".join(
        f'<th scope="col">{escape_html(name)}</th>' for name in [table.first, *(c.header for c in table.shown)]
    )
    lines = ["<table>", f"<caption>{escape_html(table.caption)}</caption>", f"<thead><tr>{head}</tr></thead>"]
    for block in table.blocks:
        lines += [f'<tbody class="{block.kind}">', *_html_title(table, block)]
        for row in block.rows:
            cells = "".join(f"<td>{_bold(row[column], escape_html, '<b>{}</b>')}</td>" for column in table.shown)
            notes = "".join(f'<br><span class="note">{escape_html(note)}</span>' for note in row.notes)
            lines += [f'<tr><th scope="row">{escape_html(row.label)}{notes}</th>{cells}</tr>']
        lines += ["</tbody>"]
    return "\n".join([*lines, "</table>", *(f"<p>{escape_html(note)}</p>" for note in table.notes)])


def _html_title(table: Table, block: Block) -> list[str]:
    span = 1 + len(table.shown)
    return [f'<tr><th class="block" colspan="{span}">{escape_html(block.title)}</th></tr>'] if table.titled else []


def _label(row: Row, escape: Escape) -> str:
    return escape(" ".join([row.label, *(f"({note})" for note in row.notes)]))


def _bold(cell: Cell, escape: Escape, pattern: str) -> str:
    """Return `value [low, high] +- spread`, with the value in bold where the test says so."""
    if cell.value is None:
        return escape(NONE if cell.text is None else cell.text)
    value = escape(decimal(cell.value, cell.places))
    text = pattern.format(value) if cell.bold else value
    if cell.low is not None and cell.high is not None:
        text += escape(f" [{decimal(cell.low, cell.places)}, {decimal(cell.high, cell.places)}]")
    return text if cell.spread is None else text + escape(f" \u00b1 {decimal(cell.spread, cell.places)}")


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with columns of equal width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def rows_as_csv(rows: Sequence[Mapping[str, Any]], header: Sequence[str] = ()) -> str:
    """Return rows as CSV; `header` names the columns of a table that may have no rows."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else list(header), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
