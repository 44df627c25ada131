"""The first screen: figures of the stages' own records beside their rivals, and what a run lacks."""

import json
import re
from dataclasses import replace

import pytest

from stages.common.records import read_record
from stages.retrieval.contract import RetrievalResult
from stages.summarize.contract import SummarizeSettings
from stages.summarize.inputs import read_inputs
from stages.summarize.ledger import read_ledger
from stages.summarize.numbers import decimal
from stages.summarize.provenance import read_provenance
from stages.summarize.sections.overview import (
    TASKS,
    first_of_each_dataset,
    key_figures,
    not_measured,
    overview_names,
    trained_on,
)
from stages.summarize.sections.report import Report
from stages.summarize.tables.ablation import headlines
from stages.summarize.tables.all_tables import headline, paper_tables
from stages.summarize.tables.comparisons import Comparisons

UNTRAINED = "random (untrained)"
RIVALS_INSIDE = (  # what a heatmap with its peak inside the lungs has to beat
    *("random_in_lung", "random_in_content", "fixed_peak_of_training", "word_prior"),
    *("brightness_in_lung", "random_encoders_in_lung"),
)


def report_of(layout):
    read, provenance = read_inputs(layout), read_provenance(layout)
    comparisons = Comparisons(20, 0)
    tables = paper_tables(read, comparisons, [], provenance.synthetic)
    figures = headlines(read, comparisons)
    return Report(SummarizeSettings(), read, read_ledger(read), provenance, tables, figures, [], {})


@pytest.fixture(scope="module")
def report(built):
    return report_of(built.layout)


def figures_of(report, variant="mlip"):
    return [each for own in key_figures(report, variant).values() for each in own]


def numbers(estimate):
    return estimate["value"], estimate["low"], estimate["high"]


def shown(figures, measure, dataset):
    (found,) = [each for each in figures if (each.measure, each.dataset) == (measure, dataset)]
    return found


def test_each_figure_is_that_of_its_record(built, report):
    def record(place):
        return json.loads((built.results / place / "result.json").read_text())

    figures = figures_of(report)
    assert len(figures) == 4 * 2 + 2  # of two data sets each, and both directions of retrieval
    for dataset, marked in (("rsna", ""), ("siim", " (changed)")):
        own, other = (record(f"zero_shot_classification/{each}/{dataset}")["metrics"]["auc"] for each in built.variants)
        found = shown(figures, "Zero-shot AUC", dataset)
        assert (found.figure.value, found.figure.low, found.figure.high) == numbers(own)
        assert (found.rival, found.level.value, found.level.high) == (UNTRAINED, other["value"], other["high"])
        found = shown(figures, f"Few-shot AUC, linear{marked}, 10 %", dataset)
        own = record(f"few_shot_classification/mlip/{dataset}/linear/10")["metrics"]["auc"]
        assert (found.figure.value, found.figure.spread) == (own["value"], None)
        found = shown(figures, "Dice of positives, linear (changed), 10 %", dataset)
        own, other = (record(f"few_shot_segmentation/{each}/{dataset}/linear/10")["metrics"] for each in built.variants)
        assert found.figure.value == own["dice_of_positives"]["value"]
        assert (found.rival, found.level.value) == (UNTRAINED, other["dice_of_positives"]["value"])
        found = shown(figures, "Hits of the heatmap, inside the lungs", dataset)
        game = next(iter(built.only(f"phrase_grounding/mlip/{dataset}/result.json")["pointing"].values()))
        rivals = [game[name]["value"] for name in RIVALS_INSIDE if game.get(name)]
        assert (found.figure.value, found.level.value) == (game["heatmap_in_lung"]["value"], max(rivals))
    for direction in ("image_to_report", "report_to_image"):
        found = shown(figures, f"Recall@5, {direction.replace('_', ' ')}", "mimic_cxr")
        own, other = (
            read_record(built.results / f"retrieval/{each}/result.json", RetrievalResult).figures.directions[direction]
            for each in built.variants
        )
        rivals = {UNTRAINED: other.recall[5].value, "chance": own.recall[5].chance}
        assert found.figure.value == own.recall[5].value
        assert (found.rival, found.level.value) == max(rivals.items(), key=lambda rival: rival[1])


def test_the_first_screen_has_two_figures_of_each_task_and_says_whether_there_are_more(report):
    names = overview_names(report)
    assert names["figures"] == figures_of(report)
    assert not names["more"]
    assert [each.task for each in names["figures"]] == [task for task in TASKS for _ in range(2)]
    twice = overview_names(replace(report, headlines=[*report.headlines, *report.headlines]))
    assert len(twice["figures"]) == len(names["figures"])
    assert twice["more"]


def test_of_several_protocols_the_first_screen_has_one_of_each_data_set(report):
    one, other = figures_of(report)[:2]
    assert one.dataset != other.dataset
    both = [one, replace(one, measure="finetune"), other, replace(other, measure="finetune")]
    assert first_of_each_dataset(both) == [both[0], both[2], both[1], both[3]]


def test_a_skipped_job_is_said_not_to_be_measured(tree):
    for variant in tree.variants:
        place = f"few_shot_classification/{variant}/rsna/linear/10/result.json"
        tree.edit_only(place, metrics={})
        tree.edit(place, skipped="no positives", seeds=[], metrics={})
    assert "few-shot AUC, linear, 10 % on rsna (no positives)" in not_measured(report_of(tree.layout))


def test_the_first_screen_and_the_terminal_show_the_same_figures(report):
    said = headline("t", report.inputs, report.headlines, [])
    for each in figures_of(report):
        row = re.search(rf"^ +{each.dataset} +{re.escape(each.measure)} +(\S+) ", said, re.I | re.M)
        assert row[1] == decimal(each.figure.value)


def test_without_an_untrained_encoder_the_rival_is_chance(built):
    figures = figures_of(report_of(replace(built.layout, variants=("mlip",))))
    assert {(each.rival, each.level.value) for each in figures if "AUC" in each.measure} == {("chance", 0.5)}
    assert {(each.rival, each.level.value) for each in figures if "Dice" in each.measure} == {
        ("predicting nothing", 0.0)
    }


def test_without_labels_retrieval_is_left_and_the_rest_is_said(built):
    bare = report_of(replace(built.layout, evaluate_on=(), few_shot_jobs=(), segmentation_jobs=(), not_measured={}))
    assert {each.task for each in figures_of(bare)} == {"retrieval"}
    assert not_measured(bare) == ["classification, segmentation and grounding (no labelled data set)"]


def test_an_image_encoder_lacks_what_needs_text(built):
    images = report_of(replace(built.layout, image_only=("random",)))
    figures = figures_of(images, "random")
    assert {each.task for each in figures} == {"few_shot", "segmentation"}
    assert "zero-shot, grounding and retrieval of random (no text)" in not_measured(images)
    assert figures_of(images)[0].rival == "chance"  # a ready-made encoder is no random one


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


@pytest.mark.parametrize(
    ("place", "measure"),
    [
        ("zero_shot_classification/{}/rsna", "Zero-shot AUC"),
        ("few_shot_classification/{}/rsna/linear/10", "Few-shot AUC, linear, 10 %"),
    ],
)
def test_an_overlap_stands_beside_its_figure(tree, place, measure):
    for variant in tree.variants:
        result = f"{place.format(variant)}/result.json"
        overlap = json.loads((tree.results / result).read_text())["overlap"]
        tree.edit(result, overlap=overlap | {"test_patients_in_pretraining": 7})
    found = shown(figures_of(report_of(tree.layout)), measure, "rsna")
    assert found.notes == ("test patients in pretraining: 7",)
