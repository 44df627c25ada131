"""Sets of prompts, their baselines and what is written of them, on images with planted boxes and a tiny encoder."""

import numpy as np
import polars as pl
import pytest
import torch
from one_shard_store import write_one_shard
from split_audit import CLEAN
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace

from stages.common.data.image_store import ImageStore
from stages.common.data.prompts import FindingPrompts, PromptSet
from stages.common.encoders.dual import Checkpoint, DualEncoder, checkpoint_record, prompt_sentences
from stages.common.encoders.settings import READINGS, DualEncoderSettings, HeatmapReading
from stages.common.errors import InputError
from stages.common.files.arrow_tables import write_rows
from stages.common.files.schemas import LABELS
from stages.common.inference.heatmaps import heatmap_reader
from stages.phrase_grounding import heatmaps
from stages.phrase_grounding.contract import FindingResult, PhraseGroundingSettings
from stages.phrase_grounding.evaluation import LocatedFinding, finding_result, sample_rows, value_rows
from stages.phrase_grounding.heatmaps import set_maps
from stages.phrase_grounding.located_images import Located
from stages.phrase_grounding.pointers import Pointed, Pointers
from stages.phrase_grounding.pointing import baselines
from stages.phrase_grounding.prompt_sets import Grounded, ground_prompts, measured

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
    mean = torch.randn(model.settings.image.patches, model.settings.embedding_width) / 8
    return Checkpoint(model, tokenizer, None, checkpoint_record(model), mean)


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


def test_maps_of_an_image_are_the_mean_over_its_own_prompts(checkpoint, parts, monkeypatch) -> None:
    seen: list[int] = []
    tokens = DualEncoder.patch_tokens
    monkeypatch.setattr(
        DualEncoder, "patch_tokens", lambda self, *given: seen.append(len(given[0])) or tokens(self, *given)
    )
    right, left, both = (PromptSet(positive=texts) for texts in (
        ["right opacity"], ["left opacity"], ["right opacity", "left opacity"]))  # fmt: skip
    sets = [[right] * 16, [left] * 16, [both] * 16, [right] + [left] * 15]
    readers = [heatmap_reader(checkpoint, READINGS[kind]) for kind in ("raw", "centred")]
    found = set_maps(checkpoint, readers, sets, parts["test"].pixels)
    assert seen == [16]  # each image once, for all sets and readers
    finer = [heatmap_reader(checkpoint, HeatmapReading(shifts=2)), *readers, *readers[:1]]
    seen.clear()
    for own, (fine, *others) in zip(found, set_maps(checkpoint, finer, sets, parts["test"].pixels), strict=True):
        assert fine.shape[1] == 4 * own[0].shape[1]
        for one, other in zip(others, [*own, own[0]], strict=True):
            torch.testing.assert_close(one, other)
    assert seen == [16] * 5  # once as it is, and moved four times
    offset = checkpoint.mean_patches @ prompt_sentences(checkpoint, both.positive).T
    for reader, lower in ((0, 0), (1, offset)):
        of_right, of_left, of_both, mixed = (own[reader] for own in found)
        torch.testing.assert_close(of_both, (of_right + of_left) / 2)
        torch.testing.assert_close(mixed, torch.cat([of_right[:1], of_left[1:]]))
        torch.testing.assert_close(of_right, found[0][0] - (offset[:, 0] if reader else lower))


def test_a_share_of_what_denying_prompts_point_at_is_subtracted(checkpoint, parts) -> None:
    affirmed, denied = ["right opacity", "opacity"], ["no opacity", "left opacity"]
    sets = [[PromptSet(positive=affirmed, negative=denied)] * 16, [PromptSet(positive=affirmed)] * 16,
            [PromptSet(positive=denied)] * 16]  # fmt: skip
    readers = [heatmap_reader(checkpoint, HeatmapReading(denied=share)) for share in (0, 0.25)]
    (plain, less), (alone, also_alone), (what_denies, _) = set_maps(checkpoint, readers, sets, parts["test"].pixels)
    torch.testing.assert_close(plain, alone)
    torch.testing.assert_close(also_alone, alone)
    torch.testing.assert_close(less, alone - 0.25 * what_denies, atol=1e-6, rtol=0)


def test_maps_are_the_same_in_any_batches(checkpoint, parts, monkeypatch) -> None:
    texts = ["right opacity", "opacity", "left opacity"]
    right, whole_image, left = (PromptSet(positive=[text]) for text in texts)
    sets = [[right] * 16, [whole_image, left] * 8]
    readers = [heatmap_reader(checkpoint, READINGS["centred"])]
    whole = set_maps(checkpoint, readers, sets, parts["test"].pixels)
    monkeypatch.setattr(heatmaps, "_BATCH", 3)
    for one, other in zip(whole, set_maps(checkpoint, readers, sets, parts["test"].pixels), strict=True):
        torch.testing.assert_close(one[0], other[0], atol=1e-6, rtol=0)


@pytest.fixture
def ground(checkpoint, tmp_path):
    """A function that measures all sets of PROMPTS; the stored images are those of the parts, labelled as positives."""

    def of(parts: dict[str, Located], **settings: object) -> dict[str, Grounded]:
        rows = [(part, image, pixels) for part, own in parts.items()
                for image, pixels in zip(own.labels["image_id"], own.pixels, strict=True)]  # fmt: skip
        write_one_shard(tmp_path, "set", SIZE, [{"image_id": image, "pixels": pixels.tobytes()}
                                                for _, image, pixels in rows])  # fmt: skip
        labels = [{"image_id": image, "patient_id": None, "finding": "opacity", "target": 1, "boxes": [], "mask": None,
                   "lung_mask": None, "sex": None, "age": None, "view": None, "split": part, "subset": 100}
                  for part, image, _ in rows]  # fmt: skip
        write_rows(tmp_path / "labels.arrow", LABELS, labels)
        known = PhraseGroundingSettings.model_validate({"random_encoders": 2} | settings)
        pointers = Pointers(checkpoint, ImageStore(tmp_path / "manifest.json"), tmp_path / "labels.arrow", known)
        return ground_prompts(pointers, "opacity", PROMPTS, parts, 50, 0)

    return of


def record_of(sets: dict, parts: dict) -> dict:
    """result.json, as it is written and read."""
    written = finding_result("opacity", sets, LocatedFinding(parts, {}, {}), None, CLEAN).model_dump_json()
    return FindingResult.model_validate_json(written).model_dump(mode="json")


def test_a_file_is_measured_set_by_set_and_written(ground, parts) -> None:
    sets = ground(parts)
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


def test_a_set_without_denying_prompts_is_not_read_less_what_they_point_at(ground, parts) -> None:
    readings = {"plain": {}, "less": {"denied": 0.5}}
    sets = ground(parts, readings=readings)
    assert {name: list(each.readings) for name, each in sets.items()} == {
        "no_place": ["plain"],
        "with_place": ["plain"],
    }
    with pytest.raises(InputError, match="all have `denied`, but set no_place of opacity has no `negative`"):
        ground(parts, readings={"less": {"denied": 0.5}})


def test_random_encoders_are_read_as_validation_says_for_each_of_them(parts) -> None:
    """Two encoders that point rightly in one reading each: both hit, though no reading is good for both."""
    regions = {part: torch.from_numpy(own.regions).float().flatten(1) for part, own in parts.items()}
    right = {part: regions[part] for part in ("validation", "test")}
    wrong = {part: 1 - each for part, each in right.items()}
    first, second = {"one": right, "other": wrong}, {"one": wrong, "other": right}
    found = measured(Pointed({"one": right, "other": wrong}, [first, second]), parts, (), 50, 0)
    assert found.random_encoders == [1, 1]


def test_unknown_lungs_and_patients_are_said(ground) -> None:
    parts = {part: located(8, seed, lungs=False, patients=False)
             for seed, part in enumerate(("train", "validation", "test"))}  # fmt: skip
    record = record_of({"no_place": ground(parts)["no_place"]}, parts)
    assert record["resampled_by"] == "image"
    assert record["pointing"]["no_place"]["random_in_lung"] is None
    assert record["pointing"]["no_place"]["heatmap_in_lung"] is None
    assert record["iou_threshold"]["no_place"]["random_in_lung"] is None
    assert record["pointing"]["no_place"]["random_in_content"]["value"] == pytest.approx(16 / SIZE**2)


@pytest.mark.parametrize("unknown", [(), ("validation",), ("test",), ("train",)])
def test_one_random_point_is_a_rival_in_lungs_known_in_both_parts_or_else_in_the_image(ground, unknown) -> None:
    parts = {part: located(8, seed, lungs=part not in unknown)
             for seed, part in enumerate(("train", "validation", "test"))}  # fmt: skip
    grounded = ground(parts)["no_place"]
    known = not {"validation", "test"} & set(unknown)
    kept, left = ("random_in_lung", "random_in_content")[:: 1 if known else -1]
    for figures in (*grounded.figures.values(), grounded.thresholds):
        assert figures[left] is None
        assert figures[kept] is not None
    assert {row["pointer"] for row in value_rows("opacity", "no_place", grounded)} & {kept, left} == {kept}
