"""Counts of labels in each part of the split, and what is too few of them.

Until a run has drawn its key, its split is not known: counts are then the range of a few draws, the same at each call.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stages.common.records import FEWEST
from stages.label_images.contract import LabelImagesSettings
from workflow.doctor.findings import Finding, Status

PARTS = ("train", "validation", "test")
DRAWS = 5
ROUGHLY = f"; the range of {DRAWS} possible splits, because a run draws the key of its own"

Rows = Sequence[Mapping[str, Any]]


def counted(
    subject: str, name: str, settings: LabelImagesSettings, draws: Sequence[Rows], exact: bool, most: str
) -> Finding:
    """Return the positives of each part and subset, and what is too few of them.

    `draws` are the labelled images under each possible split, of which the first has all findings; `most` is empty
    where the numbers are those of a run.
    """
    if len({row["finding"] for row in draws[0]}) > 1:
        return _counted_by_finding(subject, name, settings, draws, exact, most)
    counts = [_targets(rows) for rows in draws]
    said = ", ".join(f"{part} {_range(sum(each[part]) for each in counts)} of "
                     f"{_range(len(each[part]) for each in counts)}" for part in PARTS)  # fmt: skip
    nested = ", ".join(
        f"{percent} %: {_range(_positives_within(rows, percent) for rows in draws)}" for percent in settings.subsets
    )
    sure = "" if exact else ROUGHLY
    what = f"{most}{len(draws[0]):,} labelled images; positives: {said}; in the training subsets {nested}{sure}"
    few = [part for part in PARTS if any(_least(each[part]) < FEWEST for each in counts)]
    if few:
        remedy = f"fewer than {FEWEST} positives or negatives in {' and '.join(few)}: enlarge them in "
        return Finding("warning", subject, what, f"{remedy}`{_key(settings, name)}`")
    return Finding("ok", subject, what)


def _counted_by_finding(
    subject: str, name: str, settings: LabelImagesSettings, draws: Sequence[Rows], exact: bool, most: str
) -> Finding:
    """Return the positives of each finding in each part, and on which findings nothing will be said."""
    said, few = [], []
    for finding in settings.by_finding:
        counts = [_targets([row for row in rows if row["finding"] == finding]) for rows in draws]
        positives = {part: _range(sum(each[part]) for each in counts) for part in PARTS}
        negatives = {part: _range(len(each[part]) - sum(each[part]) for each in counts) for part in PARTS}
        parts = " ".join(f"{positives[part]}/{negatives[part]}" for part in PARTS)
        said.append(f"{finding} {parts}")
        least = {part: min(_least(each[part]) for each in counts) for part in PARTS}
        if least["train"] < 1 or least["validation"] < 1 or least["test"] < FEWEST:
            few.append(finding)
    images = len({row["image_id"] for row in draws[0]})
    what = (
        f"{most}{images:,} labelled images, {len(said)} findings; positives/negatives in {', '.join(PARTS)}: "
        f"{'; '.join(said)}"
    )
    what += "" if exact else ROUGHLY
    if len(few) == len(said):
        remedy = f"no finding has {FEWEST} positives and negatives in test and one in the other parts: enlarge them in "
        return Finding("error" if exact else "warning", subject, what, f"{remedy}`{_key(settings, name)}`")
    if few:
        remedy = (
            f"nothing will be said on {', '.join(few)}: {FEWEST} positives and negatives are needed in test, one in "
        )
        remedy += f"train and validation; enlarge the parts in `{_key(settings, name)}`, or remove the findings"
        return Finding("warning", subject, what, remedy)
    return Finding("ok", subject, what)


def counted_phrases(
    subject: str, name: str, settings: LabelImagesSettings, draws: Sequence[Rows], exact: bool
) -> Finding:
    """Return the phrases of each finding in the test part, where nothing else is measured."""
    tests = [[row for row in rows if row["split"] == "test"] for rows in draws]
    pairs = {finding: [sum(row["phrases"] for row in test if row["finding"] == finding) for test in tests]
             for finding in settings.by_finding}  # fmt: skip
    least = FEWEST if len(pairs) > 1 else 1
    images = _range(len({row["image_id"] for row in test}) for test in tests)
    counts = "; ".join(f"{finding} {_range(each)}" for finding, each in pairs.items())
    total = _range(map(sum, zip(*pairs.values(), strict=True)))
    what = f"{total} phrases of {images} test images: {counts}{'' if exact else ROUGHLY}"
    if few := [finding for finding, each in pairs.items() if min(each) < least]:
        status: Status = "error" if exact and len(few) == len(pairs) else "warning"
        remedy = f"nothing will be said on {', '.join(few)}: {least} phrases are needed in test; enlarge it in "
        return Finding(status, subject, what, f"{remedy}`{_key(settings, name)}`, or remove the findings")
    return Finding("ok", subject, what)


def _range(numbers: Iterable[int]) -> str:
    each = [*numbers]
    low, high = min(each), max(each)
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"


def _targets(rows: Rows) -> dict[str, list[int]]:
    return {part: [row["target"] for row in rows if row["split"] == part] for part in PARTS}


def _least(targets: list[int]) -> int:
    """Return the number of positives or of negatives, whichever is smaller."""
    return min(sum(targets), len(targets) - sum(targets))


def _positives_within(rows: Rows, percent: int) -> int:
    """Return the positives of a nested subset of the training part."""
    return sum(row["target"] for row in rows if row["split"] == "train" and row["subset"] <= percent)


def _key(settings: LabelImagesSettings, name: str) -> str:
    """Return the key that decides on the sizes of the parts."""
    own = f"datasets.{name}.label_images."
    return "patient_split" if settings.patient_split else own + ("split_lists" if settings.split_lists else "split")
