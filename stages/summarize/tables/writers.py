"""A table as CSV (every digit), Markdown, LaTeX (booktabs), HTML and text: the same rows in each, text escaped."""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape as escape_html
from pathlib import Path

from ...common.files.atomic_files import write_text
from ..drawing import Style
from ..numbers import NONE, decimal
from .table import Axis, Cell, Column, Row, Table

PLUS_MINUS = "\u00b1"
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
          ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", NONE: "--", PLUS_MINUS: r"$\pm$",
          "\u2264": r"$\le$", "\u03c6": r"$\varphi$", "\u0394": r"$\Delta$"} | {
              mark: f"\\{mark}" for mark in "&%$#_{}"}  # fmt: skip
_ASCII = str.maketrans({NONE: "-", PLUS_MINUS: "+-", "\u2264": "<=", "\u03c6": "phi", "\u0394": "difference"})
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 15px/1.5 sans-serif; margin: 2em; }} table {{ border-collapse: collapse; }}
caption {{ text-align: left; margin-bottom: .6em; }} th, td {{ padding: .2em .8em; text-align: left; }}
thead th, tbody + tbody th.block {{ border-bottom: 1px solid #888; }}
th.block {{ font-weight: normal; font-style: italic; }}
.bad {{ color: #a33; }}</style></head>
<body>
{table}
{notes}
</body></html>
"""


@dataclass(frozen=True)
class Marks:
    """How a format writes what stands in a cell: text escaped, the rest marked up."""

    escape: Callable[[str], str]
    bold: str = "{}"
    quiet: str = "{}"  # what is less than a figure: its interval, a remark, why there is none
    note: str = "; {}"  # what must stand beside a figure
    label_note: str = " ({})"  # and beside the label of a row

    def cell(self, cell: Cell, column: Column) -> str:
        """Write `value [low, high] +- spread remark; notes`, the value in bold where the test says so."""
        return self._figure(cell, column) + "".join(self.note.format(self.escape(each)) for each in cell.notes)

    def _figure(self, cell: Cell, column: Column) -> str:
        if cell.value is None:
            if column.kind == "text":
                return self.escape(NONE if cell.text is None else cell.text)
            return self.quiet.format(self.escape(NONE if cell.text is None else f"{NONE} {cell.text}"))
        value = self.escape(cell.form(cell.value))
        parts, around = [self.bold.format(value) if cell.bold else value], []
        if cell.low is not None and cell.high is not None:
            around += [f"[{cell.form(cell.low)}, {cell.form(cell.high)}]"]
        if cell.spread:  # 0 is that of a figure that no repetition can move
            around += [f"{PLUS_MINUS} {decimal(cell.spread)}"]
        if around:
            parts += [self.quiet.format(self.escape(" ".join(around)))]
        if cell.remark:
            parts += [self.quiet.format(self.escape(cell.remark))]
        return " ".join(parts)

    def label(self, row: Row) -> str:
        """Write the label of a row with what must stand beside each of its figures."""
        return self.escape(row.label) + "".join(self.label_note.format(self.escape(note)) for note in row.notes)


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", text)


def _latex(text: str) -> str:
    """Escape text; a bracket after the end of a line would be read as its option, so it is put in braces."""
    return "".join(_LATEX.get(mark, mark) for mark in text).replace("[", "{[}").replace("]", "{]}")


MARKDOWN = Marks(_markdown, bold="**{}**")
LATEX = Marks(_latex, bold=r"\textbf{{{}}}")
HTML = Marks(escape_html, "<b>{}</b>", '<span class="ci">{}</span>', *['<br><span class="bad">{}</span>'] * 2)
TEXT = Marks(lambda text: text.translate(_ASCII))


def write_all(folder: Path, table: Table) -> list[Path]:
    """Write the four files of a table, by its name."""
    texts = {"csv": as_csv(table), "md": as_markdown(table), "tex": as_latex(table), "html": as_page(table)}
    for suffix, text in texts.items():
        write_text(Path(folder) / f"{table.name}.{suffix}", text)
    return [Path(folder) / f"{table.name}.{suffix}" for suffix in texts]


def as_csv(table: Table) -> str:
    """Write one line per row; a figure is five columns (value, low, high, spread, bold). None is an empty cell."""
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
            line += [row[column].text] if column.kind == "text" else _numbers(row[column])
        notes = dict.fromkeys((*row.notes, *(note for cell in row.cells.values() for note in cell.notes)))
        writer.writerow([*line, "; ".join(notes), block.source, block.protocol])
    return buffer.getvalue()


def _numbers(cell: Cell) -> list[object]:
    """Return a figure with all its digits; one that lacks has why as its value."""
    if cell.value is None:
        return [cell.text, None, None, None, None]
    return [cell.value, cell.low, cell.high, cell.spread, int(cell.bold)]


def as_markdown(table: Table) -> str:
    """Write a pipe table with its notes."""

    def line(cells: list[str]) -> str:
        return f"| {' | '.join(cells)} |"

    lines = [f"**{_markdown(table.caption)}**", "", line([table.first, *(_markdown(c.header) for c in table.shown)])]
    lines += [line(["---"] * (1 + len(table.shown)))]
    for block in table.blocks:
        if table.titled:
            lines += [line([f"*{_markdown(block.title)}*", *[""] * len(table.shown)])]
        for row in block.rows:
            lines += [line([MARKDOWN.label(row), *(MARKDOWN.cell(row[column], column) for column in table.shown)])]
    return "\n".join([*lines, "", *(f"{_markdown(note)}\n" for note in (*table.notes, *table.legend))])


def as_latex(table: Table) -> str:
    r"""Write a float for `\input`; the document needs `\usepackage{booktabs}` (and `[T1]{fontenc}` for quotes)."""
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
            cells = [LATEX.cell(row[column], column) for column in table.shown]
            lines += [" & ".join([LATEX.label(row), *cells]) + r" \\"]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [f"\\par\\smallskip\\footnotesize {_latex(note)}" for note in (*table.notes, *table.legend)]
    return "\n".join([*lines, r"\end{table*}", ""])


def as_page(table: Table) -> str:
    """Write a page with the table and its notes alone."""
    notes = "\n".join(f"<p>{escape_html(note)}</p>" for note in (*table.notes, *table.legend))
    return _PAGE.format(title=escape_html(table.name), table=as_html(table), notes=notes)


def as_html(table: Table, styles: Mapping[str, Style] | None = None, labelled_by: str = "") -> str:
    """Write a `<table>`. With `styles`, by the key of a row, it is that of the page: with bars, and folded.

    `labelled_by` is the id of a caption outside of the table, which then has none of its own.
    """
    on_page = styles is not None
    columns = [column for column in table.shown if not (on_page and column.below)]
    below = {column.below: column for column in table.shown if on_page and column.below}
    head = [_header(table.first)]
    for column in columns:
        head += [_header(column.header)]
        if on_page and column.axis:
            head += [f'<th scope="col" class="bars"><span class="axis"><span>{decimal(column.axis.low, 1)}</span>'
                     f'<span class="unseen"> to </span><span>{decimal(column.axis.high, 1)}</span></span></th>'
                     ]  # fmt: skip
    opening = f'<table class="results" aria-labelledby="{labelled_by}">'
    if not labelled_by:
        opening = f'<table class="results">\n<caption>{escape_html(table.caption)}</caption>'
    lines = [opening, f"<thead><tr>{''.join(head)}</tr></thead>"]
    for block in table.blocks:
        lines += [f'<tbody class="{block.kind}">']
        if table.titled:
            title = escape_html(block.title)
            lines += [f'<tr><th class="block" colspan="{len(head)}" scope="rowgroup"><span>{title}</span></th></tr>']
        for row in block.rows:
            cells = [f'<th scope="row">{HTML.label(row)}</th>']
            for column in columns:
                cells += [_html_cell(row, column, below.get(column.key))]
                if styles is not None and column.axis:
                    cells += [f'<td class="bars">{bar(row[column], column.axis, styles.get(row.key, OTHER))}</td>']
            lines += [f"<tr>{''.join(cells)}</tr>"]
        lines += ["</tbody>"]
    return "\n".join([*lines, "</table>"])


def cell_as_html(cell: Cell) -> str:
    """Write a figure with its interval, as in a cell of a table."""
    return HTML.cell(cell, Column("", ""))


def _header(text: str) -> str:
    return f'<th scope="col">{escape_html(text)}</th>'


def _html_cell(row: Row, column: Column, below: Column | None) -> str:
    text = HTML.cell(row[column], column)
    if below is not None and row[below].value is not None:
        text += f'<br><span class="ci">\u0394</span> {HTML.cell(row[below], below)}'
    if column.kind == "text":
        return f'<td class="words">{text}</td>'
    return f'<td class="wide">{text}</td>' if row[column].text else f"<td>{text}</td>"


OTHER = Style("#8a949b")  # of rows that are no variant


def bar(cell: Cell, axis: Axis, style: Style, rival: Cell | None = None) -> str:
    """Draw a figure and its interval, in grey behind them those of a rival.

    They stand beside it as text, so that a screen reader skips the drawing.
    """

    def line(x1: float, x2: float, y1: float, y2: float, more: str) -> str:
        return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" {more} vector-effect="non-scaling-stroke"/>'

    parts = [line(0.0, 100.0, 7.0, 7.0, 'stroke="var(--rule)" stroke-width="1"')]
    if axis.reference is not None:
        place = axis.place(axis.reference)
        parts += [line(place, place, 0.0, 14.0, 'stroke="var(--soft)" stroke-width="1" stroke-dasharray="2 2"')]
    for each, colour in ((rival, OTHER.colour), (cell, style.colour)):
        if each is None or each.value is None:
            continue
        value = axis.place(each.value)
        if each.low is not None and each.high is not None:
            ends = axis.place(each.low), axis.place(each.high)
            parts += [line(*ends, 7.0, 7.0, f'stroke="{colour}" stroke-width="2.5"')]
        if each.low is not None or each is rival:
            parts += [line(value, value, 2.0, 12.0, f'stroke="{colour}" stroke-width="4"')]
    return ('<svg class="bar" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">'
            f"{''.join(parts)}</svg>")  # fmt: skip


def as_text(table: Table) -> list[str]:
    """Write the lines of a terminal: what was measured, in the columns of the short text, in ASCII."""
    columns = [column for column in table.columns if column.brief]
    lines = [TEXT.escape(table.caption)]
    for block in table.blocks:
        if block.kind == "measured":
            lines += [f"  {TEXT.escape(block.protocol)}"] if block.protocol else []
            rows = [[TEXT.label(row), *(TEXT.cell(row[column], column) for column in columns)] for row in block.rows]
            lines += aligned([[table.first, *(TEXT.escape(column.header) for column in columns)], *rows])
    return lines


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Write rows as lines with columns of equal width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
