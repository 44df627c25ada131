"""Table 4: every task of every variant, with the differences that Tables 1 to 3, retrieval and pointing compared."""

import json
import re

import numpy as np
import pytest

from stages.summarize.inputs import Inputs, read_inputs
from stages.summarize.tables.ablation import ablation_tables, headlines
from stages.summarize.tables.all_tables import headline, paper_tables
from stages.summarize.tables.comparisons import Comparisons
from stages.summarize.tables.table import Row, Table


@pytest.fixture(scope="module")
def three(build, tmp_path_factory) -> Inputs:
    """Three variants on one data set: more than one pair a column, so that Holm's correction does something."""
    return read_inputs(build(tmp_path_factory.mktemp("three"), ["rsna"], ["mlip", "random", "clip"]).layout)


@pytest.fixture(scope="module")
def comparisons() -> Comparisons:
    return Comparisons(draws=300, seed=0)


@pytest.fixture(scope="module")
def tables(three: Inputs, comparisons: Comparisons) -> dict[str, Table]:
    return {table.name: table for table in paper_tables(three, comparisons, [], ())}


def rows_of(table: Table) -> dict[str, Row]:
    return {row.label.split()[0]: row for row in table.blocks[0].rows}


def test_every_task_is_a_column_and_every_variant_a_row(tables) -> None:
    headers = [column.header for column in tables["table4_rsna"].shown]
    assert headers == [
        *(
            "zero-shot AUC",
            "from mlip",
            "few-shot AUC, linear, 10 %",
            "from mlip",
            "Dice of positives, linear (changed), 10 %",
        ),
        *("from mlip", "hits of the heatmap, inside the lungs", "from mlip"),
    ]  # of few-shot jobs the one with most labels
    retrieval = [column.header for column in tables["table4_mimic_cxr"].shown]
    assert retrieval == ["recall@5, image to report", "from mlip", "recall@5, report to image", "from mlip"]
    assert list(rows_of(tables["table4_rsna"])) == ["mlip", "random", "clip"]


def test_figures_and_intervals_are_those_of_the_other_tables(tables) -> None:
    for own, other, column in (
        ("zero_shot_auc", "table1_rsna", "auc"),
        ("linear_auc_10", "table2_rsna_linear", "auc_10"),
        ("linear_dice_of_positives_10", "table3_rsna_linear", "dice_of_positives"),
    ):
        there = rows_of(tables[other])
        for variant, row in rows_of(tables["table4_rsna"]).items():
            mine, theirs = row.cells[own], there[variant].cells[column]
            assert (mine.value, mine.low, mine.high) == (theirs.value, theirs.low, theirs.high)
            assert mine.low < mine.value < mine.high


def test_a_difference_is_that_of_its_figures_with_the_p_of_the_comparison(tables, comparisons) -> None:
    rows = rows_of(tables["table4_rsna"])
    assert not any(key.endswith(("_difference", "_p")) for key in rows["mlip"].cells)  # it is the one to differ from
    for variant in ("random", "clip"):
        cells = rows[variant].cells
        for key in [key.removesuffix("_p") for key in cells if key.endswith("_p")]:
            difference = cells[f"{key}_difference"]
            assert difference.value == pytest.approx(cells[key].value - rows["mlip"].cells[key].value, abs=1e-6)
            assert difference.low <= difference.value <= difference.high
            assert not difference.bold
        found = comparisons.against("table1_rsna", "auc", variant, "mlip")
        assert cells["zero_shot_auc_p"].value == found.adjusted >= found.p
    assert rows["random"].cells["zero_shot_auc_p"].value < 0.05


def test_one_training_per_variant_makes_no_figure_bold_and_says_why(three: Inputs, tables) -> None:
    """Of mlip, random and clip two are trained; mlip and random alone make a statement about one training."""
    reason = "No bold: one training per variant cannot tell a setting from a seed; list 3 `seeds` or more."
    of_one = ("calibration", "multi_class_classes", "operating_points", "subgroups")  # nothing is compared there
    compared = [table for table in tables.values() if table.task not in of_one]
    assert len(compared) > 6
    for table in compared:
        assert not [row.label for _, row in table.rows() if any(cell.bold for cell in row.cells.values())]
        assert any(line.startswith(reason) for line in table.legend), table.name
        assert not any("Bold:" in line for line in table.legend)
    layout = three.tree.__class__(**vars(three.tree) | {"variants": ("mlip", "random")})
    pair = {table.name: table for table in paper_tables(read_inputs(layout), Comparisons(300, 0), [], ())}
    assert rows_of(pair["table1_rsna"])["mlip"].cells["auc"].bold
    assert rows_of(pair["table4_rsna"])["random"].cells["zero_shot_auc_difference"].bold


def test_few_patients_make_no_figure_bold_and_the_tables_say_so(three: Inputs, monkeypatch) -> None:
    layout = three.tree.__class__(**vars(three.tree) | {"variants": ("mlip", "random")})
    monkeypatch.setattr("stages.summarize.tables.comparisons.FEWEST_PATIENTS", 121)
    tables = {table.name: table for table in paper_tables(read_inputs(layout), Comparisons(300, 0), [], ())}
    assert not rows_of(tables["table1_rsna"])["mlip"].cells["auc"].bold
    assert not rows_of(tables["table4_rsna"])["random"].cells["zero_shot_auc_difference"].bold
    for name in ("table1_rsna", "table4_rsna"):
        (reason,) = [line for line in tables[name].legend if line.startswith("No bold: ")]
        assert "120 patients or images are resampled, and fewer than 121 cannot" in reason


def test_a_variant_without_text_has_the_tasks_of_its_images(three: Inputs) -> None:
    """`clip` as if it were a ready-made encoder; and then the first one, which cannot be what others differ from."""
    for variants in (("mlip", "random", "clip"), ("clip", "mlip", "random")):
        layout = three.tree.__class__(**vars(three.tree) | {"variants": variants, "image_only": ("clip",)})
        inputs = read_inputs(layout)
        tables = {each.name: each for each in paper_tables(inputs, Comparisons(50, 0), [], ())}
        cells = {label: row.cells for label, row in rows_of(tables["table4_rsna"]).items()}
        assert "zero_shot_auc" not in cells["clip"]
        assert np.isfinite(cells["clip"]["linear_auc_10_difference"].value)
        assert {each.first for each in headlines(inputs, Comparisons(50, 0))} == {"mlip"}
        assert not rows_of(tables["table4_mimic_cxr"])["clip"].cells


def test_a_skipped_job_says_why_and_has_no_difference(tree) -> None:
    for variant in tree.variants:
        place = f"few_shot_classification/{variant}/rsna/linear/10/result.json"
        tree.edit_only(place, metrics={})
        tree.edit(place, skipped="no positives", seeds=[], metrics={})
    inputs, comparisons = read_inputs(tree.layout), Comparisons(50, 0)
    tables = {table.name: table for table in paper_tables(inputs, comparisons, [], ())}
    for row in tables["table4_rsna"].blocks[0].rows:
        assert row.cells["linear_auc_10"].text == "no positives"
        assert "linear_auc_10_difference" not in row.cells


def test_recall_is_not_taken_where_all_candidates_are_counted(tree) -> None:
    for variant in tree.variants:
        place = f"retrieval/{variant}/result.json"
        figures = json.loads((tree.results / place).read_text())["figures"]
        few = {name: figures[name] | {"candidates": 4} for name in ("image_to_report", "report_to_image")}
        tree.edit(place, figures=figures | few)
    tables = {each.name: each for each in paper_tables(read_inputs(tree.layout), Comparisons(20, 0), [], ())}
    assert tables["table4_mimic_cxr"].columns[0].header == "recall@1, image to report"


def test_one_variant_has_no_table_4(build, tmp_path) -> None:
    inputs = read_inputs(build(tmp_path, ["rsna"], ["mlip"]).layout)
    assert ablation_tables(inputs, Comparisons(50, 0)) == []


def test_the_last_words_of_a_run_are_these_figures_with_variants_side_by_side(three, comparisons) -> None:
    title, header, *rows, described = headline("MLIP", three, headlines(three, comparisons), ["rsna"]).splitlines()
    assert described == "The report describes mlip"
    assert title == "MLIP (synthetic patients in rsna; brackets: 95 % intervals)"
    assert header.split() == ["test", "part", "of", "measure", "mlip", "random", "(untrained)", "clip"]
    assert max(map(len, rows)) < 140
    measures = [each for ablation in headlines(three, comparisons) for each in ablation.measures]
    assert [re.split(r" {2,}", row.strip())[1] for row in rows] == [each.header for each in measures]
    for row, measure in zip(rows, measures, strict=True):
        for variant in three.tree.variants:
            assert f"{measure.figures[variant].value:.3f}".lstrip("0") in row


def test_a_run_of_one_variant_ends_with_figures_too(build, tmp_path) -> None:
    inputs = read_inputs(build(tmp_path, ["rsna"], ["mlip"]).layout)
    comparisons = Comparisons(20, 0)
    assert ablation_tables(inputs, comparisons) == []
    assert "  rsna          zero-shot AUC " in headline("MLIP", inputs, headlines(inputs, comparisons), [])
