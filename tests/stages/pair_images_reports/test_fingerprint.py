"""The fingerprint against counts by hand, numpy and the folding of pre-training; only the training split enters."""

import json
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.common.data.image_store import ImageStore
from stages.common.data.patient_split import PatientSplit, split_of
from stages.pair_images_reports.fingerprint import Intensity, count_intensity, distribution, folded
from stages.pretrain.batches import normalised

HALVES = {"validation": 0.3, "test": 0.2}


def images_of(image, count: int) -> list[dict]:
    boxes = [(0, 0, 4, 4), (1, 0, 2, 4), (0, 1, 4, 3), (0, 0, 4, 1)]
    views = ["PA", "AP", None]
    return [
        image(f"i{n}", f"s{n}", f"p{n}", view=views[n % 3], box=boxes[n % 4]) for n in range(count)
    ]  # fmt: skip


def fingerprint(tmp_path) -> dict:
    return json.loads((tmp_path / "fingerprint.json").read_text())


def split_by_hand(images: list[dict]) -> dict[str, list[dict]]:
    settings = PatientSplit.model_validate(HALVES)
    return {
        part: [each for each in images if split_of(each["patient_id"], settings) == part]
        for part in ("train", "validation", "test")
    }


def content(pixels_of, given: dict) -> np.ndarray:
    x, y, width, height = given["box"]
    return np.frombuffer(pixels_of(given), np.uint8).reshape(4, 4)[y : y + height, x : x + width].ravel()


def test_mean_and_deviation_are_those_of_the_training_pixels_inside_their_boxes(paired, image, pixels_of, tmp_path):
    images = images_of(image, 60)
    paired(images, {f"s{n}": [f"Report {n}."] for n in range(60)}, **HALVES)
    parts, found = split_by_hand(images), fingerprint(tmp_path)["intensity"]
    grey = np.concatenate([content(pixels_of, each) for each in parts["train"]]).astype(np.float64) / 255
    everyone = np.concatenate([content(pixels_of, each) for each in images]).astype(np.float64) / 255
    assert found["images"] == len(parts["train"]) < 60
    assert found["pixels"] == len(grey) == sum(found["histogram"])
    assert found["mean"] == pytest.approx(grey.mean(), rel=1e-14)
    assert found["standard_deviation"] == pytest.approx(grey.std(), rel=1e-14)
    assert abs(found["mean"] - everyone.mean()) > 1e-3  # so that the test would see a validation image


def test_no_image_of_validation_or_test_enters(paired, image, tmp_path):
    images = images_of(image, 40)
    reports = {f"s{n}": [f"Report {n}.", "No change."] for n in range(40)}
    paired(images, reports, **HALVES)
    before = fingerprint(tmp_path)
    training = {each["image_id"] for each in split_by_hand(images)["train"]}
    changed = {"picture": "other", "box": [0, 0, 1, 1]}
    others = [each if each["image_id"] in training else each | changed for each in images]
    talk = {study: text if f"i{study[1:]}" in training else ["Other words here."] for study, text in reports.items()}
    paired(others, talk, {"publish_samples": True}, **HALVES)
    after = fingerprint(tmp_path)
    assert after["intensity"] == before["intensity"]
    for sentence in after["reports"]["most_frequent"]:
        assert sentence.pop("text") != "other words here."
    for sentence in before["reports"]["most_frequent"]:
        assert sentence.pop("text") is None
    assert after["reports"] == before["reports"]


@given(st.lists(st.integers(0, 10**13), min_size=256, max_size=256).filter(any))
def test_moments_follow_from_the_histogram_without_loss(histogram):
    levels, weights = np.arange(256) / 255, np.array(histogram, np.float64) / sum(histogram)
    found = Intensity(1, np.array(histogram, np.int64))
    mean = float(weights @ levels)
    assert found.mean == pytest.approx(mean, rel=1e-12, abs=1e-15)
    assert found.standard_deviation == pytest.approx(float(np.sqrt(weights @ (levels - mean) ** 2)), rel=1e-9, abs=1e-7)


def test_a_sample_is_drawn_by_seed_without_repetition(image, stored, pixels_of):
    images = images_of(image, 50)
    store = ImageStore(stored(images))
    rows = np.arange(10, 50)
    one, same, other = (count_intensity(store, rows, 20, seed) for seed in (1, 1, 2))
    assert one.images == 20
    assert one.histogram.tolist() == same.histogram.tolist() != other.histogram.tolist()
    everything, exact = count_intensity(store, rows, 40, 1), np.zeros(256, np.int64)
    for row in rows:
        given = next(each for each in images if each["image_id"] == store.ids[row])
        np.add.at(exact, content(pixels_of, given), 1)
    assert everything.histogram.tolist() == exact.tolist()
    assert (one.histogram <= exact).all()


def test_counts_and_lengths_by_hand(paired, image, tmp_path):
    images = [image("i1", "s1", "p1", view="PA"), image("i2", "s2", "p2", view="AP"), image("i3", "s2", "p2")]
    reports = {"s1": ["No effusion.", "Heart is normal."], "s2": ["NO  effusion.", "A 5 mm nodule.", "A 7 mm nodule."]}
    _, _, audit = paired(images, reports, {"publish_samples": True}, validation=0.0, test=0.0)
    found = fingerprint(tmp_path)
    assert found["splits"] == audit["splits"]
    assert found["pairs_digest"] == audit["pairs_digest"]
    assert found["views"] == {"train": {"AP": 1, "PA": 1, "unknown": 1}, "validation": {}, "test": {}}
    assert found["rejects"] == {
        "dicom_to_arrow": {"view_excluded": 2, "not_dicom": 1},
        "split_reports": {"empty_report": 1},
        "pair_images_reports": {},
    }
    spoken = found["reports"]
    assert (spoken["reports"], spoken["sentences"], spoken["different_sentences"]) == (2, 5, 3)
    assert spoken["sentences_a_report"]["counts"] == {"2": 1, "3": 1}
    assert spoken["words_a_sentence"]["counts"] == {"2": 2, "3": 1, "4": 2}
    assert spoken["pieces_a_report"]["counts"] == {"4": 1, "6": 1}  # two pieces a sentence
    assert spoken["most_frequent"] == [
        {"reports": 2, "text": "no effusion."}, {"reports": 1, "text": "a 0 mm nodule."},
        {"reports": 1, "text": "heart is normal."},
    ]  # fmt: skip


def test_no_word_of_a_report_is_written_unless_it_may_be_published(paired, image, tmp_path):
    images = [image(f"i{n}", f"s{n}", f"p{n}") for n in range(30)]
    reports = {f"s{n}": ["Zzyzx is unremarkable.", f"Zzyzx {n % 7} again."] for n in range(30)}
    paired(images, reports, validation=0.0, test=0.0)
    for name in ("fingerprint.json", "audit.json", "journal.json"):
        assert not re.search("zzyzx", (tmp_path / name).read_text(), re.IGNORECASE)
    assert [each["reports"] for each in fingerprint(tmp_path)["reports"]["most_frequent"]] == [30, 30]
    paired(images, reports, {"publish_samples": True}, validation=0.0, test=0.0)
    assert "zzyzx" in (tmp_path / "fingerprint.json").read_text()
    assert "zzyzx" not in (tmp_path / "journal.json").read_text().lower()


CHARACTERS = st.characters(max_codepoint=0x17F, exclude_categories=["Cc", "No"]) | st.sampled_from("\t\n\r ")


@given(st.lists(st.text(CHARACTERS, max_size=12), min_size=1, max_size=20))
def test_sentences_are_folded_as_the_idf_weights_of_pretraining_fold_them(texts):
    found = pl.DataFrame({"text": texts}).select(folded(pl.col("text")))["text"].to_list()
    assert found == [normalised(text) for text in texts]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=80))
def test_distributions_against_numpy(values):
    found = distribution(pl.Series("n", values))
    assert found.mean == pytest.approx(np.mean(values))
    assert found.median == np.quantile(values, 0.5, method="lower")
    assert found.percentile_95 == np.quantile(values, 0.95, method="lower")
    assert found.largest == max(values)
    assert [value for value, count in found.counts.items() for _ in range(count)] == sorted(values)
