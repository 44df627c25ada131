"""What ran, as a picture; phi over the mean radiograph; the way from the page to MLflow."""

import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from stages.common.command_line import run_stage
from stages.common.errors import InputError
from stages.common.journal.journals import read_journal
from stages.summarize.__main__ import WORK
from stages.summarize.inputs import read_inputs
from stages.summarize.layered_drawing import without_implied
from stages.summarize.provenance import lineage, read_provenance
from stages.summarize.sections.localisation import over_mean_figure
from stages.summarize.sections.provenance import MOST_RUNS, dag, links_of

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def html(output):
    return (output / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def picture(html):
    text = re.search(r'<svg class="dag".*?</svg>', html, re.DOTALL).group()
    return ElementTree.fromstring(text.replace("<svg", f'<svg xmlns="{SVG[1:-1]}"', 1))


def test_every_stage_that_ran_is_a_box_with_its_jobs(built, picture):
    provenance = read_provenance(built.layout)
    boxes = {box.findall(f"{SVG}text")[0].text: box.findall(f"{SVG}text")[1].text for box in picture.iter(f"{SVG}g")}
    assert boxes.keys() == {run.stage for run in provenance.runs}
    assert boxes["make_phantom"] == "1 job, 4.2 s"
    assert boxes["dicom_to_arrow"].startswith("9 jobs, ")  # two shards and their gathering, of three data sets


def test_lines_are_what_the_journals_say_was_read(built, picture):
    provenance = read_provenance(built.layout)
    stages = list(dict.fromkeys(run.stage for run in provenance.runs))
    assert ("pretrain", "select_checkpoint") in provenance.links
    assert len(list(picture.iter(f"{SVG}path"))) == len(without_implied(stages, provenance.links)) > 10
    words = picture.find(f"{SVG}desc").text
    assert "make_phantom is read by index_inputs" in words
    assert picture.get("role") == "img"
    assert picture.get("aria-labelledby") == "dag-title dag-words"


def test_the_picture_takes_its_colours_from_the_page(picture):
    """So it is dark on light and light on dark; contrast of these is tested in test_summarize_browser.py."""
    assert not any(each.get(name) for each in picture.iter() for name in ("fill", "stroke", "style"))


def test_a_stage_that_did_not_finish_is_told_in_words(tree):
    tree.edit("retrieval/mlip/journal.json", status="FAILED")
    boxes = {box["stage"]: box["finished"] for box in dag(read_provenance(tree.layout))["boxes"]}
    assert [stage for stage, finished in boxes.items() if not finished] == ["retrieval"]


def test_paths_tell_who_wrote_wherever_the_workspace_lies(built):
    journal = read_journal(built.results / "pretrain/mlip/journal.json").journal
    stages = {"make_phantom", "index_inputs", "pretrain", "results"}
    paths = {"a": "/pretrain/results/index_inputs/x/f.arrow", "b": "results/results/pretrain/x", "c": "../phantom/s",
             "d": "/data/mimic/f.csv", "e": "results/weights"}  # fmt: skip
    journal = journal.model_copy(update={"input_paths": paths})
    assert lineage([journal], "results", stages) == [("index_inputs", "pretrain"), ("make_phantom", "pretrain")]


def test_phi_is_red_above_and_blue_below_at_its_place_and_the_mean_shows_elsewhere(monkeypatch):
    shown = []
    from matplotlib.axes import Axes

    original = Axes.imshow
    monkeypatch.setattr(Axes, "imshow", lambda self, data, **more: shown.append(data) or original(self, data, **more))
    phi = np.zeros((4, 4))
    phi[0, 3], phi[2, 0] = 2.0, -1.0
    over_mean_figure(phi, np.full((16, 16), 0.5))
    mean, overlay = shown
    assert (mean == 0.5).all()
    assert overlay[0, 3, 0] > overlay[0, 3, 2]
    assert overlay[2, 0, 2] > overlay[2, 0, 0]
    assert overlay[0, 3, 3] == 191  # of 255: three quarters
    assert overlay[2, 0, 3] == 96
    assert (np.delete(overlay[..., 3].ravel(), [3, 8]) == 0).all()


def test_without_a_mean_phi_stands_alone_and_the_page_says_which_key_shows_it(tree, html, tmp_path):
    assert "mlip</b> over the mean of 148 validation radiographs" in html
    assert "publish_samples is true and at least 20" not in html
    place = tree.results / "select_checkpoint/mlip/checkpoint"
    tree.edit("select_checkpoint/mlip/checkpoint/integrity_map.json", mean_radiograph=None)
    (place / "mean_radiograph.png").unlink()
    run_stage(WORK, tree.arguments(tmp_path))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "over the mean of" not in text
    assert "select_checkpoint.publish_samples is true and at least 20" in text


def test_a_damaged_mean_and_a_map_that_is_no_square_are_named(tree):
    path = tree.results / "select_checkpoint/mlip/checkpoint/mean_radiograph.png"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="mean_radiograph"):
        read_inputs(tree.layout)
    tree.edit("select_checkpoint/mlip/checkpoint/integrity_map.json", mean_radiograph=None, phi=[[0.0], [1.0]])
    with pytest.raises(InputError, match="phi is not a square of 8 by 8"):
        read_inputs(tree.layout)


def test_every_run_has_its_key_and_a_link_where_a_server_is_known(built, html):
    runs = read_provenance(built.layout).runs
    links = links_of(runs)
    training = next(run for run in runs if (run.stage, run.name) == ("pretrain", "mlip"))
    assert training.key == read_journal(built.results / "pretrain/mlip/journal.json").journal.key
    assert links[training.key] == "https://mlflow.example/#/experiments/7/runs/abc"
    other = next(run for run in runs if run.stage == "retrieval")
    assert links[other.key].startswith("https://mlflow.example/#/experiments/7/runs?")
    assert links[other.key].endswith(f"searchFilter=tags.%60mlip.key%60%20%3D%20%27{other.key}%27")
    assert all(f'title="{run.key}"' in html for run in runs[:MOST_RUNS] if run.key)
    assert next(run for run in runs if run.name == "rsna/shards").key is None  # MLflow shows its gathering


@pytest.mark.parametrize(
    "page", ["https://user:hunter2@host/#/experiments/7/runs/a", "javascript:alert(1)", "https://host/?token=hunter2"]
)
def test_no_secret_and_no_script_becomes_a_link(tree, tmp_path, page):
    path = tree.results / "pretrain/mlip/journal.json"
    tags = json.loads(path.read_text())["tags"]
    tree.edit("pretrain/mlip/journal.json", tags=tags | {"mlflow_run": page})
    assert set(links_of(read_provenance(tree.layout).runs).values()) == {None}
    run_stage(WORK, tree.arguments(tmp_path))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "hunter2" not in text
    assert "javascript:" not in text
