"""Sets of prompts, their baselines and what is written of them, on images with planted boxes and a tiny encoder."""

import numpy as np
import polars as pl
import pytest
import torch
from split_audit import CLEAN
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace

from stages.common.data.prompts import FindingPrompts
from stages.common.encoders.dual import Checkpoint, DualEncoder, checkpoint_record
from stages.common.encoders.settings import DualEncoderSettings
from stages.phrase_grounding.contract import FindingResult
from stages.phrase_grounding.evaluation import LocatedFinding, finding_result, sample_rows, value_rows
from stages.phrase_grounding.heatmaps import PromptCosines
from stages.phrase_grounding.located_images import Located
from stages.phrase_grounding.pointing import baselines
from stages.phrase_grounding.prompt_sets import Grounding

SIZE = 16
SMALL = DualEncoderSettings.model_validate(
    {
        "image": {"architecture": "custom", "input_size": SIZE, "patch_size": 4, "width": 16, "depth": 1, "heads": 2},
        "text": {"weights": None, "width": 16, "depth": 1, "heads": 2, "dropout": 0},
        "embedding_width": 8,
    }
)
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "opacity", "right", "left", "upper", "mid", "lower"]
PROMPTS = FindingPrompts.model_validate(
    {
        "slots": {"side": ["right", "left"], "zone": ["upper", "mid", "lower"]},
        "sets": {"no_place": {"positive": ["opacity"]}, "with_place": {"positive": ["{side} {zone} opacity"]}},
    }
)
CORNERS = [(1, 1), (1, 10), (11, 1), (11, 10)]  # right upper, left upper, right lower, left lower


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    tokenizer = Tokenizer(WordPiece({word: rank for rank, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    model = DualEncoder(SMALL, len(WORDS)).eval()
    return Checkpoint(model, tokenizer, None, checkpoint_record(model))


def located(count: int, seed: int, lungs: bool = True, patients: bool = True) -> Located:
    """Boxes of 4 x 4 pixels in the corners, in turn; the lungs are the left and right quarters of the image."""
    regions = np.zeros((count, SIZE, SIZE), dtype=bool)
    for place in range(count):
        top, left = CORNERS[place % 4]
        regions[place, top : top + 4, left : left + 4] = True
    whole = np.ones_like(regions)
    chest = whole.copy()
    chest[:, :, 6:10] = False
    labels = pl.DataFrame({"image_id": [f"{seed}-{place}" for place in range(count)],
                           "patient_id": [f"p{place}" if patients else None for place in range(count)]},
                          schema_overrides={"patient_id": pl.String})  # fmt: skip
    pixels = np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE), dtype=np.uint8)
    return Located(labels, pixels, regions, whole, chest if lungs else None)


@pytest.fixture(scope="module")
def parts() -> dict[str, Located]:
    return {part: located(16, seed) for seed, part in enumerate(("train", "validation", "test"))}


def test_words_read_off_the_phrase_point_well_and_one_fixed_place_does_not(parts) -> None:
    found = baselines(parts["test"], parts["train"], ("side", "zone"))
    assert found["word_prior"].hit.mean() == 1  # every corner has its own words
    assert found["word_prior"].iou.max(axis=1).min() == 1
    assert found["fixed_peak_of_training"].hit.mean() == 0.25  # four corners are equally frequent: it takes one
    lungs = 16 * 12
    assert found["random_in_lung"].hit == pytest.approx([16 / lungs] * 16)
    assert found["random_in_lung"].iou == pytest.approx(np.full((16, 19), 16 / lungs))
    assert baselines(parts["test"], parts["train"], ())["word_prior"] is None


def test_a_random_point_of_an_image_without_lungs_is_drawn_from_its_content() -> None:
    """Half of the square is padding; the content as a map has no contrast, and the same overlap at any threshold."""
    one = located(4, 0, lungs=False)
    content = one.content.copy()
    content[:, :, SIZE // 2 :] = False
    padded = Located(one.labels, one.pixels, one.regions, content, None)
    found = baselines(padded, padded, ())
    share = 16 / (SIZE * SIZE / 2)
    assert found["random_in_lung"] is None
    assert found["random_in_content"].hit.tolist() == [share, 0, share, 0]  # two corners lie in the padding
    assert found["random_in_content"].contrast_to_noise.tolist() == [0] * 4
    np.testing.assert_allclose(found["random_in_content"].iou, np.repeat([[share], [0], [share], [0]], 19, axis=1))


def test_words_of_the_side_alone_leave_two_corners(parts) -> None:
    assert baselines(parts["test"], parts["train"], ("side",))["word_prior"].hit.mean() == 0.5


def test_a_place_that_training_never_saw_falls_back_on_the_fixed_map(parts) -> None:
    training = located(4, 0)
    keep = np.array([0, 0, 0, 0])
    narrow = Located(training.labels, training.pixels, training.regions[keep], training.content, training.lungs)
    found = baselines(parts["test"], narrow, ("side", "zone"))["word_prior"]
    assert found.hit.tolist() == [1.0, 0.0, 0.0, 0.0] * 4


def test_maps_of_an_image_are_the_mean_over_its_own_prompts(checkpoint, parts) -> None:
    cosines = PromptCosines(checkpoint, ["right opacity", "left opacity", "right opacity"], parts["test"].pixels)
    assert cosines.values.shape == (16, 2, 16)  # a prompt that occurs twice is embedded once
    right, left = (cosines.maps([[f"{side} opacity"]] * 16) for side in ("right", "left"))
    np.testing.assert_allclose(cosines.maps([["right opacity", "left opacity"]] * 16), (right + left) / 2, atol=1e-6)
    mixed = cosines.maps([["right opacity"]] + [["left opacity"]] * 15)
    np.testing.assert_array_equal(mixed[0], right[0])
    np.testing.assert_array_equal(mixed[1:], left[1:])


def record_of(sets: dict, parts: dict) -> dict:
    """result.json, as it is written and read."""
    written = finding_result("opacity", sets, LocatedFinding(parts, {}, {}), None, CLEAN).model_dump_json()
    return FindingResult.model_validate_json(written).model_dump(mode="json")


def test_a_file_is_measured_set_by_set_and_written(checkpoint, parts) -> None:
    grounding = Grounding(checkpoint, PROMPTS, parts)
    sets = {name: grounding.of(name, draws=50, seed=0) for name in PROMPTS.sets}
    record = record_of(sets, parts)
    assert record["place_words"] == {"no_place": [], "with_place": ["side", "zone"]}
    assert (record["images"], record["resampled_by"]) == (16, "patient")
    assert parts["test"].counts() == {"positives": 16, "positives_without_region": 0, "regions_too_small": 0}
    for measure in ("pointing", "contrast_to_noise", "iou", "mean_iou"):
        assert record[measure]["no_place"]["word_prior"] is None
        if measure != "contrast_to_noise":  # not defined for a map of two levels: no noise
            assert record[measure]["with_place"]["word_prior"]["value"] == 1
        heatmap = record[measure]["no_place"]["heatmap"]
        assert heatmap["low"] <= heatmap["value"] <= heatmap["high"]
    assert 0 < record["iou_threshold"]["no_place"]["heatmap"] < 1
    rows = value_rows("opacity", "with_place", sets["with_place"])
    hits = [row["pointing"] for row in rows if row["pointer"] == "heatmap"]
    assert np.mean(hits) == pytest.approx(record["pointing"]["with_place"]["heatmap"]["value"])
    assert {row["iou"] for row in rows if row["pointer"] == "heatmap_in_lung"} == {None}
    assert [row["image_id"] for row in sample_rows("opacity", sets["no_place"], 2, seed=0)] == [
        row["image_id"] for row in sample_rows("opacity", sets["no_place"], 5, seed=0)[:2]
    ]


def test_unknown_lungs_and_patients_are_said(checkpoint) -> None:
    parts = {part: located(8, seed, lungs=False, patients=False)
             for seed, part in enumerate(("train", "validation", "test"))}  # fmt: skip
    record = record_of({"no_place": Grounding(checkpoint, PROMPTS, parts).of("no_place", 20, 0)}, parts)
    assert record["resampled_by"] == "image"
    assert record["pointing"]["no_place"]["random_in_lung"] is None
    assert record["pointing"]["no_place"]["heatmap_in_lung"] is None
    assert record["iou_threshold"]["no_place"]["random_in_lung"] is None
    assert record["pointing"]["no_place"]["random_in_content"]["value"] == pytest.approx(16 / SIZE**2)


@pytest.mark.parametrize("unknown", [(), ("validation",), ("test",), ("train",)])
def test_one_random_point_is_a_rival_in_lungs_known_in_both_parts_or_else_in_the_image(checkpoint, unknown) -> None:
    parts = {part: located(8, seed, lungs=part not in unknown)
             for seed, part in enumerate(("train", "validation", "test"))}  # fmt: skip
    grounded = Grounding(checkpoint, PROMPTS, parts).of("no_place", 20, 0)
    known = not {"validation", "test"} & set(unknown)
    kept, left = ("random_in_lung", "random_in_content")[:: 1 if known else -1]
    for figures in (*grounded.figures.values(), grounded.thresholds):
        assert figures[left] is None
        assert figures[kept] is not None
    assert {row["pointer"] for row in value_rows("opacity", "no_place", grounded)} & {kept, left} == {kept}
