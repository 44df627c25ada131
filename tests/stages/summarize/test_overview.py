"""The first screen: figures of the stages' own records beside their rivals, and what a run lacks."""

import json
from dataclasses import replace

import pytest

from stages.common.records import read_record
from stages.retrieval.contract import RetrievalResult
from stages.summarize.contract import SummarizeSettings
from stages.summarize.inputs import read_inputs
from stages.summarize.ledger import read_ledger
from stages.summarize.provenance import read_provenance
from stages.summarize.sections.overview import key_figures, not_measured, overview_names, trained_on
from stages.summarize.sections.report import Report
from stages.summarize.tables.all_tables import paper_tables
from stages.summarize.tables.comparisons import Comparisons


def report_of(layout):
    read, provenance = read_inputs(layout), read_provenance(layout)
    tables = paper_tables(read, Comparisons(20, 0), [], provenance.synthetic)
    return Report(SummarizeSettings(), read, read_ledger(read), provenance, tables, [], {})


@pytest.fixture(scope="module")
def report(built):
    return report_of(built.layout)


def numbers(estimate):
    return estimate["value"], estimate["low"], estimate["high"]


def shown(figures, task, dataset):
    (found,) = [each for each in figures if (each.task, each.where.split(",")[0]) == (task, dataset)]
    return found


def test_each_figure_is_that_of_its_record(built, report):
    def record(place):
        return json.loads((built.results / place / "result.json").read_text())

    figures = key_figures(report, "mlip")
    assert len(figures) == 4 * 2 + 1  # of two data sets each, and retrieval
    for dataset, share in (("rsna", 1), ("siim", 10)):  # one percent of siim teaches nothing
        own, other = (record(f"zero_shot_classification/{each}/{dataset}")["metrics"]["auc"] for each in built.variants)
        found = shown(figures, "Zero-shot AUC", dataset)
        assert (found.figure.value, found.figure.low, found.figure.high) == numbers(own)
        assert (found.rival, found.level.value, found.level.high) == ("random encoder", other["value"], other["high"])
        found = shown(figures, "Few-shot AUC", dataset)
        own = record(f"few_shot_classification/mlip/{dataset}/linear/{share}")["metrics"]["auc"]
        assert f"{share} % of labels" in found.where
        assert (found.figure.value, found.figure.spread) == (own["value"], None)
        found = shown(figures, "Segmentation Dice", dataset)
        own = record(f"few_shot_segmentation/mlip/{dataset}/linear/10")["metrics"]
        assert (found.figure.value, found.level.value) == (own["dice"]["value"], own["predict_nothing"]["value"])
        found = shown(figures, "Pointing hits", dataset)
        game = next(iter(built.only(f"phrase_grounding/mlip/{dataset}/result.json")["pointing"].values()))
        rivals = {
            name: game[name]["value"] for name in game if game[name] and not name.startswith(("heatmap", "super"))
        }
        best = max(value for name, value in rivals.items() if not name.endswith("in_lung") or name == "random_in_lung")
        assert (found.figure.value, found.level.value) == (game["heatmap"]["value"], best)
    found = shown(figures, "Retrieval recall@10", "mimic_cxr")
    measured = read_record(built.results / "retrieval/mlip/result.json", RetrievalResult).figures
    own = measured.directions["image_to_report"].recall[10]
    assert (found.figure.value, found.rival, found.level.value) == (own.value, "chance", own.chance)


def test_without_an_untrained_encoder_the_rival_is_chance(built):
    figures = key_figures(report_of(replace(built.layout, variants=("mlip",))), "mlip")
    assert {(each.rival, each.level.value) for each in figures if "AUC" in each.task} == {("chance", 0.5)}


def test_without_labels_retrieval_is_left_and_the_rest_is_said(built):
    bare = report_of(replace(built.layout, evaluate_on=(), few_shot_jobs=(), segmentation_jobs=(), not_measured={}))
    assert [each.task for each in key_figures(bare, "mlip")] == ["Retrieval recall@10"]
    assert not_measured(bare) == ["classification, segmentation and grounding (no labelled data set)"]


def test_an_image_encoder_lacks_what_needs_text(built):
    images = report_of(replace(built.layout, image_only=("random",)))
    figures = key_figures(images, "random")
    assert {each.task for each in figures} == {"Few-shot AUC", "Segmentation Dice"}
    assert "zero-shot, grounding and retrieval of random (no text)" in not_measured(images)
    assert key_figures(images, "mlip")[0].rival == "chance"  # a ready-made encoder is no random one


def test_what_was_trained_is_told(report):
    part = report.inputs.pairs.audit.splits["train"]
    told = trained_on(report, "mlip")
    assert told.startswith(f"{part.pairs:,} pairs of radiograph and report, {part.patients:,} patients, of mimic_cxr; ")
    assert told.endswith(" epochs; one training")
    assert trained_on(report, "random").startswith("nothing")


def test_an_alarm_and_what_is_left_out_stand_on_the_first_screen(tree):
    tree.edit("pretrain/mlip/journal.json", tags={"alarm_not_learned": "it has not learned"})
    names = overview_names(report_of(tree.layout))
    assert "pretrain mlip: it has not learned" in names["warnings"]
    assert any("pre-training saw images of an evaluation" in each for each in names["warnings"])
    assert names["not_measured"] == ["multi-class classification on siim (fewer than two findings)"]


def test_an_overlap_stands_beside_its_figure(tree):
    for variant in tree.variants:
        place = f"zero_shot_classification/{variant}/rsna/result.json"
        overlap = json.loads((tree.results / place).read_text())["overlap"]
        tree.edit(place, overlap=overlap | {"test_patients_in_pretraining": 7})
    found = shown(key_figures(report_of(tree.layout), "mlip"), "Zero-shot AUC", "rsna")
    assert found.notes == ("test patients in pretraining: 7",)
