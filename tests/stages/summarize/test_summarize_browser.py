"""The page in a browser: no sideways scrolling on a phone, nothing loaded, no error; contrast as WCAG 2.2 AA asks."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from stages import summarize

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = (360, 390, 820, 900, 1400)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--disable-extensions",
         "--enable-logging=stderr", "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000"]  # fmt: skip
MEASURE = """
<script>
window.onload = () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument;
    const wide = [...page.querySelectorAll("body *")].filter(each =>
      !each.closest(".scroll, pre, .skip") && each.getBoundingClientRect().right > frame.clientWidth + 1);
    const loaded = frame.contentWindow.performance.getEntriesByType("resource").map(each => each.name);
    return {width: frame.clientWidth, scroll: page.documentElement.scrollWidth,
            wide: wide.slice(0, 5).map(each => each.outerHTML.slice(0, 80)),
            loaded: loaded.filter(name => !name.startsWith("data:")),
            sections: page.querySelectorAll("section").length};
  });
  document.body.innerHTML = "<pre id=found></pre>";
  document.getElementById("found").textContent = "FOUND" + JSON.stringify(found) + "END";
};
</script>
"""


def measured(body: str, folder: Path) -> tuple[list[dict], str]:
    """Return what the script of `body` found in its frames, and what Chromium said."""
    page = folder / "frames.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><body>{body}", encoding="utf-8")
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    found = re.search(r"FOUND(.*)END", done.stdout)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found.group(1))), done.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="NOT CHECKED: no Chromium here (Debian: apt-get install chromium)")
def test_a_browser_shows_it_at_three_widths(output, tmp_path):
    text = html.escape((output / "report.html").read_text(encoding="utf-8"))
    style = "height:900px;border:0"
    frames = "".join(f'<iframe style="width:{width}px;{style}" srcdoc="{text}"></iframe>' for width in WIDTHS)
    pages, said = measured(MEASURE + frames, tmp_path)
    assert [page["width"] for page in pages] == list(WIDTHS)
    for page in pages:
        assert page["sections"] >= 10
        assert page["scroll"] <= page["width"], page  # less where a bar for scrolling down takes room
        assert page["wide"] == [], page
        assert page["loaded"] == []
    assert not re.findall(r"CONSOLE.*", said)


PAPER = 718  # CSS pixels: A4 less Chromium's margins of 1 cm


@pytest.mark.skipif(CHROMIUM is None, reason="NOT CHECKED: no Chromium here (Debian: apt-get install chromium)")
def test_on_paper_no_table_is_wider_than_the_page(output, tmp_path):
    """The rules for print, made to hold on the screen: there a table may not even scroll."""
    text = (output / "report.html").read_text(encoding="utf-8").replace("@media print", "@media all")
    frame = f'<iframe style="width:{PAPER}px;height:900px;border:0" srcdoc="{html.escape(text)}"></iframe>'
    measure = MEASURE.replace('!each.closest(".scroll, pre, .skip") &&', '!each.closest(".skip") &&')
    assert measure != MEASURE
    (paper,), _ = measured(measure + frame, tmp_path)
    assert paper["sections"] >= 10
    assert paper["wide"] == [], paper


PDFTOTEXT = shutil.which("pdftotext")


@pytest.mark.skipif(
    CHROMIUM is None or PDFTOTEXT is None, reason="NOT CHECKED: Chromium or pdftotext (poppler) is not here"
)
def test_on_paper_no_figure_of_tables_1_to_4_is_lost(output, tmp_path):
    pdf = tmp_path / "report.pdf"
    page = (output / "report.html").as_uri()
    subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={pdf}", page],
        capture_output=True, check=True, timeout=300,
    )  # fmt: skip
    text = subprocess.run([PDFTOTEXT, pdf, "-"], capture_output=True, text=True, check=True, timeout=60).stdout
    printed = set(re.findall(r"-?\d*\.\d{3}", text))
    for path in sorted((output / "tables").glob("table[1-4]_*_*.md")) + sorted((output / "tables").glob("table1_*.md")):
        wanted = set(re.findall(r"-?\d*\.\d{3}", path.read_text(encoding="utf-8")))
        assert wanted
        assert wanted <= printed, (path.name, sorted(wanted - printed))


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
