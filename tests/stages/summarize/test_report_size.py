"""The page stays under 3 MB with as many radiographs as a run publishes, at the size of the encoders' input."""

import numpy as np
import pytest

from stages.common.command_line import run_stage
from stages.common.data.run_lengths import encode
from stages.common.files import schemas
from stages.common.files.arrow_tables import write_rows
from stages.summarize.__main__ import WORK
from stages.summarize.sections import provenance
from stages.summarize.tables.table import MEAN, Block, Row, Table

MOST = 3_000_000  # bytes
SIZE, SHOWN = 224, 6  # pixels of a side; radiographs of each variant and data set


def radiograph(seed: int) -> np.ndarray:
    """Two lungs between shoulders, with the noise of a detector (3 of 255 grey levels)."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    lungs = sum(np.exp(-((((columns - x) / 0.13) ** 2 + ((rows - 0.5) / 0.3) ** 2) ** 2)) for x in (0.3, 0.7))
    ribs = 12 * np.sin(40 * rows + 6 * columns)
    noise = np.random.default_rng(seed).normal(0, 3, (SIZE, SIZE))
    return np.clip(190 - 130 * lungs + ribs + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def published(tree):
    """A run that publishes radiographs of both data sets and of each evaluation that draws them."""
    region = np.zeros((SIZE, SIZE), bool)
    region[90:140, 60:110] = True
    pictures = [radiograph(seed) for seed in range(SHOWN)]
    for variant in tree.variants:
        coarse = np.random.default_rng(len(variant)).random((14, 14))
        heatmap = np.kron(coarse, np.ones((16, 16)))
        peak = [int(each) for each in np.unravel_index(heatmap.argmax(), heatmap.shape)]
        for dataset, finding in (("rsna", "lung_opacity"), ("siim", "pneumothorax")):
            rows = [{"image_id": f"{dataset}-{number}", "finding": finding, "pixels": picture.tobytes(),
                     "prompts": ["opacity"], "reading": "centred", "heatmap": heatmap.ravel().tolist(),
                     "content": encode(np.ones_like(region)), "region": encode(region), "peak": peak, "hit": True}
                    for number, picture in enumerate(pictures)]  # fmt: skip
            folder = tree.results / "phrase_grounding" / variant / dataset
            write_rows(folder / "samples.arrow", schemas.samples(SIZE), rows)
            place = f"few_shot_segmentation/{variant}/{dataset}/linear/10"
            tree.edit(f"{place}/result.json", stored_size=SIZE)
            rows = [{"image_id": f"{dataset}-{number}", "pixels": picture.tobytes(), "truth": encode(region),
                     "predicted": encode(np.roll(region, 9)), "dice": 0.5}
                    for number, picture in enumerate(pictures)]  # fmt: skip
            write_rows(tree.results / place / "samples.arrow", schemas.outlines(SIZE), rows)
    return tree


def test_a_page_with_sixty_radiographs_is_small(published, tmp_path):
    run_stage(WORK, published.arguments(tmp_path))
    page = (tmp_path / "report.html").read_bytes()
    assert page.count(b"<img") >= 60
    assert len(page) < MOST


def test_a_long_list_of_runs_shows_its_beginning_and_names_its_file(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "MOST_RUNS", 5)
    run_stage(WORK, tree.arguments(tmp_path))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    rows = (tmp_path / "tables/runs.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert f"The first 5 of {len(rows)} runs" in page
    last = page.partition('id="provenance"')[2].partition('aria-label="Runs"')[2].partition("</table>")[0]
    assert last.count('<th scope="row">') == 5


def test_a_long_table_shows_its_first_rows_and_every_mean():
    findings = [Row(f"finding {number}", {}, key=f"f{number}") for number in range(9)]
    measured = Block("measured", (*findings, Row("mean", {}, key=MEAN)))
    table = Table("t", "c", (), (measured, Block("quoted", (Row("of others", {}),))))
    assert [row.label for _, row in table.first_rows(2).rows()] == ["finding 0", "finding 1", "mean"]
    assert table.first_rows(99) == table
    assert (table.row_count, table.first_rows(2).row_count) == (11, 3)
