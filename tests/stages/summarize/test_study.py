"""A report of a study: figures over the axis, the table with the same numbers, and where there is none."""

import csv
import json
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

from stages.common.command_line import run_stage
from stages.pretrain.learning_curve import write_curve
from stages.summarize.__main__ import WORK
from stages.summarize.drawing import Style
from stages.summarize.sections.study import study_figure
from stages.summarize.tables.study import number
from stages.summarize.tables.table import Cell

SHARES = {"mlip": "1.0", "share_10": "0.1", "share_1": "0.01"}
STUDIES = {"mlip": 2727, "share_10": 254, "share_1": 29}


@pytest.fixture(scope="module")
def studied(build, tmp_path_factory):
    """Three shares with two seeds each, beside a random encoder; the figures mean nothing."""
    variants = ["share_1=0,1", "mlip=0,1", "share_10=0,1", "random"]
    tree = build(tmp_path_factory.mktemp("studied"), ["rsna"], variants)
    for variant, share in SHARES.items():
        for seed in range(2):
            place = f"pretrain/{variant}-seed{seed}"
            params = json.loads((tree.results / place / "journal.json").read_text())["params"]
            shared = {} if share == "1.0" else {"data_share": share}  # journals leave the default out
            tree.edit(f"{place}/journal.json", params=params | shared)
            write_curve(tree.results / place / "learning_curve.csv", [
                {"step": 20.0, "loss/total": 1.0, "data/studies": float(STUDIES[variant])}
            ])  # fmt: skip
    return tree


@pytest.fixture(scope="module")
def written(studied, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    run_stage(WORK, [*studied.arguments(folder), "--settings", "{study_axis: data_share}"])
    return folder


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return {row["variant"]: row for row in csv.DictReader(handle)}


def test_the_table_is_table_4_in_the_order_of_the_axis(written: Path) -> None:
    rows, table4 = (rows_of(written / "tables" / f"{name}_rsna.csv") for name in ("study", "table4"))
    assert [(row["variant"], row["value"]) for row in rows.values()] == [
        ("share_1 (2 seeds)", "0.01"), ("share_10 (2 seeds)", "0.1"), ("mlip (2 seeds)", "1"),
        ("random (untrained)", "untrained"),
    ]  # fmt: skip
    for variant, row in rows.items():
        for key in ("zero_shot_auc", "zero_shot_auc_low", "zero_shot_auc_spread", "linear_auc_10", "pointing_high"):
            assert row[key] == table4[variant][key], (variant, key)
    assert rows["share_1 (2 seeds)"]["zero_shot_auc_spread"]


def test_the_page_has_a_figure_per_measure_and_says_its_numbers(written: Path) -> None:
    html = (written / "report.html").read_text(encoding="utf-8")
    section = html.partition('<section id="study"')[2].partition("</section>")[0]
    found = re.findall(r'<img src="data:image/svg\+xml,([^"]*)" alt="([^"]*)"', section)
    table = rows_of(written / "tables/study_rsna.csv")
    assert len(found) >= 3
    svg, alt = unquote(unescape(found[0][0])), found[0][1]
    assert alt.startswith("zero-shot AUC on rsna over data_share: 0.01 .")
    first = float(table["share_1 (2 seeds)"]["zero_shot_auc"])
    assert f"0.01 {first:.3f}".replace("0.01 0.", "0.01 .") in alt
    for tick in ("0.01", "0.1", "1"):
        assert f">{tick}</text>" in svg
    assert "fill-opacity: 0.18" in svg  # the band
    assert re.search(r"random \.\d{3}", section)
    assert "study_mimic_cxr" not in re.sub(r'(?:href|aria-label)="[^"]*"', "", html)  # but in links to its files
    assert "Study. Figures on mimic_cxr by data_share" in section  # retrieval


def test_methods_and_curves_say_how_many_studies_were_used(written: Path) -> None:
    html = (written / "report.html").read_text(encoding="utf-8")
    assert "share_1 read those of 1 % of these patients (29 studies), drawn by a hash" in html
    assert "Pre-training used" not in html
    for studies in ("29", "254", "2,727"):
        assert f"loss on training batches of {studies} studies" in html


def test_without_an_axis_there_is_no_section_and_no_table(output: Path) -> None:
    assert 'id="study"' not in (output / "report.html").read_text(encoding="utf-8")
    assert not list((output / "tables").glob("study_*"))


def figure(*places: float, levels: bool = False) -> str:
    points = [(place, Cell(0.5, 0.4, 0.7)) for place in map(float, places)]
    level = {"random": Cell(0.5)} if levels else {}
    return study_figure(points, level, {"random": Style("#767676", "4 2")}, "local.rho", "AUC")


def ticks(svg: str) -> list[float]:
    """The place of each tick on the page, from left to right."""
    found = re.search(r'<g id="matplotlib.axis_1">(.*?)<g id="matplotlib.axis_2">', svg, re.DOTALL)
    assert found is not None
    return [float(each) for each in re.findall(r'x="([\d.]+)"[^>]*>[\d.]+</text>', found[1])]


def test_the_axis_is_logarithmic_where_values_span_more_than_a_decade() -> None:
    assert figure(0.03, 0.1, 0.3, 1) == figure(0.03, 0.1, 0.3, 1)
    small, mean, large = ticks(figure(0.01, 0.1, 1))
    assert large - mean == pytest.approx(mean - small, rel=1e-3)
    small, mean, large = ticks(figure(0.25, 0.5, 0.75))
    assert large - mean == pytest.approx(mean - small, rel=1e-3)
    small, mean, large = ticks(figure(0.1, 0.5, 1))
    assert (mean - small) / (large - small) == pytest.approx(4 / 9, rel=1e-3)


def test_zero_has_a_place_on_a_logarithmic_axis() -> None:
    places = ticks(figure(0, 0.03, 0.1, 0.3, 1))
    assert len(places) == 5
    assert places == sorted(places)


def test_a_variant_without_a_number_is_a_level_line() -> None:
    assert number("balanced") is None
    assert "stroke-dasharray" in figure(0.1, 1, levels=True)
    assert "stroke-dasharray" not in figure(0.1, 1)
