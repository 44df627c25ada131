"""Operating points, subgroups, radiographs and checklists: curves against scikit-learn, tables, the page, the files."""

import csv
import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.metrics import precision_recall_curve as scikit_learns

from stages.common.files.atomic_files import write_text
from stages.common.metrics.ranking import precision_recall_curve
from stages.common.records import Estimate
from stages.common.replicates import Replicate
from stages.summarize.contract import HEADLINE, SummarizeSettings
from stages.summarize.inputs import read_inputs
from stages.summarize.ledger import read_ledger
from stages.summarize.provenance import read_provenance
from stages.summarize.sections.judgements import useful_range
from stages.summarize.sections.overview import overview_names
from stages.summarize.sections.report import Report
from stages.summarize.tables.ablation import headlines
from stages.summarize.tables.all_tables import headline
from stages.summarize.tables.checklist_answers import ANSWERS, CHECKLISTS, Facts, answered
from stages.summarize.tables.comparisons import Comparisons
from stages.summarize.tables.operating_points import operating_points_tables, subgroups_tables
from stages.zero_shot_classification.contract import NetBenefit
from workflow.invocation import last_words


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_of_precision_and_recall_is_scikit_learns(seed: int) -> None:
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, 2, 80)
    scores = np.round(targets + generator.normal(size=80), 1)
    recall, precision = precision_recall_curve(scores, targets)
    theirs, recalls, _ = scikit_learns(targets, scores)
    np.testing.assert_allclose(recall[1:], recalls[:-1][::-1])
    np.testing.assert_allclose(precision[1:], theirs[:-1][::-1])
    area = (np.diff(recall) * precision[1:]).sum()  # as it is drawn, in steps
    assert area == pytest.approx(average_precision_score(targets, scores))


def test_the_useful_range_is_the_longest_run_of_gains_above_nothing() -> None:
    def estimates(*lows: float) -> list[Estimate]:
        return [Estimate(value=low + 0.1, low=low, high=low + 0.2) for low in lows]

    same = estimates(*[0.0] * 5)
    found = NetBenefit(thresholds=[0.1, 0.2, 0.3, 0.4, 0.5], model=same, treat_all=same,
                       gain=estimates(0.3, 0.0, 0.2, 0.1, -0.1))  # fmt: skip
    assert useful_range(found) == (0.3, 0.4)
    assert useful_range(found.model_copy(update={"gain": estimates(*[-0.05] * 5)})) is None


def test_tables_hold_the_described_variant_with_counts_that_sum_to_the_test_images(read) -> None:
    inputs = read
    points, groups = operating_points_tables(inputs), subgroups_tables(inputs)
    assert [table.name for table in points] == ["operating_points_rsna", "operating_points_siim"]
    assert [table.name for table in groups] == ["subgroups_rsna"]  # siim states nothing
    test = next(each for each in inputs.zero_shot if each.dataset == "rsna").result
    for _, row in points[0].rows():
        assert sum(map(int, row.cells["confusion"].text.split(" / "))) == test.test_images
    rows = [row for _, row in groups[0].rows()]
    assert [row.label for row in rows] == ["all test images", "female", "male", "not stated", "18 to 39", "40 to 59",
                                           "80 and over", "LATERAL", "PA"]  # fmt: skip
    lateral = next(row for row in rows if row.label == "LATERAL")
    assert lateral.cells["auc"].text == "too few"
    assert lateral.cells["positives"].text == "fewer than 5"


def test_one_variant_is_described_everywhere_the_first_that_was_trained(build, tmp_path) -> None:
    layout = build(tmp_path / "run", ["rsna"], ["random", "mlip"]).layout
    inputs, provenance = read_inputs(layout), read_provenance(layout)
    assert inputs.described == "mlip"
    tables = operating_points_tables(inputs)
    assert [table.caption.split(" in rsna")[0] for table in tables] == ["Operating points of mlip"]
    items = answered(Facts(inputs, provenance, read_ledger(inputs)))["CLAIM 2024"]
    assert next(each.answer.text for each in items if each.item.number == "37").startswith("zero-shot AUC of mlip on")
    report = Report(SummarizeSettings(), inputs, read_ledger(inputs), provenance, [], [], [], {})
    assert overview_names(report)["described"] == "mlip"
    write_text(tmp_path / "tables" / HEADLINE, headline("MLIP", inputs, headlines(inputs, Comparisons(20, 0)), []))
    config = SimpleNamespace(workspace="runs/demo", compared=[Replicate("random")], evaluate_on=[])
    assert last_words(config, tmp_path / "report.html").endswith("/select_checkpoint/mlip/checkpoint")


def test_numbers_of_the_checklists_are_theirs_and_every_answer_is_known() -> None:
    claim, tripod = ([item.number for item in CHECKLISTS[name]] for name in ("CLAIM 2024", "TRIPOD+AI"))
    assert claim == [str(number) for number in range(1, 45)]
    assert len(tripod) == 52
    assert list(dict.fromkeys(int(re.match(r"\d+", each)[0]) for each in tripod)) == list(range(1, 28))
    parts = Counter(re.match(r"\d+", each)[0] for each in tripod)
    assert {number: count for number, count in parts.items() if count > 1} == {
        "3": 3, "5": 2, "6": 3, "8": 3, "9": 3, "12": 7, "18": 6, "20": 3, "23": 2, "27": 3}  # fmt: skip
    used = {item.answer for items in CHECKLISTS.values() for item in items} - {""}
    assert used == ANSWERS.keys()
    assert all(item.answer or item.authors for items in CHECKLISTS.values() for item in items)


def test_the_page_shows_them_and_links_of_the_checklists_lead_somewhere(output) -> None:
    html = (output / "report.html").read_text()
    anchors = set(re.findall(r'id="([^"]+)"', html))
    links = set(re.findall(r'<a href="#([^"]+)"', html))
    assert links <= anchors
    assert {"operating-points", "subgroups", "judged-images", "checklist"} <= anchors
    assert "siim: not measured, for no test image states sex, age or view" in html
    assert "siim: radiographs are not published: zero_shot_classification.publish_samples is false" in html
    assert html.count('<img src="data:image/jpeg;base64,') == 8  # two of each kind, of rsna alone
    assert "Net benefit" in html


def test_files_hold_every_variant_and_the_checklist_can_be_filled_in(output) -> None:
    tables = output / "tables"
    rows = list(csv.DictReader((tables / "operating_points.csv").read_text().splitlines()))
    assert {row["point"] for row in rows} == {"sensitivity_90", "specificity_90", "youden"}
    assert {row["variant"] for row in rows} > {"mlip"}
    for row in rows:
        positives = int(row["true_positives"]) + int(row["false_negatives"])
        assert positives == int(row["test_positives"])
        assert float(row["sensitivity"]) == pytest.approx(int(row["true_positives"]) / positives)
    lines = (tables / "checklist.md").read_text().splitlines()
    assert sum(line.startswith("| 12e |") for line in lines) == 1
    assert sum(bool(re.match(r"\| \d+[a-g]? \|", line)) for line in lines) == 44 + 52
