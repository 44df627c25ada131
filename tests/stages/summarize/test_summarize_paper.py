"""The page on paper: every cell of every table is printed, on A4 and Letter, with every chapter open."""

import re
import unicodedata
from html.parser import HTMLParser

import pytest
from chromium_page import frame, measured, needs_chromium, printed

VOID = {"meta", "img", "br", "line", "link", "input"}
HIDDEN = {"bars", "files"}  # not on paper: their figures stand beside them


class Cells(HTMLParser):
    """Collects the text of each cell, and of each heading."""

    def __init__(self, html):
        super().__init__()
        self.open, self.found = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append((tag, set((dict(attributes).get("class") or "").split())))
        if tag in ("td", "th", "h2", "h3"):
            self.found.append("")

    def handle_startendtag(self, tag, attributes):
        """A drawing's element, e.g. <path/>, which holds no text."""

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if any(tag in ("td", "th", "h2", "h3") for tag, _ in self.open) and not any(
            HIDDEN & classes for _, classes in self.open
        ):
            self.found[-1] += data


def folded(text: str) -> str:
    """The letters without blanks, for lines end where the paper does."""
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text))


@needs_chromium
@pytest.mark.parametrize("paper", ["A4", "letter"])
def test_every_cell_is_printed(output, tmp_path, paper):
    pypdf = pytest.importorskip("pypdf", reason="NOT CHECKED: pypdf is not installed")
    html = (output / "report.html").read_text(encoding="utf-8")
    reader = pypdf.PdfReader(printed(html, tmp_path, paper))
    outside = []

    def look(text, current, matrix, *_):
        x = matrix[4] * current[0] + matrix[5] * current[2] + current[4]
        if text.strip() and not 0 <= x < float(page.mediabox.width):
            outside.append((text, x))

    pages = []
    for page in reader.pages:
        pages.append(page.extract_text(visitor_text=look))
    assert outside == []
    said = folded("".join(pages))
    cells = {folded(cell) for cell in Cells(html).found} - {""}
    assert len(cells) > 300
    assert {cell for cell in cells if cell not in said} == set()


PAPER = 718  # CSS pixels: A4 less Chromium's margins of 1 cm


@needs_chromium
def test_on_paper_no_table_is_wider_than_the_page(output, tmp_path):
    """The rules for print, made to hold on the screen: there a table may not even scroll."""
    text = (output / "report.html").read_text(encoding="utf-8").replace("@media print", "@media all")
    script = """<script>
window.onload = () => {
  const frame = document.querySelector("iframe"), page = frame.contentDocument;
  const wide = [...page.querySelectorAll("body *")].filter(each =>
    !each.closest(".skip") && each.getBoundingClientRect().right > frame.clientWidth + 1);
  const shown = [...page.querySelectorAll("td")].filter(each => each.checkVisibility()).length;
  document.body.innerHTML = "<pre id=found></pre>";
  document.getElementById("found").textContent =
    "FOUND" + JSON.stringify([{shown, wide: wide.slice(0, 5).map(each => each.outerHTML.slice(0, 80))}]) + "END";
};
</script>"""
    (paper,), _ = measured(script + frame(text, PAPER), tmp_path)
    assert paper["shown"] > 300
    assert paper["wide"] == [], paper
