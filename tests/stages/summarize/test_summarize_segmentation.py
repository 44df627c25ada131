"""Table 3 on the page, and variants without text: left out of what needs text, counted and named."""

import csv
import json
import re
import shutil

import pytest

from stages.common.command_line import run_stage
from stages.summarize.__main__ import WORK
from stages.summarize.numbers import decimal


def run(tree, output, *more) -> str:
    run_stage(WORK, [*tree.arguments(output), *more])
    return (output / "report.html").read_text(encoding="utf-8")


def test_every_dice_stands_beside_predicting_nothing(tree, output) -> None:
    html = (output / "report.html").read_text(encoding="utf-8")
    section = html[html.index("Table 3. Few-shot segmentation") :]
    for variant in tree.variants:
        result = json.loads((tree.results / f"few_shot_segmentation/{variant}/rsna/linear/10/result.json").read_text())
        for figure in result["metrics"].values():
            low, high = decimal(figure["low"]), decimal(figure["high"])
            assert re.search(
                rf"{re.escape(decimal(figure['value']))}(</b>)? <span class=\"ci\">\[{low}, {high}\]", section
            )
    rows = list(csv.DictReader((output / "tables" / "table3_segmentation.csv").read_text().splitlines()))
    assert len(rows) == 2 * 2
    for row in rows:
        negatives = 1 - int(row["test_positives"]) / int(row["test_images"])
        assert float(row["predict_nothing"]) == pytest.approx(negatives)
    assert "outline and the one of" in html  # a radiograph that may be shown


def test_an_image_encoder_without_text_is_left_out_of_what_needs_text_and_named(tree, tmp_path, capsys) -> None:
    for stage in ("zero_shot_classification", "phrase_grounding", "retrieval"):
        shutil.rmtree(tree.results / stage / "random")
    html = run(tree, tmp_path, "--image-only", "random")
    assert "image encoders without text: random" in html
    assert "random (ready-made, images alone)" in html
    assert "No text, so no zero-shot, grounding and retrieval (1): random" in capsys.readouterr().out
    tables = {path.stem: list(csv.DictReader(path.read_text().splitlines())) for path in tmp_path.glob("tables/*.csv")}
    for name, with_it in (("table1_zero_shot", 0), ("pointing", 0), ("table2_few_shot", 4), ("table3_segmentation", 2)):
        assert sum(row["variant"] == "random" for row in tables[name]) == with_it, name


def test_results_of_other_test_images_are_refused(tree, tmp_path, capsys) -> None:
    tree.edit("few_shot_segmentation/random/rsna/linear/10/result.json", finding="nodule")
    try:
        run(tree, tmp_path)
    except SystemExit:
        assert "few_shot_segmentation/random/rsna/linear/10/result.json: measured on other images" in (
            capsys.readouterr().err
        )
    else:
        raise AssertionError("the summary compares different findings")
