"""Grounding and retrieval: bold by the paired test over the values that the stages stored, rivals included."""

from pathlib import Path

import numpy as np
import pytest

from stages.common.command_line import run_stage
from stages.common.errors import InputError
from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table, write_rows
from stages.common.metrics.ranking import draw_weights
from stages.common.metrics.retrieval import FirstHits
from stages.summarize.__main__ import WORK
from stages.summarize.inputs import Inputs, read_inputs
from stages.summarize.tables.all_tables import paper_tables, text_summary
from stages.summarize.tables.comparisons import Comparisons
from stages.summarize.tables.grounding import POINTERS, grounding_tables
from stages.summarize.tables.retrieval import CHANCE, retrieval_tables
from stages.summarize.tables.table import Row, Table

DRAWS = 1000


def rows_of(table: Table) -> dict[str, Row]:
    return {row.label: row for row in table.blocks[0].rows}


def bold_in(table: Table, column: str) -> list[str]:
    return [label for label, row in rows_of(table).items() if column in row.cells and row.cells[column].bold]


def edit_rows(path: Path, schema, change) -> None:
    """Every row of a table as `change` leaves it."""
    write_rows(path, schema, [change(row) for row in read_table(path, schema).to_pylist()])


def test_retrieval_is_compared_on_the_same_patients_as_by_hand(read: Inputs) -> None:
    """The difference of recall@1 and its interval, from the stored ranks with a loop over patients."""
    comparisons = Comparisons(DRAWS, seed=0)
    retrieval_tables(read, comparisons)
    found = comparisons.against("retrieval_image_to_report", "recall_at_1", "mlip", "random")
    rows = {}
    for variant in ("mlip", "random"):
        path = read.tree.folder("retrieval", variant) / "ranks.arrow"
        rows[variant] = [
            row for row in read_table(path, schemas.RANKS).to_pylist() if row["direction"] == "image_to_report"
        ]
    assert [row["query_id"] for row in rows["mlip"]] == [row["query_id"] for row in rows["random"]]
    first = {variant: [float(row["above"] == 0) / (1 + row["tied"]) for row in each] for variant, each in rows.items()}
    difference = np.array(first["mlip"]) - np.array(first["random"])
    assert found.difference.value == pytest.approx(difference.mean())
    patients = np.array([row["patient_id"] for row in rows["mlip"]])
    drawn = []
    for weights in draw_weights(patients, DRAWS, seed=0):
        assert all(len(set(weights[patients == patient])) == 1 for patient in patients)
        drawn.append(np.average(difference, weights=weights))
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))


def test_an_encoder_that_finds_its_report_is_bold_and_chance_stands_below(read: Inputs, monkeypatch) -> None:
    monkeypatch.setattr("stages.summarize.tables.comparisons.FEWEST_PATIENTS", 6)  # patients of these pairs
    for table in retrieval_tables(read, Comparisons(DRAWS, 0)):
        assert bold_in(table, "recall_at_1") == ["mlip"]
        assert bold_in(table, "median_rank") == ["mlip"]  # the smallest one
        ranks = {label: row.cells["median_rank"].value for label, row in rows_of(table).items()}
        assert ranks["mlip"] < ranks["random (untrained)"]
        assert rows_of(table)[CHANCE].cells["recall_at_1"].value == pytest.approx(1 / 12, abs=0.02)


def test_variants_with_equal_ranks_have_no_bold(tree) -> None:
    for name in ("result.json", "ranks.arrow"):
        for suffix in ("", ".sha256"):
            source = tree.results / "retrieval/mlip" / f"{name}{suffix}"
            (tree.results / "retrieval/random" / f"{name}{suffix}").write_bytes(source.read_bytes())
    for table in retrieval_tables(read_inputs(tree.layout), Comparisons(DRAWS, 0)):
        assert not any(cell.bold for row in table.blocks[0].rows for cell in row.cells.values())


def test_other_queries_are_refused_in_one_line(tree) -> None:
    path = tree.results / "retrieval/random/ranks.arrow"
    edit_rows(path, schemas.RANKS, lambda row: row | {"query_id": f"other {row['query_id']}"})
    with pytest.raises(InputError, match=r"retrieval/random/ranks.arrow: other test images than .*/mlip/ranks.arrow"):
        retrieval_tables(read_inputs(tree.layout), Comparisons(DRAWS, 0))


def test_a_heatmap_is_bold_only_if_it_beats_what_fools_the_figure(tree) -> None:
    """Hits of the trained heatmap lie far above all others; then the fixed peak hits on every image."""
    first = grounding_tables(read_inputs(tree.layout), Comparisons(DRAWS, 0))[0]
    assert bold_in(first, "pointing_in_lung") == ["heatmap of mlip"]
    assert bold_in(first, "contrast_to_noise") == ["heatmap of mlip"]
    for variant in ("mlip", "random"):
        place = tree.results / f"phrase_grounding/{variant}/rsna"
        edit_rows(
            place / "values.arrow",
            schemas.GROUNDING_VALUES,
            lambda row: row | ({"pointing": 1.0} if row["pointer"] == "fixed_peak_of_training" else {}),
        )
    fooled = grounding_tables(read_inputs(tree.layout), Comparisons(DRAWS, 0))[0]
    assert bold_in(fooled, "pointing_in_lung") == bold_in(fooled, "pointing") == [POINTERS["fixed_peak_of_training"]]


def test_grounding_without_lungs_has_no_columns_of_them_and_a_random_point_in_the_image(tree, tmp_path) -> None:
    for variant in ("mlip", "random"):
        place = f"phrase_grounding/{variant}/rsna"
        path = tree.results / place / "values.arrow"
        rows = read_table(path, schemas.GROUNDING_VALUES).to_pylist()
        renamed = [row | {"pointer": row["pointer"].replace("random_in_lung", "random_in_content")} for row in rows]
        write_rows(path, schemas.GROUNDING_VALUES, [row for row in renamed if "lung" not in row["pointer"]])
        record, moved = tree.only(f"{place}/result.json"), {}
        for measure in ("pointing", "contrast_to_noise", "iou", "mean_iou"):
            figures = record[measure]["no_place"]
            figures["random_in_content"] = figures.pop("random_in_lung")
            moved[measure] = {"no_place": figures}
        moved["pointing"]["no_place"] |= {"heatmap_in_lung": None, "random_in_lung": None}
        tree.edit_only(f"{place}/result.json", **moved)
    found = read_inputs(tree.layout)
    table = grounding_tables(found, Comparisons(DRAWS, 0))[0]
    assert [column.key for column in table.columns] == [
        "reading", "pointing", "contrast_to_noise", "iou", "mean_iou"
    ]  # fmt: skip
    rivals = {"random point in the image"}
    rivals |= {POINTERS[name] for name in ("fixed_peak_of_training", "brightness", "random_encoders")}
    names = ("mlip", "random (untrained)")
    beside = {"heatmap of mlip, reading fixed", *(f"supervised probe of the patches of {name}" for name in names)}
    assert set(rows_of(table)) == {f"heatmap of {name}" for name in names} | rivals | beside
    run_stage(WORK, tree.arguments(tmp_path))
    games = (tmp_path / "report.html").read_text(encoding="utf-8").split('">Pointing at')[1:]
    games = [game.partition("</table>")[0] for game in games]
    assert [("random point in the image<" in game, "random point in the lungs<" in game) for game in games] == [
        (True, False), (False, True)
    ]  # fmt: skip
    text = text_summary("MLIP", found, paper_tables(found, Comparisons(20, 0), [], ()), [], tmp_path)
    games = [part.partition("\n\n")[0] for part in text.split("Pointing at")[1:]]
    assert (
        ["random point in the image" in game for game in games] == ["rsna" in game for game in games] == [True, False]
    )


def test_images_that_were_left_out_are_counted_in_caption_and_page(tree, tmp_path) -> None:
    place = "phrase_grounding/{}/rsna/result.json"
    located = tree.only(place.format("mlip"))["located"]
    assert "(of " not in grounding_tables(read_inputs(tree.layout), Comparisons(20, 0))[0].caption
    located["test"] = {"positives": 103, "positives_without_region": 5, "regions_too_small": 2}
    for variant in ("mlip", "random"):
        tree.edit_only(place.format(variant), located=located)
    words = "of 103 with the finding; 5 without box or mask, 2 too small to show"
    assert f"96 test images ({words})" in grounding_tables(read_inputs(tree.layout), Comparisons(20, 0))[0].caption
    run_stage(WORK, tree.arguments(tmp_path))
    assert f"96 test images ({words})" in (tmp_path / "report.html").read_text(encoding="utf-8")
    located["test"]["positives"] = 104
    tree.edit_only(place.format("mlip"), located=located)
    with pytest.raises(InputError, match=r"mlip/rsna/result\.json: .*positives are not images"):
        read_inputs(tree.layout)


def test_stored_ranks_give_recall_at_any_k(read: Inputs) -> None:
    """What the stage printed, and what it did not print."""
    path = read.tree.folder("retrieval", "mlip") / "ranks.arrow"
    rows = [row for row in read_table(path, schemas.RANKS).to_pylist() if row["direction"] == "report_to_image"]
    found = FirstHits(*(np.array([row[name] for row in rows]) for name in ("above", "tied", "hits")))
    printed = next(each for each in read.retrieval if each.variant == "mlip").result.figures.report_to_image
    for k, figure in printed.recall.items():
        assert found.recall(k).mean() == pytest.approx(figure.value)
    assert found.recall(printed.candidates).tolist() == [1.0] * len(rows)
