"""The documentation's site: built strictly, complete without a network, and with a search that reads files."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))


class Loaded(HTMLParser):
    """What a page loads by itself, and the files of the site that it links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a":
            self.linked.append(given.get("href") or "")
        elif tag != "link" or given.get("rel") not in ("canonical", "prev", "next"):
            self.loaded += [value for name in ("src", "href", "srcset") if (value := given.get(name))]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Built as `make docs` does; a broken link or anchor ends it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_nothing_is_loaded_from_a_network(site: Path) -> None:
    pages = {path: Loaded(path.read_text()) for path in site.rglob("*.html")}
    assert len(pages) > 60
    for path, page in pages.items():
        assert page.loaded, path
        assert not [each for each in page.loaded if re.match(r"(https?:)?//", each)], path
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import )[\"']?(https?:)?//", style.read_text()), style


def test_every_file_that_is_linked_is_in_the_site(site: Path) -> None:
    """Also those that MkDocs does not look at: sources of the repository, and what a hook wrote."""
    for path in site.rglob("*.html"):
        if path.name == "404.html":
            continue
        for link in Loaded(path.read_text()).linked:
            target = link.partition("#")[0].partition("?")[0]
            assert not target or re.match(r"[a-z]+:", target) or (path.parent / target).exists(), (path, link)
    assert (site / "source" / "config.yaml.txt").read_text() == (ROOT / "config.yaml").read_text()


def test_the_search_finds_terms_of_each_kind_of_page_without_a_server(site: Path) -> None:
    [assigned] = re.findall(r"var __index = (.*)", (site / "search" / "search_index.js").read_text(), re.DOTALL)
    texts = {each["location"].partition("#")[0]: each["text"] for each in json.loads(assigned)["docs"]}
    assert {"index.html", "about.html", "tutorial/demo.html", "tutorial/checkpoint.html", "operators/cluster.html",
            "reference/api.html", "method.html", "CONTRIBUTING.html"} <= texts.keys()  # fmt: skip
    assert {f"decisions/{path.stem}.html" for path in DECISIONS} <= texts.keys()


def test_the_notebook_is_a_page_with_its_outputs(site: Path) -> None:
    page = (site / "tutorial" / "checkpoint.html").read_text()
    assert page.count('src="data:image/png;base64,') == 1
    assert re.search(r"AUC \.?\d", page)
    assert (site / "tutorial" / "checkpoint.ipynb").is_file()


def test_the_notebook_holds_no_place_of_a_machine_and_no_warning() -> None:
    notebook = json.loads((ROOT / "docs" / "tutorial" / "checkpoint.ipynb").read_text())
    outputs = [each for cell in notebook["cells"] for each in cell.get("outputs", [])]
    assert outputs
    assert {each.get("name", "stdout") for each in outputs} == {"stdout"}
    assert not re.search(r'"[^"]*(/home/|/root/|/tmp/|site-packages)', json.dumps(outputs))
