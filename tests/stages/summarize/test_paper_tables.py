"""Tables 1 to 4 from a results tree: the stages' own figures, bold only by the test, quotations apart."""

import csv
import html
import json

import numpy as np
import pytest
from markupsafe import escape

from stages.summarize.contract import SummarizeSettings
from stages.summarize.drawing import variant_styles
from stages.summarize.inputs import Inputs, read_inputs
from stages.summarize.numbers import words
from stages.summarize.page import anchor
from stages.summarize.tables.all_tables import paper_tables, text_summary
from stages.summarize.tables.comparisons import Comparisons
from stages.summarize.tables.grounding import POINTERS, RIVALS
from stages.summarize.tables.quoted import read_quotations
from stages.summarize.tables.table import Row, Table
from stages.summarize.tables.writers import as_csv, as_html, as_text


@pytest.fixture(scope="module")
def comparisons() -> Comparisons:
    return Comparisons(draws=400, seed=0)


@pytest.fixture(scope="module")
def tables(read: Inputs, comparisons: Comparisons) -> dict[str, Table]:
    return {table.name: table for table in paper_tables(read, comparisons, [], ())}


def test_there_is_a_table_for_each_data_set_and_protocol(tables) -> None:
    assert list(tables) == [
        *("measured", "table1_rsna", "table1_siim", "calibration_rsna"),
        *("operating_points_rsna", "operating_points_siim", "subgroups_rsna"),
        *("multi_class_rsna", "multi_class_rsna_classes", "multi_class_rsna_confusion"),
        *("table2_rsna_linear", "table2_siim_linear"),
        *("table3_rsna_linear", "table3_siim_linear", "retrieval_image_to_report", "retrieval_report_to_image"),
        *("retrieval_classes_image_to_report", "retrieval_classes_report_to_image"),
        *("grounding_rsna_no_place", "grounding_siim_no_place", "table4_rsna", "table4_siim", "table4_mimic_cxr"),
    ]


def test_figures_are_those_of_the_stages(read: Inputs, tables) -> None:
    for each in read.zero_shot:
        rows = tables[f"table1_{each.dataset}"].blocks[0].rows
        row = next(row for row in rows if row.label.split()[0] == each.variant)
        for metric, figure in each.result.metrics.items():
            cell = row.cells[metric]
            assert (cell.value, cell.low, cell.high) == (figure.value, figure.low, figure.high)


def name_in_comparisons(row: Row) -> str:
    """A variant, or the words of what a heatmap has to beat."""
    rivals = {label: words(pointer) for pointer, label in POINTERS.items() if pointer in RIVALS}
    return rivals.get(row.label) or row.label.removeprefix("heatmap of ").split()[0]


def test_resampled_values_are_the_figures_of_the_stages(comparisons, tables) -> None:
    """What is compared is what is printed: AUC, AP, F1, accuracy from scores, Dice and IoU from pixel counts, recall
    and median rank from ranks, pointing, CNR and IoU from the values of each image.
    """
    for (table, measure), found in comparisons.found.items():
        rows = tables[table].blocks[0].rows
        if table.startswith("table3"):  # a row a share of the labels
            measure, _, fraction = measure.rpartition("_")
            rows = [row for row in rows if row.cells["fraction"].text == f"{fraction} %"]
        rows = {name_in_comparisons(row): row for row in reversed(rows)}  # what is compared stands first
        for each in found:
            printed = rows[each.first].cells[measure].value - rows[each.second].cells[measure].value
            assert each.difference.value == pytest.approx(printed, abs=1e-6)


def test_a_variant_that_learned_is_bold_and_one_that_did_not_is_not(tables) -> None:
    rows = {row.label: row for row in tables["table1_rsna"].blocks[0].rows}
    assert rows["mlip"].cells["auc"].bold
    assert not any(cell.bold for cell in rows["random (untrained)"].cells.values())


def test_equal_variants_have_no_bold(tree) -> None:
    for name in ("result.json", "scores.arrow", "scores.arrow.sha256"):
        folder = tree.results / "zero_shot_classification"
        (folder / "random/rsna" / name).write_bytes((folder / "mlip/rsna" / name).read_bytes())
    folder = tree.results / "zero_shot_classification" / "random" / "rsna"
    tree.edit("zero_shot_classification/random/rsna/result.json")
    compared = Comparisons(draws=100, seed=0)
    table = paper_tables(read_inputs(tree.layout), compared, [], ())[0]
    assert not any(cell.bold for row in table.blocks[0].rows for cell in row.cells.values())
    assert compared.found["table1_rsna", "auc"][0].p == 1
    assert folder.is_dir()


def test_a_skipped_job_says_why_in_its_cell(tables) -> None:
    rows = tables["table2_siim_linear"].blocks[0].rows
    assert {"needs both" in str(row.cells["auc_1"].text) for row in rows} == {True}
    assert all(row.cells["auc_10"].value is not None for row in rows)


def test_an_overlap_stands_in_its_row(tree) -> None:
    for variant in ("mlip", "random"):
        path = f"zero_shot_classification/{variant}/rsna/result.json"
        overlap = json.loads((tree.results / path).read_text())["overlap"]
        tree.edit(path, overlap=overlap | {"images_in_several_parts": 494})
    tables = paper_tables(read_inputs(tree.layout), Comparisons(50, 0), [], ())
    table = next(each for each in tables if each.name == "table1_rsna")
    assert {row.notes for row in table.blocks[0].rows} == {("images in several parts: 494",)}


def test_quotations_are_blocks_of_their_own_and_none_stands_beside_synthetic_patients(read: Inputs, tmp_path) -> None:
    path = tmp_path / "quoted.yaml"
    path.write_text(
        "[{table: few_shot_classification, data_set: rsna, protocol: linear, metric: auc, source: A, setting: b, "
        "scale: 100, places: 3, rows: {Theirs: {1: 80.5, 100: 90}}}]"
    )
    quotations = read_quotations(path)
    by_name = {table.name: table for table in paper_tables(read, Comparisons(20, 0), quotations, ())}
    measured, quoted = by_name["table2_rsna_linear"].blocks
    assert (measured.kind, quoted.kind) == ("measured", "quoted")
    assert [row.label for row in quoted.rows] == ["Theirs"]
    assert set(quoted.rows[0].cells) == {"auc_1"}  # this run has no column of 100 %
    synthetic = paper_tables(read, Comparisons(20, 0), quotations, ["rsna"])
    assert {block.kind for table in synthetic for block in table.blocks} == {"measured"}


def test_the_stage_writes_all_four_forms_and_the_comparisons(output) -> None:
    names = {path.name for path in (output / "tables").iterdir()}
    for stem in ("table1_rsna", "table2_siim_linear", "table3_rsna_linear", "table4_mimic_cxr"):
        assert {f"{stem}.{suffix}" for suffix in ("csv", "md", "tex", "html")} <= names
    with (output / "tables" / "comparisons.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert all(float(row["p"]) <= float(row["p_holm"]) for row in rows)
    assert all(np.isfinite(float(row["difference"])) for row in rows)


def test_every_dice_has_what_predicting_nothing_scores_in_its_row(read: Inputs, tables) -> None:
    for each in read.segmentation:
        rows = tables[f"table3_{each.job.dataset}_{each.job.protocol}"].blocks[0].rows
        (row,) = (
            row
            for row in rows
            if row.label.split()[0] == each.variant and row.cells["fraction"].text == f"{each.job.fraction} %"
        )
        for metric, figure in each.result.metrics.items():
            printed = row.cells[metric]
            assert (printed.value, printed.low, printed.high, printed.spread) == (
                figure.value, figure.low, figure.high, figure.spread
            )  # fmt: skip
        part = each.result.images["test"]
        assert row.cells["predict_nothing"].value == pytest.approx(1 - part.positives / part.images)
        assert not row.cells["predict_nothing"].bold


def test_the_better_outline_is_bold_where_the_finding_is(tables) -> None:
    for name in ("table3_rsna_linear", "table3_siim_linear"):
        for row in tables[name].blocks[0].rows:
            for metric in ("dice_of_positives", "iou_of_positives"):
                assert row.cells[metric].bold == (row.label == "mlip")


def test_a_skipped_segmentation_says_why_and_nothing_of_its_column_is_bold(tree) -> None:
    place = "few_shot_segmentation/{}/rsna/linear/10/result.json"
    for variant in ("mlip", "random"):
        tree.edit(place.format(variant), skipped="no positives", seeds=[], metrics={})
    by_name = {table.name: table for table in paper_tables(read_inputs(tree.layout), Comparisons(20, 0), [], ())}
    for row in by_name["table3_rsna_linear"].blocks[0].rows:
        assert {row.cells[key].text for key in ("dice", "predict_nothing")} == {"no positives"}
        assert not any(each.bold for each in row.cells.values())


def test_quoted_dice_is_apart_with_its_share_of_labels_and_a_warning(read: Inputs, tmp_path) -> None:
    path = tmp_path / "quoted.yaml"
    path.write_text(
        "[{table: few_shot_segmentation, data_set: rsna, protocol: linear, metric: dice, source: A, setting: mean Dice,"
        " scale: 100, places: 4, rows: {Theirs: {10: 75.69, 100: 80}}}]"
    )
    tables = paper_tables(read, Comparisons(20, 0), read_quotations(path), ())
    table = next(each for each in tables if each.name == "table3_rsna_linear")
    assert [(block.kind, block.source, block.protocol) for block in table.blocks[1:]] == [("quoted", "A", "mean Dice")]
    (row,) = table.blocks[1].rows  # this run has no job with 100 %
    assert (row.label, row.cells["fraction"].text, row.cells["dice"].value) == ("Theirs", "10 %", 0.7569)
    assert any("may be another figure" in note for note in table.notes)
    unquoted = next(each for each in tables if each.name == "table3_siim_linear")
    assert not any("Quoted" in note for note in unquoted.notes)


ONLY_ON_THE_PAGE = ("ablation", "multi_class_classes", "operating_points", "subgroups")


def test_page_console_and_files_draw_the_same_tables(read: Inputs, output, tmp_path) -> None:
    """No figure of a table has a second way to the reader: what is drawn from `Table` is found, whole, in each form."""
    tables = paper_tables(read, Comparisons(SummarizeSettings().comparison_draws, 0), [], ("mimic_cxr", "rsna", "siim"))
    page = (output / "report.html").read_text(encoding="utf-8")
    console = text_summary("MLIP", read, tables, [], tmp_path)
    for table in tables:
        drawn = as_html(table, variant_styles(read.training), anchor(table.caption))
        assert page.count(drawn) == 1, table.name
        assert page.count(f'<span id="{anchor(table.caption)}">{escape(table.caption)}</span>') == 1
        assert all(note in html.unescape(page) for note in (*table.notes, *table.legend))
        assert (output / "tables" / f"{table.name}.csv").read_text(encoding="utf-8") == as_csv(table)
        assert ("\n".join(as_text(table)) in console) == (table.task not in ONLY_ON_THE_PAGE)
    assert console.isascii()
