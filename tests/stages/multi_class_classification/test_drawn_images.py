"""Which images are drawn: those of exactly one class; equal numbers by seed, whatever the order of rows."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from stages.common.data.label_matrix import LabelMatrix, exclusive_classes, label_matrix
from stages.common.errors import InputError
from stages.multi_class_classification.contract import MultiClassSettings
from stages.multi_class_classification.drawn_images import draw_images

CLASSES = ["edema", "effusion"]
SOURCE = Path("labels.arrow")


def labels_of(table: dict[str, tuple[int | None, int | None, int | None]], order: int = 0) -> LabelMatrix:
    """Labels of edema, effusion and hernia by image; None: unknown. The part is the first letter of the id."""
    parts = {"t": "test", "v": "validation", "r": "train"}
    rows = [
        {"image_id": image, "patient_id": f"p{image}", "split": parts[image[0]], "subset": 100, "finding": finding,
         "target": target}
        for image, targets in table.items()
        for finding, target in zip([*CLASSES, "hernia"], targets, strict=True)
        if target is not None
    ]  # fmt: skip
    drawn = np.random.default_rng(order).permutation(len(rows)) if order else np.arange(len(rows))
    return label_matrix(pl.DataFrame([rows[place] for place in drawn], schema_overrides={"target": pl.Int8}))


TABLE = {
    "t1": (1, 0, 0),
    "t2": (0, 1, 0),
    "t3": (1, 1, 0),  # two classes
    "t4": (1, None, 0),  # perhaps two
    "t5": (0, 0, 1),  # another finding alone
    "t6": (0, 1, 1),  # another finding, too
    "t7": (1, 0, None),  # perhaps another one
    "t8": (None, 0, 0),
}


@pytest.mark.parametrize(
    ("findings", "classes", "reasons"),
    [
        (CLASSES, {"t1": 0, "t2": 1, "t6": 1, "t7": 0}, (2, 1, 1)),
        ([*CLASSES, "hernia"], {"t1": 0, "t2": 1}, (2, 2, 2)),
    ],
)
def test_an_image_has_exactly_one_finding(findings: list[str], classes: dict[str, int], reasons: tuple) -> None:
    labels = labels_of(TABLE)
    found, left = exclusive_classes(labels.among(findings), CLASSES)
    named = {image: int(each) for image, each in zip(labels.images["image_id"], found, strict=True) if each >= 0}
    assert named == classes
    assert tuple(left.values()) == reasons
    assert list(left) == ["none_present", "several_present", "others_unknown"]


MANY = {f"{part}{n:03d}": (n % 2, 1 - n % 2, 0) for part in "tvr" for n in range(40)}


def test_equal_numbers_are_drawn_by_seed_whatever_the_order() -> None:
    settings = MultiClassSettings(per_class=7)
    first, again = (draw_images(labels_of(MANY, order), CLASSES, settings, SOURCE) for order in (1, 2))
    assert first.images["image_id"].to_list() == again.images["image_id"].to_list()
    assert first.truth.tolist() == again.truth.tolist() == [1 - int(i[1:]) % 2 for i in first.images["image_id"]]
    assert (np.bincount(first.truth).tolist(), set(first.images["split"])) == ([7, 7], {"test"})
    assert first.qualifying == dict.fromkeys(CLASSES, 20)
    other = draw_images(labels_of(MANY), CLASSES, settings.model_copy(update={"seed": 1}), SOURCE)
    assert other.images["image_id"].to_list() != first.images["image_id"].to_list()
    every = draw_images(labels_of(MANY), CLASSES, MultiClassSettings(part="all"), SOURCE)
    assert (len(every.images), set(every.images["split"])) == (120, {"train", "validation", "test"})


def test_an_image_of_two_parts_is_drawn_once() -> None:
    labels = labels_of(MANY)
    twice = LabelMatrix(
        labels.findings,
        pl.concat([labels.images, labels.images[:3].with_columns(split=pl.lit("train"))]),
        np.concatenate([labels.targets, labels.targets[:3]]),
    )
    assert len(draw_images(twice, CLASSES, MultiClassSettings(part="all"), SOURCE).images) == 120


@pytest.mark.parametrize(
    ("table", "settings", "line"),
    [
        (MANY, {"per_class": 30},
         "labels.arrow: 20 images of the test part have edema and no other class, known to be absent, but "
         "multi_class_classification needs 30; set per_class to 20 or less, enlarge the test part, or name other "
         "`classes`"),
        (TABLE | {"t2": (0, 0, 0), "t6": (0, 0, 0)}, {"part": "all", "exclusive_among": "findings"},
         "labels.arrow: 0 labelled images have effusion and no other finding, known to be absent, but "
         "multi_class_classification needs 1; name other `classes`"),
    ],
)  # fmt: skip
def test_too_few_of_a_class_are_one_line(table: dict, settings: dict, line: str) -> None:
    with pytest.raises(InputError) as caught:
        draw_images(labels_of(table), CLASSES, MultiClassSettings(**settings), SOURCE)
    assert str(caught.value) == line
