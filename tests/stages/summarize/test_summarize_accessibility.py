"""axe-core finds nothing on the page, at three widths, on a light and a dark screen, with every chapter open."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from chromium_page import dark, frame, measured, needs_chromium, opened

WIDTHS = (390, 820, 1280)
RUN = """
<script>
window.onload = async () => {
  const found = [];
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentWindow;
    const {violations, passes, incomplete} = await page.axe.run(page.document, {iframes: false});
    const headers = incomplete.filter(each => each.id == "empty-table-header");  // older axe: for a person to judge
    found.push({width: frame.clientWidth, passes: passes.length, violations: [...violations, ...headers].map(each =>
      ({id: each.id, nodes: each.nodes.length, first: each.nodes.slice(0, 3).map(node => node.html.slice(0, 120))}))});
  }
  document.body.innerHTML = "<pre id=found></pre>";
  document.getElementById("found").textContent = "FOUND" + JSON.stringify(found) + "END";
};
</script>
"""


def axe() -> str:
    """axe-core, which the package carries; its drivers of other browsers are not used."""
    found = find_spec("axe_core_python")
    assert found is not None
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")


def violations(pages: list[str], widths: tuple[int, ...], folder: Path) -> list[dict]:
    script = f"<script>{axe()}</script></head>"
    frames = "".join(frame(text.replace("</head>", script, 1), width) for text in pages for width in widths)
    return measured(RUN + frames, folder)[0]


@needs_chromium
def test_axe_finds_nothing(output, tmp_path):
    text = opened((output / "report.html").read_text(encoding="utf-8"))
    found = violations([text, dark(text)], WIDTHS, tmp_path)
    assert [each["width"] for each in found] == [*WIDTHS, *WIDTHS]
    for each in found:
        assert each["passes"] > 20
        assert each["violations"] == [], each


@needs_chromium
@pytest.mark.parametrize(
    ("planted", "rule"),
    [('<img src="data:,">', "image-alt"), ('<table><tr><th scope="col"></th></tr></table>', "empty-table-header"),
     ('<p style="color:#999;background:#aaa">words</p>', "color-contrast")],
)  # fmt: skip
def test_axe_would_find_it(planted, rule, tmp_path):
    page = f'<!doctype html><html lang="en"><head><title>t</title></head><body><main><h1>h</h1>{planted}</main></body>'
    (found,) = violations([page], (820,), tmp_path)
    assert rule in {each["id"] for each in found["violations"]}
