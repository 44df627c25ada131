"""Operating points and subgroups: planted effects, an independent bootstrap, groups too small, images by seed."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from one_shard_store import write_one_shard
from scipy.stats import beta
from sklearn.metrics import recall_score, roc_auc_score

from stages.common.data.label_matrix import label_matrix
from stages.common.errors import InputError
from stages.common.metrics.ranking import draw_weights
from stages.common.records import OUTCOMES, Estimate
from stages.common.settings import validating
from stages.zero_shot_classification.contract import (
    Calibration,
    FindingResult,
    Reliability,
    ReliabilityBin,
    Subgroup,
    ZeroShotSettings,
)
from stages.zero_shot_classification.evaluation import evaluate
from stages.zero_shot_classification.judgements import groups_of, judge, judged_rows, net_benefit
from stages.zero_shot_classification.operating_points import Chosen, net_benefits

COUNT = 900
ONE = Estimate(value=1, low=1, high=1)


def table(seed: int = 0) -> pl.DataFrame:
    """Two images a patient; sex, age and view are of the patient, and the score is chosen by the test."""
    generator, patients = np.random.default_rng(seed), np.arange(COUNT) // 2
    return pl.DataFrame(
        {
            "image_id": [f"i{number}" for number in range(COUNT)],
            "patient_id": [f"p{patient}" for patient in patients],
            "finding": "opacity",
            "target": generator.integers(0, 2, COUNT),
            "split": np.where(patients % 3 == 0, "validation", "test"),
            "subset": 100,
            "sex": [("female", "male", None)[patient % 5 // 2] for patient in patients],
            "age": [float(20 + patient % 71) for patient in patients],  # 20 to 90
            "view": ["LATERAL" if patient in (1, 2) else "PA" for patient in patients],
        }
    )


def judged(rows: pl.DataFrame, scores: np.ndarray, draws: int = 200, **settings: object) -> FindingResult:
    asked = ZeroShotSettings(draws=draws, **settings)
    return evaluate(label_matrix(rows), {"opacity": {"one": scores}}, asked).findings["opacity"]


def noise(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=COUNT)


def test_a_planted_difference_of_the_sexes_is_found_and_every_group_is_listed_once() -> None:
    rows = table()
    is_female = (rows["sex"] == "female").fill_null(False).to_numpy()
    scores = noise() + 2.5 * rows["target"].to_numpy() * is_female
    found = {(each.attribute, each.value): each for each in judged(rows, scores).subgroups}
    female, male = found["sex", "female"], found["sex", "male"]
    assert female.auc.low > 0.9
    assert male.auc.low < 0.5 < male.auc.high
    test = (rows["split"] == "test").to_numpy()
    of_female = test & is_female
    assert female.auc.value == pytest.approx(roc_auc_score(rows["target"].to_numpy()[of_female], scores[of_female]))
    positives = rows["target"].to_numpy()[of_female].sum()
    assert (female.positives, female.negatives) == (positives, of_female.sum() - positives)
    for attribute in ("sex", "age"):
        own = [each for each in found.values() if each.attribute == attribute]
        assert sum(each.positives + each.negatives for each in own) == test.sum()
    assert found["sex", "not stated"].auc is not None
    assert [value for attribute, value in found if attribute == "age"] == [
        "18 to 39",
        "40 to 59",
        "60 to 79",
        "80 and over",
    ]


def test_a_group_too_small_tells_no_number_below_five() -> None:
    rows = table()
    lateral = next(each for each in judged(rows, noise()).subgroups if each.value == "LATERAL")
    assert (lateral.auc, lateral.sensitivity, lateral.specificity) == (None, None, None)
    assert (lateral.positives, lateral.negatives) == (None, None)  # of the 4 images of two patients
    assert lateral.not_measured == "fewer than 5 positives and fewer than 5 negatives"
    first = pl.arange(0, COUNT) < 12  # six patients, four of them of the test split
    rows = rows.with_columns(view=pl.when(first).then(pl.lit("LATERAL")).otherwise("view"),
                             target=pl.when(first).then(1).otherwise("target"))  # fmt: skip
    positive = next(each for each in judged(rows, noise()).subgroups if each.value == "LATERAL")
    assert (positive.positives, positive.negatives) == (8, None)
    assert positive.not_measured == "fewer than 5 negatives"
    with pytest.raises(ValueError, match="positives"):
        Subgroup(attribute="sex", value="male", positives=4, negatives=9)


def test_a_rate_of_one_or_zero_has_the_interval_of_clopper_and_pearson_over_patients() -> None:
    """6 of 6: the lower end p solves p ** 6 = 0.025; images of one patient count once."""
    targets = np.repeat([1, 0], [12, 8])
    patients = np.append(np.arange(12) // 2, 6 + np.arange(8))
    scores = np.append(np.ones(12), np.arange(8) % 2)
    points = {"youden": Chosen(0.5, 1.0, 0.5), "specificity_90": Chosen(2.0, 0.0, 1.0)}
    found, _ = judge(scores, targets, points, [], draw_weights(patients, 300, 0), patients)
    rates = found["youden"].rates
    assert rates["sensitivity"].low == pytest.approx(0.5407, abs=5e-5)
    assert rates["sensitivity"].low == pytest.approx(beta.ppf(0.025, 6, 1))
    assert rates["sensitivity"].high == 1
    assert rates["npv"].low == pytest.approx(beta.ppf(0.025, 4, 1))  # 4 patients
    assert 0 < rates["specificity"].low < 0.5 < rates["specificity"].high < 1  # of the draws
    none = found["specificity_90"].rates
    assert (none["sensitivity"].low, none["sensitivity"].high) == (0, pytest.approx(beta.ppf(0.975, 1, 6)))
    assert none["ppv"] is None


def test_the_gain_is_that_of_every_draw_over_the_better_reference() -> None:
    generator = np.random.default_rng(5)
    targets = generator.integers(0, 2, 60)
    scores = targets + generator.normal(size=60)
    weights = draw_weights(np.arange(60) // 2, 40, 3)
    after = Reliability(calibration_error=1.0, brier=ONE, bins=[ReliabilityBin(images=0, probability=None,
                        positives=None)])  # fmt: skip
    calibration = Calibration(method="platt", temperature=1, slope=1.5, bias=-0.7, before=after, after=after)
    found = net_benefit(calibration, scores, targets, weights)
    probabilities, place = 1 / (1 + np.exp(0.7 - 1.5 * scores)), found.thresholds.index(0.31)
    gains = []
    for row in weights:
        own = np.repeat(np.arange(60), row.astype(int))
        model, treat_all = net_benefits(probabilities[own], targets[own], np.array([0.31]), np.ones((1, len(own))))
        gains.append(model[0, 0] - max(treat_all[0, 0], 0))
    gain = found.gain[place]
    assert [gain.low, gain.high] == pytest.approx(np.percentile(gains, [2.5, 97.5]))


def test_what_no_image_states_makes_no_group() -> None:
    rows = table().with_columns(sex=pl.lit(None, pl.String), age=pl.lit(None, pl.Float64)).drop("view")
    whole = evaluate(label_matrix(rows), {"opacity": {"one": noise()}}, ZeroShotSettings(draws=20))
    assert whole.findings["opacity"].subgroups == []
    assert whole.stated == {"sex": 0, "age": 0, "view": 0}


def test_intervals_are_those_of_a_loop_over_patients_drawn_with_replacement() -> None:
    rows, draws = table(), 60
    scores = noise() + rows["target"].to_numpy()
    result = judged(rows, scores, draws)
    test = rows["split"] == "test"
    targets, own = rows["target"].to_numpy()[test.to_numpy()], scores[test.to_numpy()]
    patients, sexes = rows.filter(test)["patient_id"].to_numpy(), rows.filter(test)["sex"].to_list()
    names = np.unique(patients)
    counts = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    is_male = np.array([sex == "male" for sex in sexes])
    drawn: dict[str, list[float]] = {"sensitivity": [], "specificity": [], "male": []}
    threshold = result.operating_points["youden"].threshold
    for row in counts:
        places = np.concatenate([np.repeat(np.flatnonzero(patients == name), times)
                                 for name, times in zip(names, row, strict=True)])  # fmt: skip
        predicted, truth = own[places] >= threshold, targets[places]
        drawn["sensitivity"].append(recall_score(truth, predicted))
        drawn["specificity"].append(recall_score(truth, predicted, pos_label=0))
        men = places[is_male[places]]
        drawn["male"].append(roc_auc_score(targets[men], own[men]))
    male = next(each for each in result.subgroups if each.value == "male")
    rates = result.operating_points["youden"].rates
    for name, figure in (("sensitivity", rates["sensitivity"]), ("specificity", rates["specificity"]),
                         ("male", male.auc)):  # fmt: skip
        assert [figure.low, figure.high] == pytest.approx(np.percentile(drawn[name], [2.5, 97.5]))


def test_thresholds_are_of_validation_alone() -> None:
    rows, scores = table(), noise() + table()["target"].to_numpy()
    one = judged(rows, scores).operating_points
    test = (rows["split"] == "test").to_numpy()
    other = judged(rows, np.where(test, scores - 7, scores)).operating_points
    assert {name: each.threshold for name, each in one.items()} == {
        name: each.threshold for name, each in other.items()
    }
    assert one["sensitivity_90"].validation_sensitivity >= 0.9
    assert one["specificity_90"].validation_specificity >= 0.9
    assert other["youden"].rates["sensitivity"].value < one["youden"].rates["sensitivity"].value


def test_a_decision_curve_needs_probabilities() -> None:
    with pytest.raises(InputError) as refused, validating("config.yaml", ZeroShotSettings):
        ZeroShotSettings.model_validate({"decision_curve": True})
    assert "decision_curve needs probabilities, and scores are none: set calibration" in str(refused.value)
    rows = table()
    scores = noise() + 2 * rows["target"].to_numpy()
    assert judged(rows, scores).net_benefit is None
    found = judged(rows, scores, calibration="platt", decision_curve=True).net_benefit
    middle = found.thresholds.index(0.49)
    assert found.gain[middle].low > 0
    assert found.gain[middle].value == found.model[middle].value - max(0, found.treat_all[middle].value)


def test_age_bands_ascend() -> None:
    for bands in ([40, 18], [18, 18], [91], []):
        with pytest.raises(InputError), validating("config.yaml", ZeroShotSettings):
            ZeroShotSettings.model_validate({"age_bands": bands})


def test_groups_of_an_attribute_hold_every_image_once() -> None:
    groups = groups_of(table(), [30, 60])
    for attribute in ("sex", "age", "view"):
        assert (np.sum([each.members for each in groups if each.attribute == attribute], axis=0) == 1).all()


def test_images_are_drawn_by_seed_from_the_cell_of_the_confusion_that_they_show(tmp_path: Path) -> None:
    rows = table()
    scores = noise() + rows["target"].to_numpy()
    result = judged(rows, scores)
    pixels = [{"image_id": each, "pixels": bytes([number % 256]) * 16} for number, each in enumerate(rows["image_id"])]
    store = write_one_shard(tmp_path, "set", 4, pixels)
    settings = ZeroShotSettings(publish_samples=True, samples=3)
    size, shown = judged_rows(label_matrix(rows), {"opacity": scores}, {"opacity": result}, store, settings)
    again = judged_rows(label_matrix(rows), {"opacity": scores}, {"opacity": result}, store, settings)[1]
    assert size == 4
    assert shown == again
    assert [each["outcome"] for each in shown] == [name for name in OUTCOMES for _ in range(3)]
    point = result.operating_points["youden"]
    by_id = {each["image_id"]: each for each in rows.with_columns(score=pl.Series(scores)).to_dicts()}
    for each in shown:
        image = by_id[each["image_id"]]
        assert image["split"] == "test"
        was, called = each["outcome"].split("_")
        assert (image["score"] >= point.threshold) == (called == "positive")
        assert (image["target"] == 1) == ((was == "true") == (called == "positive"))
        assert each["pixels"] == bytes([int(image["image_id"][1:]) % 256]) * 16
    other = judged_rows(label_matrix(rows), {"opacity": scores}, {"opacity": result}, store,
                        settings.model_copy(update={"seed": 1}))[1]  # fmt: skip
    assert [each["image_id"] for each in other] != [each["image_id"] for each in shown]
