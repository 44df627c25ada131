"""A report of variants with several seeds: rows are variants, figures are means, and pictures are of one training."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from stages.common.command_line import run_stage
from stages.common.errors import InputError
from stages.common.records import read_record
from stages.common.replicates import Replicate
from stages.summarize.__main__ import WORK
from stages.summarize.inputs import Inputs, read_inputs
from stages.summarize.results_tree import parse_variants
from stages.summarize.tables.all_tables import paper_tables
from stages.summarize.tables.comparisons import Comparisons
from stages.summarize.tables.table import Row, Table
from stages.zero_shot_classification.contract import ZeroShotResult

WORDS = ["mlip=2,0,1", "clip=0,1,2", "random"]


@pytest.fixture(scope="module")
def seeded(build, tmp_path_factory):
    """Three trainings of each of two variants, beside one random encoder."""
    return build(tmp_path_factory.mktemp("seeded"), ["rsna"], WORDS)


@pytest.fixture(scope="module")
def inputs(seeded) -> Inputs:
    return read_inputs(seeded.layout)


@pytest.fixture(scope="module")
def tables(inputs: Inputs) -> dict[str, Table]:
    return {table.name: table for table in paper_tables(inputs, Comparisons(300, 0), [], ())}


@pytest.fixture(scope="module")
def written(seeded, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    run_stage(WORK, seeded.arguments(folder))
    return folder


def rows_of(table: Table) -> dict[str, Row]:
    return {row.key: row for row in table.blocks[0].rows}


def test_words_of_the_command_line_say_which_seeds_a_variant_has() -> None:
    assert parse_variants(WORDS) == {"mlip": (2, 0, 1), "clip": (0, 1, 2), "random": ()}
    for wrong in ("mlip=", "=1", "mlip=1,", "mlip=a", "mlip=01", "mlip=-1", "mlip=1,1"):
        with pytest.raises(InputError, match=f"^--variants {re.escape(wrong)}: "):
            parse_variants([wrong])
    with pytest.raises(InputError, match="--variants mlip: a variant or a seed stands there twice"):
        parse_variants(["mlip=0", "mlip"])


def test_every_replicate_is_read_from_its_folder_and_told_in_the_provenance(inputs: Inputs, written: Path) -> None:
    names = [f"{variant}-seed{seed}" for variant in ("mlip", "clip") for seed in (0, 1, 2)]
    assert [each.replicate.name for each in inputs.training] == [*names, "random"]
    html = (written / "report.html").read_text(encoding="utf-8")
    for name in names:
        assert f"<td>{name}</td>" in html
        assert f"<td>{name}/rsna</td>" in html


def test_a_row_is_a_variant_with_the_mean_and_spread_of_its_seeds(inputs: Inputs, tables: dict[str, Table]) -> None:
    rows = rows_of(tables["table1_rsna"])
    assert [row.label for row in rows.values()] == ["mlip (3 seeds)", "clip (3 seeds)", "random (untrained)"]
    for variant in ("mlip", "clip"):
        results = [
            inputs.tree.root / f"zero_shot_classification/{variant}-seed{seed}/rsna/result.json" for seed in range(3)
        ]
        values = [read_record(path, ZeroShotResult).metrics["auc"].value for path in results]
        cell = rows[variant].cells["auc"]
        assert cell.value == pytest.approx(np.mean(values))
        assert cell.spread == pytest.approx(np.std(values, ddof=1))
        assert cell.low is not None
        assert cell.low < cell.value < cell.high
    assert rows["random"].cells["auc"].spread is None
    assert any(line.startswith("Of a variant with several seeds") for line in tables["table1_rsna"].legend)


def test_every_figure_of_a_compared_column_has_an_interval_over_seeds(tables: dict[str, Table]) -> None:
    """Cells of other columns may have none: what the stages do not store one by one."""
    columns = {"table1_rsna": ("auc", "f1"), "table2_rsna_linear": ("auc_1", "auc_10"), "grounding_rsna_no_place":
               ("pointing", "pointing_in_lung", "contrast_to_noise"), "multi_class_rsna": ("accuracy", "macro_f1"),
               "retrieval_image_to_report": ("recall_at_1", "median_rank"),
               "retrieval_classes_image_to_report": ("precision_at_5",),
               "table3_rsna_linear": ("dice", "gain_over_nothing"), "table4_rsna": ("zero_shot_auc",)}  # fmt: skip
    for name, keys in columns.items():
        for key in keys:
            cell = rows_of(tables[name])["mlip"].cells[key]
            assert cell.low is not None, (name, key)
            assert cell.low <= cell.value <= cell.high
    assert not rows_of(tables["table3_rsna_linear"])["mlip"].cells["predict_nothing"].spread  # equal for all


def test_three_seeds_of_every_trained_variant_let_bold_stand_and_fewer_do_not(
    inputs: Inputs, tables: dict[str, Table]
) -> None:
    assert rows_of(tables["table4_rsna"])["random"].cells["zero_shot_auc_difference"].bold
    assert not any("No bold" in line for line in tables["table4_rsna"].legend)
    layout = inputs.tree.__class__(**vars(inputs.tree) | {"seeds": inputs.tree.seeds | {"clip": (0, 1)}})
    few = {table.name: table for table in paper_tables(read_inputs(layout), Comparisons(300, 0), [], ())}
    assert not any(cell.bold for _, row in few["table4_rsna"].rows() for cell in row.cells.values())
    reason = "No bold: fewer than 3 trainings of some variants cannot tell a setting from a seed (mlip 3, clip 2)"
    for name in ("table1_rsna", "table2_rsna_linear", "table4_rsna", "grounding_rsna_no_place"):
        assert any(line.startswith(reason) for line in few[name].legend)


def test_a_verdict_on_a_heatmap_says_of_how_many_trainings_it_is(tables: dict[str, Table], read: Inputs) -> None:
    notes = tables["grounding_rsna_no_place"].notes
    assert any(note.startswith("The heatmap of mlip (3 seeds) (") for note in notes)
    assert not any("is of one training" in line for line in tables["grounding_rsna_no_place"].legend)
    single = {table.name: table for table in paper_tables(read, Comparisons(50, 0), [], ())}
    assert "What is said of a heatmap is of one training (mlip), not of its settings." in (
        single["grounding_rsna_no_place"].legend
    )


def test_pictures_are_of_the_median_training_alone(inputs: Inputs, written: Path) -> None:
    """Scores of mlip rise with the number in which trainings were written: 0, 1, 2; the median is seed 1."""
    assert inputs.median("mlip") == Replicate("mlip", 1)
    assert {each.replicate for each in inputs.shown(inputs.training)} == {
        Replicate("mlip", 1), Replicate("clip", 1), Replicate("random")
    }  # fmt: skip
    html = (written / "report.html").read_text(encoding="utf-8")
    assert "the median by its score on validation: mlip seed 1, clip seed 1." in html
    losses = re.findall(r'alt="Loss terms of ([^"]*) over the steps', html)
    assert losses == ["mlip (seed 1)", "clip (seed 1)"]
    for seed in range(3):
        assert f"<dt>mlip (seed {seed})</dt>" in html  # the choice of every checkpoint is told


def test_methods_say_how_many_seeds_and_files_for_machines_have_each(written: Path) -> None:
    html = (written / "report.html").read_text(encoding="utf-8")
    assert "ran for mlip with 3 seeds (2, 0, 1) and clip with 3 seeds (0, 1, 2)" in html
    assert "One run is one seed" not in html
    with (written / "tables/table1_zero_shot.csv").open(encoding="utf-8", newline="") as handle:
        rows = [(row["variant"], row["seed"]) for row in csv.DictReader(handle)]
    assert rows == [*((variant, str(seed)) for variant in ("mlip", "clip") for seed in range(3)), ("random", "")]


def test_without_seeds_files_for_machines_have_no_column_of_them(output: Path) -> None:
    assert ",seed," not in (output / "tables/table1_zero_shot.csv").read_text(encoding="utf-8")
