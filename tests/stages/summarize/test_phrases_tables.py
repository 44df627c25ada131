"""Tables of a data set whose own phrases are pointed at: of each finding, and by finding with the measures' means."""

import json

import pytest

from stages.common.command_line import run_stage
from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table, write_rows
from stages.common.files.atomic_files import write_json, write_sidecar
from stages.phrase_grounding.contract import MEANS
from stages.summarize.__main__ import WORK
from stages.summarize.inputs import Inputs, read_inputs
from stages.summarize.tables.comparisons import Comparisons
from stages.summarize.tables.flat_rows import grounding_rows
from stages.summarize.tables.grounding import grounding_tables

COUNTS = {"pairs": 96, "images": 80, "regions_too_small": 2}
BY_SET = ("pointing", "contrast_to_noise", "absolute_contrast_to_noise", "iou", "mean_iou", "place_words", "reading",
          "readings", "random_encoders")  # fmt: skip


@pytest.fixture
def with_phrases(tree) -> Inputs:
    """Rsna as if its only queries were phrases of two findings: no part to learn or to choose from."""
    for variant in ("mlip", "random"):
        path = tree.results / f"phrase_grounding/{variant}/rsna/result.json"
        record = json.loads(path.read_text())
        [finding] = record["findings"]
        finding |= {name: {"phrases": finding[name]["no_place"]} for name in BY_SET}
        finding |= {"located": {}, "phrases": COUNTS, "images": 80}
        finding["iou"] = {"phrases": dict.fromkeys(finding["iou"]["phrases"])}
        for measure in ("pointing", "contrast_to_noise", "absolute_contrast_to_noise", "mean_iou"):
            finding[measure]["phrases"]["fixed_peak_of_training"] = None
        record["means"] = {"phrases": record["means"]["no_place"]}
        record |= {"findings": [finding, finding | {"finding": "edema"}], "not_measured": {"hernia": "2 located"}}
        write_json(path, record)
        write_sidecar(path)
        values = path.with_name("values.arrow")
        rows = read_table(values, schemas.GROUNDING_VALUES).to_pylist()
        rows = [row | {"prompt_set": "phrases", "iou": None} for row in rows if "fixed" not in row["pointer"]]
        both = [*rows, *(row | {"finding": "edema"} for row in rows)]
        write_rows(values, schemas.GROUNDING_VALUES, both)
    return read_inputs(tree.layout)


def test_phrases_have_a_table_by_finding_with_every_measure_and_its_mean(with_phrases: Inputs) -> None:
    tables = {table.name: table for table in grounding_tables(with_phrases, Comparisons(50, 0))}
    assert "grounding_rsna_findings" not in tables  # that of the prompt file's sets
    table = tables["grounding_rsna_phrases_findings"]
    [block] = table.blocks
    rows = {row.key: row for row in block.rows}
    assert list(rows) == ["lung_opacity", "edema", "mean of findings", "hernia"]
    assert rows["lung_opacity"].cells["phrases"].text == "96 phrases of 80 test images (2 too small to show)"
    assert rows["hernia"].cells["phrases"].text == "not measured: 2 located"
    whole = next(each.whole for each in with_phrases.grounding if each.variant == "mlip" and each.dataset == "rsna")
    for measure in MEANS:
        figures = getattr(whole.findings[0], measure)["phrases"]
        figure = figures.heatmap if measure == "pointing" else figures["heatmap"]
        assert rows["edema"].cells[f"mlip_{measure}"].value == figure.value
        assert rows["mean of findings"].cells[f"random_{measure}"].value is not None


def test_a_table_of_phrases_lacks_what_needs_another_part_and_tests_the_rest(with_phrases: Inputs) -> None:
    comparisons = Comparisons(50, 0)
    tables = {table.name: table for table in grounding_tables(with_phrases, comparisons)}
    table = tables["grounding_rsna_edema_phrases"]
    assert "with its own phrases: 96 phrases of 80 test images (2 too small to show)" in table.caption
    assert [column.key for column in table.columns] == [
        "reading", "pointing", "pointing_in_lung", "contrast_to_noise", "mean_iou"
    ]  # fmt: skip
    assert "fixed peak of the training masks" not in {row.label for row in table.blocks[0].rows}
    assert ("grounding_rsna_edema_phrases", "mean_iou") in comparisons.found
    measures = {row["measure"] for row in grounding_rows(with_phrases) if row["prompt_set"] == "phrases"}
    assert measures == {"pointing", "contrast_to_noise", "absolute_contrast_to_noise", "mean_iou"}


@pytest.mark.usefixtures("with_phrases")
def test_phrases_reach_the_page(tree, tmp_path) -> None:
    run_stage(WORK, tree.arguments(tmp_path))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Phrase grounding in rsna, by finding" in page
    assert "each phrase that a radiologist gave boxes to" in page
