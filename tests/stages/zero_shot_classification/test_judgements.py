"""Operating points and subgroups: planted effects, an independent bootstrap, groups too small, images by seed."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from one_shard_store import write_one_shard
from sklearn.metrics import recall_score, roc_auc_score

from stages.common.data.label_matrix import label_matrix
from stages.common.errors import InputError
from stages.common.settings import validating
from stages.zero_shot_classification.contract import FindingResult, ZeroShotSettings
from stages.zero_shot_classification.evaluation import Asked, Probabilities, evaluate
from stages.zero_shot_classification.judgements import OUTCOMES, groups_of, judged_rows

COUNT = 900


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


def judged(rows: pl.DataFrame, scores: np.ndarray, draws: int = 200, asked: Asked | None = None) -> FindingResult:
    return evaluate(label_matrix(rows), {"opacity": {"one": scores}}, draws, 0, asked=asked or Asked()).findings[
        "opacity"
    ]


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
    assert (female.images, female.positives) == (of_female.sum(), rows["target"].to_numpy()[of_female].sum())
    for attribute in ("sex", "age", "view"):
        own = [each for each in found.values() if each.attribute == attribute]
        assert sum(each.images for each in own) == test.sum()
    assert found["sex", "not stated"].auc is not None
    assert [value for attribute, value in found if attribute == "age"] == [
        "18 to 39",
        "40 to 59",
        "60 to 79",
        "80 and over",
    ]


def test_a_group_too_small_keeps_its_counts_and_says_why() -> None:
    rows = table()
    lateral = next(each for each in judged(rows, noise()).subgroups if each.value == "LATERAL")
    assert lateral.images == 4  # two patients of the test part
    assert (lateral.auc, lateral.sensitivity, lateral.specificity) == (None, None, None)
    assert f"{lateral.positives} positive and {4 - lateral.positives} negative images" in lateral.not_measured


def test_what_no_image_states_makes_no_group() -> None:
    rows = table().with_columns(sex=pl.lit(None, pl.String), age=pl.lit(None, pl.Float64)).drop("view")
    whole = evaluate(label_matrix(rows), {"opacity": {"one": noise()}}, 20, 0)
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
    found = judged(rows, scores, asked=Asked(Probabilities("platt", 1.0), decision_curve=True)).net_benefit
    middle = found.acting_at.index(0.49)
    assert found.model[middle].low > max(0, found.everyone[middle].value)


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
        assert (image["score"] >= point.threshold, image["target"]) == OUTCOMES[each["outcome"]]
        assert each["pixels"] == bytes([int(image["image_id"][1:]) % 256]) * 16
    other = judged_rows(label_matrix(rows), {"opacity": scores}, {"opacity": result}, store,
                        settings.model_copy(update={"seed": 1}))[1]  # fmt: skip
    assert [each["image_id"] for each in other] != [each["image_id"] for each in shown]
