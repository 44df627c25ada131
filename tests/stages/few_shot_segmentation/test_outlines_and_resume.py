"""Masks follow the image through resize and padding, and a training that was killed ends as if it had not been."""

import copy
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from outlined_set import CONTENT, SMALL, STORED, benchx_job, finetune_job, label_rows, linear_job, truth, write_images

from stages.common.data.image_store import ImageStore
from stages.common.data.labelled_images import to_stored
from stages.common.encoders.image import ImageEncoder
from stages.common.errors import InputError
from stages.common.few_shot.parts import shrink
from stages.common.files import schemas
from stages.common.files.arrow_tables import read_table
from stages.common.radiographs.radiograph import content_box, fit_into_square
from stages.common.training.prefetching import DrawnBatch, pack
from stages.common.training.state_files import ResumableState
from stages.few_shot_segmentation.kept_tokens import KeptTokens
from stages.few_shot_segmentation.outlines import outline
from stages.few_shot_segmentation.repetitions import OutlinedParts, parts_of, repeat
from stages.few_shot_segmentation.segmenters import FrozenUperNetSegmenter, SetrSegmenter, UperNetSegmenter, encoder_for
from stages.few_shot_segmentation.training import Schedule, Training, masks_at


@pytest.mark.parametrize("boxes", [False, True])
def test_masks_lie_where_the_finding_is_on_the_stored_square(tmp_path: Path, boxes: bool) -> None:
    rows = label_rows(10, boxes)
    found = outline(pl.DataFrame(rows, schema=pl.from_arrow(schemas.LABELS.empty_table()).schema),
                    ImageStore(write_images(tmp_path, rows)))  # fmt: skip
    for place, row in enumerate(rows):
        expected = np.zeros((STORED, STORED), dtype=bool)
        expected[:, CONTENT[0] : CONTENT[0] + CONTENT[2]] = truth(int(row["image_id"][1:]))[::2, ::2]
        np.testing.assert_array_equal(found.masks(np.array([place]))[0], expected)
        bright = found.images(np.array([place]))[0] >= 150  # the image shows it there
        np.testing.assert_array_equal(bright, expected)


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.5, 2), st.integers(4, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_a_mask_goes_the_way_of_its_image(rows: int, columns: int, aspect: float, size: int, seed: int) -> None:
    """The image of a mask, converted as radiographs are, is bright (at least half) just where the stored mask is.

    At enlarged sides the image is interpolated and the mask is not, so those are left out.
    """
    box = content_box(rows, columns, aspect, size)
    if box.width > columns or box.height > rows:
        return
    draw = np.random.default_rng(seed)
    mask = draw.random((rows, columns)) < 0.5
    image = fit_into_square(mask.astype(np.float32) * 255, aspect, size).pixels.astype(float)
    stored = to_stored(mask, [box.x, box.y, box.width, box.height], size)
    assert stored[image > 129].all()
    assert not stored[image < 126].any()


def test_shrinking_halves_exactly_and_enlarges_nothing() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 512, 512)).astype(np.uint8)
    halves = shrink(images, 224)
    assert halves.shape == (2, 256, 256)
    means = images.reshape(2, 256, 2, 256, 2).mean(axis=(2, 4))
    assert np.abs(halves - means).max() <= 0.5
    assert shrink(halves, 224) is halves
    masks = np.kron(np.eye(4, dtype=bool), np.ones((4, 4), dtype=bool))[None]
    np.testing.assert_array_equal(masks_at(masks, 4)[0], np.eye(4, dtype=bool))
    np.testing.assert_array_equal(masks_at(masks_at(masks, 4), 4)[0], np.eye(4, dtype=bool))


class KilledAt(ResumableState):
    """A state after whose save at one step the job is gone."""

    step = 0

    def save(self, step: int, state: dict) -> None:
        super().save(step, state)
        if step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("build", "job", "at"),
    [
        (SetrSegmenter, linear_job(epochs=2, batch_size=8), 5),
        (UperNetSegmenter, finetune_job(steps=4), 3),
        (FrozenUperNetSegmenter, benchx_job(steps=4), 3),
    ],
)
def test_a_killed_training_goes_on_to_the_same_result(files, tmp_path: Path, encoder, build, job, at: int) -> None:
    labels = pl.from_arrow(read_table(files.folder / "labels.arrow", schemas.LABELS))
    parts = parts_of(labels, None, 100, Path("labels.arrow"))
    outlined = OutlinedParts.of(parts, ImageStore(files.folder / "images" / "manifest.json"), Path("labels.arrow"))

    def run(state: ResumableState) -> tuple:
        logged = []
        found = repeat(
            encoder,
            outlined,
            partial(build, settings=job),
            job,
            0,
            state,
            lambda values, step: logged.append((step, copy.copy(values))),
            KeptTokens(),
        )
        return found.result, logged

    whole, logged = run(ResumableState(tmp_path / "whole", 1e9))
    killed = KilledAt(tmp_path / "killed", -1.0)  # saves after every step
    killed.step = at
    with pytest.raises(KeyboardInterrupt):
        run(killed)
    newest = sorted((tmp_path / "killed").glob("*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:-1] + b"?")  # damaged: the one before it is taken
    again, logged_again = run(ResumableState(tmp_path / "killed", 1e9))
    for name in ("kept_at", "validation_dice_of_positives", "threshold"):
        assert getattr(again, name) == getattr(whole, name)
    for name in ("truth", "predicted", "both"):
        np.testing.assert_array_equal(getattr(again.test, name), getattr(whole.test, name))
    assert logged_again == logged
    finished, _ = run(ResumableState(tmp_path / "killed", 1e9))  # an ended seed is not trained again
    np.testing.assert_array_equal(finished.test.both, whole.test.both)


@pytest.mark.parametrize(
    ("build", "job"),
    [
        (SetrSegmenter, linear_job()),
        (UperNetSegmenter, finetune_job()),
        (FrozenUperNetSegmenter, benchx_job()),
    ],
)
def test_a_step_reads_nothing_back(files, encoder, build, job) -> None:
    """Tensors of the device `meta` have no values: whatever reads one fails, as it would stop a GPU."""
    labels = pl.from_arrow(read_table(files.folder / "labels.arrow", schemas.LABELS))
    parts = parts_of(labels, None, 100, Path("labels.arrow"))
    outlined = OutlinedParts.of(parts, ImageStore(files.folder / "images" / "manifest.json"), Path("labels.arrow"))
    segmenter = build(encoder_for(encoder, job.input_size), settings=job).to("meta")
    schedule = Schedule(4, frozenset([4]), None, None)
    training = Training(segmenter, (outlined.train, outlined.validation), job, schedule, 0, KeptTokens())
    drawn = DrawnBatch(*pack(training._draw(0), pin=False))
    loss = training._step(0, drawn.to(torch.device("meta")))
    assert (loss.device.type, loss.shape) == ("meta", ())


def test_a_loss_that_is_no_number_is_one_line(files, tmp_path: Path) -> None:
    labels = pl.from_arrow(read_table(files.folder / "labels.arrow", schemas.LABELS))
    parts = parts_of(labels, None, 100, Path("labels.arrow"))
    outlined = OutlinedParts.of(parts, ImageStore(files.folder / "images" / "manifest.json"), Path("labels.arrow"))
    torch.manual_seed(0)
    job = linear_job(learning_rate=1e30)
    with pytest.raises(InputError, match=r"the loss is .*; lower the learning rate"):
        repeat(ImageEncoder(SMALL.image), outlined, partial(SetrSegmenter, settings=job), job, 0,
               ResumableState(tmp_path, 1e9), lambda *_: None, KeptTokens())  # fmt: skip


def test_of_several_findings_the_one_with_most_outlines_is_segmented() -> None:
    """None of them needs to be named: a job that is planned does not fail for want of a choice."""
    rows = label_rows(60, boxes=True)
    few = [row | {"finding": "edema", "boxes": row["boxes"] if number < 6 else []} for number, row in enumerate(rows)]
    unlocated = [row | {"finding": "hernia", "boxes": []} for row in rows]
    schema = {"patient_id": pl.String, "mask": pl.Binary, "lung_mask": pl.Binary}
    table = pl.DataFrame([*few, *unlocated, *rows], schema_overrides=schema, infer_schema_length=None)
    source = Path("labels.arrow")
    assert parts_of(table, None, 100, source).finding == "lung_opacity"
    assert parts_of(table, "edema", 100, source).finding == "edema"
    two_without = pl.DataFrame([*unlocated, *(row | {"finding": "mass"} for row in unlocated)], schema=table.schema)
    with pytest.raises(InputError, match=r"labels\.arrow: no finding has boxes or masks; give label_images some"):
        parts_of(two_without, None, 100, source)
