"""A frozen encoder encodes an image once, within a number of bytes, and the figures stay those of encoding anew."""

from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from outlined_set import benchx_job, finetune_job, linear_job

from stages.common.data.image_store import ImageStore
from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table
from stages.common.training.state_files import ResumableState
from stages.few_shot_segmentation.kept_tokens import KeptTokens
from stages.few_shot_segmentation.repetitions import OutlinedParts, parts_of, repeat
from stages.few_shot_segmentation.segmenters import FrozenUperNetSegmenter, SetrSegmenter, UperNetSegmenter, encoder_for
from stages.few_shot_segmentation.training import overlaps_of

UNCHANGED = {"min_area": 1, "brightness": 0, "contrast": 0}


@pytest.fixture(scope="module")
def parts(files) -> OutlinedParts:
    labels = pl.DataFrame(read_table(files.folder / "labels.arrow", schemas.LABELS))
    store = ImageStore(files.folder / "images" / "manifest.json")
    return OutlinedParts.of(parts_of(labels, None, 100, Path("labels.arrow")), store, Path("labels.arrow"))


@pytest.fixture
def encoded(monkeypatch) -> list[int]:
    """The numbers of images of every call of the segmenters' encoders."""
    counts: list[int] = []
    for kind in (SetrSegmenter, FrozenUperNetSegmenter, UperNetSegmenter):
        original = kind.encode

        def encode(self, images, original=original):
            counts.append(len(images))
            return original(self, images)

        monkeypatch.setattr(kind, "encode", encode)
    return counts


def outcome(encoder, parts, build, job, folder: Path, kept: KeptTokens) -> tuple:
    logged = []
    found = repeat(encoder, parts, partial(build, settings=job), job, 0, ResumableState(folder, 1e9),
                   lambda values, step: logged.append({"step": step, **values}), kept).result  # fmt: skip
    return found, logged


def assert_equal(one: tuple, other: tuple) -> None:
    (found, logged), (again, logged_again) = one, other
    assert logged == logged_again
    assert (found.kept_at, found.threshold) == (again.kept_at, again.threshold)
    for name in ("truth", "predicted", "both"):
        np.testing.assert_array_equal(getattr(found.test, name), getattr(again.test, name))


def test_figures_are_bitwise_those_of_encoding_anew(tmp_path, encoder, parts, encoded) -> None:
    job = linear_job()
    anew = outcome(encoder, parts, SetrSegmenter, job, tmp_path / "anew", KeptTokens(0))
    looked_at = [len(parts.train) // 16 * 16 * 3, 4 * len(parts.validation), len(parts.test)]  # 3 epochs, then a choice
    assert sum(encoded) == sum(looked_at)
    encoded.clear()
    kept = KeptTokens()
    assert_equal(outcome(encoder, parts, SetrSegmenter, job, tmp_path / "kept", kept), anew)
    assert sum(encoded) == looked_at[0] + len(parts.validation) + len(parts.test)
    encoded.clear()
    assert_equal(outcome(encoder, parts, SetrSegmenter, job, tmp_path / "again", kept), anew)  # another repetition
    assert sum(encoded) == looked_at[0]


def test_what_finds_no_room_is_encoded_each_time(encoder, parts, encoded) -> None:
    """Tokens of 8 x 8 patches of width 16 in fp32: 4096 bytes an image."""
    job = linear_job(batch_size=4)
    torch.manual_seed(0)
    segmenter = SetrSegmenter(encoder_for(encoder, 32), job)
    images, sizes = parts.validation, [len(rows) for rows in np.array_split(np.arange(len(parts.validation)), 3)]
    assert sizes == [4, 4, 4]
    anew = overlaps_of(segmenter, images, job, KeptTokens(0))
    encoded.clear()
    kept = KeptTokens(2 * 4 * 4096 + 4095)
    for calls in ([4, 4, 4], [4], [4]):
        found = overlaps_of(segmenter, images, job, kept)
        np.testing.assert_array_equal(found.predicted, anew.predicted)
        assert encoded == calls
        encoded.clear()


@pytest.mark.parametrize(
    ("build", "job"),
    [(SetrSegmenter, linear_job(augmentation=UNCHANGED)), (FrozenUperNetSegmenter, benchx_job(steps=12))],
)
def test_training_images_that_nothing_changes_are_encoded_once(tmp_path, encoder, parts, encoded, build, job) -> None:
    """In other batches than those of the steps, which on a CPU rounds alike; fp32 rounding is allowed."""
    _, anew = outcome(encoder, parts, build, job, tmp_path / "anew", KeptTokens(0))
    encoded.clear()
    _, logged = outcome(encoder, parts, build, job, tmp_path / "kept", KeptTokens())
    assert sum(encoded) == len(parts.train) + len(parts.validation) + len(parts.test)
    for one, other in zip(logged, anew, strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def test_an_encoder_that_is_trained_keeps_nothing(tmp_path, encoder, parts, encoded) -> None:
    job = finetune_job(augmentation=UNCHANGED)
    anew = outcome(encoder, parts, UperNetSegmenter, job, tmp_path / "anew", KeptTokens(0))
    calls = list(encoded)
    assert_equal(outcome(encoder, parts, UperNetSegmenter, job, tmp_path / "kept", KeptTokens()), anew)
    assert encoded == 2 * calls
