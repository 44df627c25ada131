"""The page in a browser: no sideways scrolling on a phone, nothing loaded, no error; contrast as WCAG 2.2 AA asks."""

import re
from pathlib import Path

import pytest
from chromium_page import frame, measured, needs_chromium, opened

from stages import summarize

WIDTHS = (360, 390, 820, 900, 1400)
MEASURE = """
<script>
window.onload = () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument;
    const wide = [...page.querySelectorAll("body *")].filter(each =>
      !each.closest(".scroll, pre, .skip") && each.getBoundingClientRect().right > frame.clientWidth + 1);
    const loaded = frame.contentWindow.performance.getEntriesByType("resource").map(each => each.name);
    const under = [...page.querySelectorAll(".over")].map(each => frame.contentWindow.getComputedStyle(each));
    const whole = under.filter(each => each.backgroundSize == "100% 100%" && each.backgroundImage.startsWith("url("));
    return {over: under.length, whole: whole.length, width: frame.clientWidth, scroll: page.documentElement.scrollWidth,
            wide: wide.slice(0, 5).map(each => each.outerHTML.slice(0, 80)),
            loaded: loaded.filter(name => !name.startsWith("data:")),
            sections: page.querySelectorAll("section").length};
  });
  document.body.innerHTML = "<pre id=found></pre>";
  document.getElementById("found").textContent = "FOUND" + JSON.stringify(found) + "END";
};
</script>
"""


@needs_chromium
def test_a_browser_shows_it_at_three_widths(output, tmp_path):
    text = opened((output / "report.html").read_text(encoding="utf-8"))
    frames = "".join(frame(text, width) for width in WIDTHS)
    pages, said = measured(MEASURE + frames, tmp_path)
    assert [page["width"] for page in pages] == list(WIDTHS)
    for page in pages:
        assert page["sections"] >= 10
        assert page["scroll"] <= page["width"], page  # less where a bar for scrolling down takes room
        assert page["wide"] == [], page
        assert page["loaded"] == []
        assert page["whole"] == page["over"] > 10, "a radiograph lies once below each outline and heatmap"
    assert not re.findall(r"CONSOLE.*", said)


LOOK = """
<script>
window.onload = () => {
  const [phone, desk, linked] = [...document.querySelectorAll("iframe")].map(frame => frame.contentDocument);
  const width = 390, boxes = [...phone.querySelectorAll(".results")].filter(each => each.rows[0].cells.length > 1);
  const hidden = boxes.filter(table => [...table.tBodies].some(body => [...body.rows].some(row =>
    row.cells[1] && row.cells[1].getBoundingClientRect().right > width)));
  for (const box of phone.querySelectorAll(".scroll")) box.scrollLeft = 1000;
  const stuck = [...phone.querySelectorAll(".results tbody th:not(.block)")].every(each =>
    Math.abs(each.getBoundingClientRect().left - each.closest(".scroll").getBoundingClientRect().left) < 1);
  const wide = [...desk.querySelectorAll(".scroll")].filter(each => each.scrollWidth > each.clientWidth + 1);
  const closed = [...linked.querySelectorAll("main > details")].map(each => each.open);
  const found = {boxes: boxes.length, hidden: hidden.map(each => each.textContent.slice(0, 60)), stuck, closed,
                 wide: wide.map(each => each.textContent.slice(0, 60)),
                 overview: desk.querySelector(".key-figures").getBoundingClientRect().bottom};
  document.body.innerHTML = "<pre id=found></pre>";
  document.getElementById("found").textContent = "FOUND" + JSON.stringify([found]) + "END";
};
</script>
"""


@needs_chromium
def test_figures_are_in_sight_and_a_link_opens_its_chapter(output, tmp_path):
    """A phone shows the first figure beside a label that stays; a desk shows every table of results whole."""
    text = (output / "report.html").read_text(encoding="utf-8")
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    linked = '<iframe src="page.html#pointing"></iframe>'
    ((found,), _) = measured(
        LOOK + frame(opened(text), 390) + frame(opened(text), 1280) + linked, tmp_path, "--allow-file-access-from-files"
    )
    assert found["boxes"] > 10
    assert found["hidden"] == []
    assert found["stuck"]
    assert found["wide"] == []
    assert found["closed"] == [False, True, False, False, False]  # the pointing game is of the second chapter
    assert found["overview"] < 900, "the overview fits on one screen"


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_knows_its_ends():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks(scheme):
    style = Path(summarize.__file__).parent / "templates" / "style.css.jinja"
    roots = re.findall(r":root \{([^}]*--page[^}]*)\}", style.read_text(encoding="utf-8"))
    assert len(roots) == 2  # light, dark
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", roots[scheme == "dark"]))
    for text in ("ink", "soft", "accent", "good", "bad"):
        for ground in ("page", "wash"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["ink"], colours["note"]) >= 4.5
    assert contrast("#1d2429", colours["paper"]) >= 4.5  # ink of the figures
