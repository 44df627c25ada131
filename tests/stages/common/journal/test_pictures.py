"""Pictures of a run: listed in the journal, with equal bytes for equal values; those of an earlier run go."""

import io
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.common.contract import PICTURES
from stages.common.files.atomic_files import sha256_of
from stages.common.files.code_digest import PACKAGE, ROOT
from stages.common.journal.pictures import Pictures
from stages.common.journal.tracking import track
from stages.common.settings import Settings

GREY = np.arange(64, dtype=np.uint8).repeat(64).reshape(64, 64)
MASK = (GREY > 20) & (GREY < 40)
ONE_POINT = {"loss": ([20], [3.5])}
DRAWN: dict[str, Callable[[Pictures], None]] = {
    "bars.svg": lambda to: to.bars("bars.svg", {"rejects": {"wrong_view": 3, "too_small": 0}, "none of these": {}}),
    "histograms.svg": lambda to: to.histograms("histograms.svg", {"reports": {"1": 2, "2\u20133": 9}}),
    "curves.svg": lambda to: to.curves("curves.svg", {"a": ([1, 2, 3], [3, float("nan"), 1])}, "k", "recall", {"a": 2}),
    "one_point.svg": lambda to: to.curves("one_point.svg", ONE_POINT, "step", "loss"),
    "rates.svg": lambda to: to.rates("rates.svg", {"finding": ([0, 0.2, 1], [0, 0.9, 1])}, "false", "true"),
    "drawn.svg": lambda to: to.drawn("drawn.svg", '<svg xmlns="http://www.w3.org/2000/svg"/>'),
    "sheet.jpg": lambda to: to.contact_sheet("sheet.jpg", [GREY] * 8),
    "heatmaps.png": lambda to: to.heatmaps("heatmaps.png", "cosine", {"x": (GREY, GREY / 64, GREY >= 0, MASK)}),
    "outlines.png": lambda to: to.outlines(
        "outlines.png", {"best": (GREY, MASK, ~MASK), "none": (GREY, MASK, GREY < 0)}
    ),
}


def tracked(folder: Path):
    return track("sync", "x", journal=folder / "journal.json", settings=Settings(), inputs={})


def listed(folder: Path) -> dict[str, dict]:
    return {each["path"]: each for each in json.loads((folder / "journal.json").read_text())["artifacts"]}


@pytest.mark.parametrize("name", DRAWN)
def test_each_kind_of_picture_is_listed_for_publication_with_equal_bytes_twice(tmp_path, name) -> None:
    digests = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        with tracked(folder) as run:
            DRAWN[name](run.pictures)
        entry = listed(folder)[f"{PICTURES}/{name}"]
        assert entry["publish"]
        assert entry["sha256"] == sha256_of(folder / PICTURES / name)
        digests.append(entry["sha256"])
    assert digests[0] == digests[1]
    content = (folder / PICTURES / name).read_bytes()
    if name.endswith(".svg"):
        assert ElementTree.fromstring(content).tag.endswith("svg")
    else:
        Image.open(io.BytesIO(content)).load()


def test_bars_show_every_name_and_number_and_a_single_point_is_marked(tmp_path) -> None:
    with tracked(tmp_path) as run:
        DRAWN["bars.svg"](run.pictures)
        DRAWN["one_point.svg"](run.pictures)
    text = (tmp_path / PICTURES / "bars.svg").read_text()
    assert all(f">{each}<" in text for each in ("wrong view", "3", "too small", "0", "none", "rejects"))
    root = ElementTree.fromstring((tmp_path / PICTURES / "one_point.svg").read_text())
    [plot] = [each for each in root.iter() if each.attrib.get("id") == "axes_1"]
    markers = [
        each for each in plot if each.attrib.get("id", "").startswith("line2d") and list(each.iter(f"{{{NS}}}use"))
    ]
    assert markers


NS = "http://www.w3.org/2000/svg"


def test_a_later_run_removes_the_pictures_of_the_earlier_one_and_nothing_else(tmp_path) -> None:
    """A contact sheet must not stay where its radiographs may no longer be shown."""
    with tracked(tmp_path) as run:
        DRAWN["sheet.jpg"](run.pictures)
        DRAWN["bars.svg"](run.pictures)
    (tmp_path / PICTURES / "of_the_user.png").write_bytes(b"x")
    with tracked(tmp_path) as run:
        DRAWN["bars.svg"](run.pictures)
    assert {each.name for each in (tmp_path / PICTURES).iterdir()} == {"bars.svg", "of_the_user.png"}
    assert list(listed(tmp_path)) == [f"{PICTURES}/bars.svg"]


def test_no_stage_imports_matplotlib_to_print_its_help() -> None:
    stages = sorted(path.parent.name for path in PACKAGE.glob("*/__main__.py"))
    imports = "; ".join(f"import stages.{name}.__main__" for name in stages)
    code = f"import sys; {imports}; import stages.common.journal.tracking; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_picture_that_cannot_be_drawn_costs_no_results(tmp_path, capsys):
    logged = []
    pictures = Pictures(tmp_path / "pictures", lambda path, _: logged.append(path.name))
    pictures.curves("wrong.svg", {"a": ([1, 2], [1.0])}, "x", "y")
    pictures.bars("right.svg", {"files": {"images": 1}})
    assert logged == ["right.svg"]
    assert (
        f"warning: {tmp_path}/pictures/wrong.svg: could not be drawn (ValueError: x and y must"
        in capsys.readouterr().err
    )
