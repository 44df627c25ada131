"""Phrases as queries: each pair of an image and a sentence with its own map and boxes, in closed form and as files."""

import csv
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from one_shard_store import write_one_shard
from split_audit import write_audit
from tiny_checkpoint import SIZE, write_tiny_checkpoint

from stages.common.command_line import run_stage
from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table, write_rows
from stages.common.records import read_record
from stages.label_images.__main__ import WORK as LABEL_WORK
from stages.phrase_grounding import evaluation
from stages.phrase_grounding.__main__ import WORK
from stages.phrase_grounding.contract import GroundingResult
from stages.phrase_grounding.located_images import Located
from stages.phrase_grounding.pointers import Pointed
from stages.phrase_grounding.prompt_sets import measured

WORDS = ["edema", "pneumonia", "mild", "right", "left"]
HEADER = ["category_name", "label_text", "path", "x", "y", "w", "h", "image_width", "image_height", "dicom_id"]
SETTINGS = {
    "layout": "folder", "table": "alignment.csv", "identifiers": "distributed", "subsets": [100],
    "columns": {"image": "path", "image_id": "dicom_id", "findings": "category_name", "boxes": ["x", "y", "w", "h"],
                "boxes_size": ["image_width", "image_height"], "phrase": "label_text"},
    "findings": {"edema": "Edema", "pneumonia": "Pneumonia"}, "split": {"train": 0, "validation": 0, "test": 1},
}  # fmt: skip
CORNERS = [(0, 0), (10, 0), (0, 10), (10, 10)]  # x, y of a box of 6 x 6 pixels
IMAGES = 6


def test_planted_maps_have_the_figures_of_their_closed_form() -> None:
    """A box half 1 and half .35 on 0, and the same map with the other sign: no part but test."""
    region = np.zeros((2, SIZE, SIZE), dtype=bool)
    region[:, 4:8, 4:12] = True  # 32 of 256 pixels
    one = np.where(region[0], 0.35, 0.0)
    one[4:8, 4:8] = 1
    labels = pl.DataFrame({"image_id": ["a", "a"], "patient_id": ["p", "p"]})
    test = Located(labels, np.zeros((2, SIZE, SIZE), np.uint8), region, np.ones_like(region), None)
    maps = torch.from_numpy(np.stack([one, -one])).flatten(1)
    found = measured(Pointed({"raw": {"test": maps}}), {"test": test}, (), 20, 0)
    assert (found.reading, found.readings["raw"].validation, found.readings["raw"].test.value) == ("raw", None, 0.5)
    values = {measure: each["heatmap"].tolist() for measure, each in found.values.items() if "heatmap" in each}
    contrast = 0.675 / 0.325  # inside .675 +- .325, outside 0 +- 0
    assert values == {
        "pointing": [1, 0],
        "contrast_to_noise": pytest.approx([contrast, -contrast]),
        "absolute_contrast_to_noise": pytest.approx([contrast, contrast]),
        "mean_iou": pytest.approx([(3 * 1 + 2 * 0.5) / 5, 16 / 256]),
    }
    assert found.figures["iou"] == dict.fromkeys(found.figures["iou"])  # a threshold would need validation
    assert found.thresholds == dict.fromkeys(found.thresholds)
    hits = found.figures["pointing"]
    assert hits["random_in_content"].value == pytest.approx(32 / 256)
    assert (hits["fixed_peak_of_training"], hits["word_prior"], hits["random_in_lung"]) == (None, None, None)
    assert (hits["heatmap"].low, hits["heatmap"].high) == (0.5, 0.5)  # one patient: nothing to draw


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six images of three patients, and a checkpoint."""
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, SIZE, SIZE), dtype=np.uint8)
    given = [{"image_id": f"i{n}", "pixels": each.tobytes(), "patient_id": f"p{n // 2}"}
             for n, each in enumerate(pixels)]  # fmt: skip
    write_one_shard(tmp_path, "set", SIZE, given)
    write_tiny_checkpoint(tmp_path, WORDS)
    return tmp_path


def alignment(number: int, category: str, phrase: str, corner: tuple[int, int]) -> list[str]:
    """A row with a box that was drawn on a copy of twice the size."""
    box = [str(2 * each) for each in (*corner, 6, 6)]
    return [category, phrase, f"files/i{number}.jpg", *box, str(2 * SIZE), str(2 * SIZE), f"i{number}"]


ROWS = [
    *(alignment(n, "Edema", "mild edema", CORNERS[n % 4]) for n in range(IMAGES)),
    alignment(0, "Edema", "left edema", CORNERS[3]),  # a second phrase
    alignment(1, "Edema", "mild edema", CORNERS[0]),  # a second box of the first one
    *(alignment(n, "Pneumonia", "pneumonia", CORNERS[0]) for n in range(5)),
]


def labelled(folder: Path, rows: list[list[str]] = ROWS, **changes: object) -> None:
    with (folder / "alignment.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([HEADER, *rows])
    paths = {"root": folder, "images": folder / "manifest.json", "labels": folder / "labels.arrow",
             "phrases": folder / "phrases.arrow", "card": folder / "card.json",
             "journal": folder / "label.json"}  # fmt: skip
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    run_stage(LABEL_WORK, [*words, "--dataset", "set", "--settings", json.dumps(SETTINGS | changes)])
    write_audit(folder / "labels.arrow", folder / "audit.json")


def grounded(folder: Path, **settings: object) -> GroundingResult:
    paths = {name: folder / f"{name}.arrow" for name in ("labels", "phrases", "values", "samples")}
    paths |= {name: folder / f"{name}.json" for name in ("audit", "result", "journal")}
    paths |= {"checkpoint": folder / "checkpoint", "images": folder / "manifest.json"}
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    run_stage(WORK, [*words, "--settings", json.dumps({"draws": 50, "publish_samples": True} | settings)])
    return read_record(folder / "result.json", GroundingResult)


def test_phrases_alone_are_measured_on_all_pairs_of_test(folder: Path) -> None:
    labelled(folder)
    whole = grounded(folder)
    edema, pneumonia = whole.findings
    assert (edema.finding, pneumonia.finding, whole.not_measured) == ("edema", "pneumonia", {})
    assert edema.pointing.keys() == {"phrases"}
    assert edema.phrases is not None
    assert (edema.phrases.pairs, edema.phrases.images, edema.images, edema.located) == (7, 6, 6, {})
    assert edema.resampled_by == "patient"
    game = edema.pointing["phrases"]
    assert game.random_in_content is not None
    assert game.random_in_content.value == pytest.approx((6 * 36 + 72) / 7 / SIZE**2)  # one pair has two boxes
    assert (game.fixed_peak_of_training, game.word_prior) == (None, None)
    assert edema.iou["phrases"]["heatmap"] is None
    assert edema.mean_iou["phrases"]["heatmap"] is not None
    values = pl.DataFrame(read_table(folder / "values.arrow", schemas.GROUNDING_VALUES))
    heatmaps = values.filter(pl.col("pointer") == "heatmap")
    assert heatmaps["iou"].null_count() == len(heatmaps) == 12
    assert heatmaps.filter(pl.col("image_id") == "i0")["finding"].to_list() == ["edema", "edema", "pneumonia"]
    for measure in ("pointing", "contrast_to_noise", "mean_iou"):  # the mean over findings is that of BioViL's table
        macro = heatmaps.group_by("finding").agg(pl.col(measure).mean())[measure].mean()
        assert whole.means["phrases"][measure].value == pytest.approx(macro, abs=1e-6)
    assert whole.mean_hits == whole.means["phrases"]["pointing"]
    shown = read_table(folder / "samples.arrow", schemas.samples(SIZE)).to_pylist()
    own = [row["image_id"] for row in shown if row["finding"] == "edema"]
    assert len(own) == len(set(own)) == 4
    assert all(row["prompts"] == [] for row in shown)
    for name in ("result.json", "values.arrow", "samples.arrow", "journal.json", "pictures/pointing.svg"):
        assert b"mild" not in (folder / name).read_bytes()


def test_a_part_of_phrases_gives_the_rivals_and_the_threshold(folder: Path) -> None:
    parts = ["train", "train", "validation", "validation", "test", "test"]
    with (folder / "lists.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["image_id", "split"], *([f"i{n}", part] for n, part in enumerate(parts))])
    rows = [row for row in ROWS if row[0] == "Edema"]
    labelled(folder, rows, findings={"edema": "Edema"}, split_lists={"table": "lists.csv"})
    [edema] = grounded(folder).findings
    assert edema.phrases is not None
    assert edema.phrases.pairs == 2
    # The training pairs of corners 0, 3 and (1, 0): the mean of their regions is largest in corner 0.
    peak = edema.pointing["phrases"].fixed_peak_of_training
    assert peak is not None
    assert peak.value == 0.5  # test has corners 0 and 1
    assert edema.iou["phrases"]["fixed_peak_of_training"] is not None
    assert edema.iou_threshold["phrases"]["heatmap"] is not None


PROMPTS = "findings: {edema: {sets: {one: {positive: [edema]}}}, pneumonia: {sets: {one: {positive: [pneumonia]}}}}"


def test_prompts_of_a_test_part_alone_stand_beside_the_phrases(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(evaluation, "FEWEST", 2)
    (folder / "prompts.yaml").write_text(PROMPTS)
    labelled(folder)
    whole = grounded(folder, prompts=str(folder / "prompts.yaml"))
    assert [each.lacking for each in whole.findings] == [{}] * 2
    assert [list(each.pointing) for each in whole.findings] == [["one", "phrases"]] * 2


def test_prompts_and_phrases_stand_side_by_side(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(evaluation, "FEWEST", 2)
    (folder / "prompts.yaml").write_text(PROMPTS)
    parts = {"i0": "train", "i1": "validation"}
    with (folder / "lists.csv").open("w", newline="") as handle:
        names = [f"i{n}" for n in range(IMAGES)]
        csv.writer(handle).writerows([["image_id", "split"], *([name, parts.get(name, "test")] for name in names)])
    labelled(folder, split_lists={"table": "lists.csv"})
    whole = grounded(folder, prompts=str(folder / "prompts.yaml"))
    edema, _ = whole.findings
    assert list(edema.pointing) == ["one", "phrases"]
    assert (edema.images, edema.phrases.pairs if edema.phrases else None) == (4, 4)
    assert whole.mean_hits == whole.means["one"]["pointing"]
    assert edema.iou["phrases"]["heatmap"] is not None


def test_a_set_with_the_name_of_the_phrases_is_refused(folder: Path, capsys) -> None:
    (folder / "prompts.yaml").write_text("{finding: edema, sets: {phrases: {positive: [edema]}}}")
    labelled(folder)
    with pytest.raises(SystemExit):
        grounded(folder, prompts=str(folder / "prompts.yaml"))
    assert "set phrases of edema: the data set's own phrases have this name" in capsys.readouterr().err


def test_a_phrase_without_word_pieces_is_not_quoted(folder: Path, capsys) -> None:
    labelled(folder)
    rows = read_table(folder / "phrases.arrow", schemas.PHRASES).to_pylist()
    write_rows(folder / "phrases.arrow", schemas.PHRASES, [rows[0] | {"phrase": "\u3000"}, *rows[1:]])
    capsys.readouterr()
    with pytest.raises(SystemExit):
        grounded(folder)
    [line] = capsys.readouterr().err.splitlines()
    assert "phrases.arrow: a phrase of image i0 has no word pieces; correct it in the table" in line


def test_neither_prompts_nor_phrases_is_one_line(folder: Path, capsys) -> None:
    labelled(folder)
    write_rows(folder / "phrases.arrow", schemas.PHRASES, [])
    capsys.readouterr()
    with pytest.raises(SystemExit):
        grounded(folder)
    [line] = capsys.readouterr().err.splitlines()
    assert "phrase_grounding.prompts: no prompt file is named" in line
