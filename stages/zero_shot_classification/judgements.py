"""What a reader of radiographs asks of a score: operating points, subgroups, net benefit, and images right and wrong.

Thresholds come from validation, figures from test, intervals from the same draws of patients as all other figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from ..common.data.image_store import ImageStore
from ..common.data.label_matrix import LabelMatrix
from ..common.digests import seed_from
from ..common.metrics.ranking import auc, estimate, estimate_of
from ..common.radiographs.attributes import ATTRIBUTES, NOT_STATED, Attribute, age_band, age_bands
from ..common.records import FEWEST, RATES, Estimate, PointName
from .contract import Calibration, FindingResult, NetBenefit, OperatingPoint, Subgroup, ZeroShotSettings
from .operating_points import Chosen, Confusion, confusions, net_benefits

ACTING_AT = np.arange(1, 100, 2) / 100  # probabilities
OUTCOMES = {"true_positive": (True, 1), "false_positive": (True, 0), "false_negative": (False, 1),
            "true_negative": (False, 0)}  # fmt: skip

_Scores = Float[np.ndarray, "images"]
_Weights = Float[np.ndarray, "draws images"]


@dataclass(frozen=True)
class Group:
    """Images of one sex, age band or view."""

    attribute: Attribute
    value: str
    members: Bool[np.ndarray, "images"]


def groups_of(images: pl.DataFrame, bounds: Sequence[int]) -> list[Group]:
    """Return the groups of the attributes that images state; those without a value are a group, too."""
    found = []
    for attribute in ATTRIBUTES:
        if attribute not in images.columns or not images[attribute].count():
            continue
        order: list[str] = []
        values = images[attribute].to_list()
        if attribute == "age":
            values, order = [None if age is None else age_band(age, bounds) for age in values], age_bands(bounds)
        names = np.array([NOT_STATED if value is None else value for value in values])
        order = [*(order or sorted({*names} - {NOT_STATED})), NOT_STATED]
        found += [Group(attribute, value, names == value) for value in order if (names == value).any()]
    return found


def stated(images: pl.DataFrame) -> dict[Attribute, int]:
    """Return how many images state each attribute."""
    return {name: images[name].count() if name in images.columns else 0 for name in ATTRIBUTES}


def judge(
    scores: _Scores,
    targets: Int[np.ndarray, "images"],
    points: Mapping[PointName, Chosen],
    groups: Sequence[Group],
    weights: _Weights,
) -> tuple[dict[PointName, OperatingPoint], list[Subgroup]]:
    """Measure the points on all test images, and each group at the Youden threshold; targets below 0 are unknown.

    A group with fewer than `FEWEST` positives or negatives has its counts, and no figures.
    """
    youden = points["youden"].threshold
    sizes = [tuple(int((group.members & (targets == target)).sum()) for target in (1, 0)) for group in groups]
    measured = [group for group, size in zip(groups, sizes, strict=True) if min(size) >= FEWEST]
    everyone = np.ones(len(targets), dtype=bool)
    members = [(everyone, each.threshold) for each in points.values()] + [(each.members, youden) for each in measured]
    draws = confusions(scores, targets, members, weights)
    whole = confusions(scores, targets, members, np.ones((1, len(targets))))
    found = {name: _point(chosen, once, drawn)
             for (name, chosen), once, drawn in zip(points.items(), whole, draws, strict=False)}  # fmt: skip
    rates = {id(group): _rates(once, drawn) for group, once, drawn in
             zip(measured, whole[len(points) :], draws[len(points) :], strict=True)}  # fmt: skip
    subgroups = []
    for group, (positives, negatives) in zip(groups, sizes, strict=True):
        head = {"attribute": group.attribute, "value": group.value, "images": positives + negatives,
                "positives": positives}  # fmt: skip
        if (own := rates.get(id(group))) is None:
            why = f"{positives} positive and {negatives} negative images, fewer than {FEWEST} of one"
            subgroups.append(Subgroup(**head, not_measured=why))
            continue
        figure = partial(auc, scores, np.where(group.members, targets, -1))
        subgroups.append(Subgroup(**head, auc=estimate(figure, weights), sensitivity=own["sensitivity"],
                                  specificity=own["specificity"]))  # fmt: skip
    return found, subgroups


def _point(chosen: Chosen, once: Confusion, draws: Confusion) -> OperatingPoint:
    counts = {name: int(count[0]) for name, count in once._asdict().items()}
    return OperatingPoint(threshold=chosen.threshold, validation_sensitivity=chosen.sensitivity,
                          validation_specificity=chosen.specificity, rates=_rates(once, draws), **counts)  # fmt: skip


def _rates(once: Confusion, draws: Confusion) -> dict[str, Estimate | None]:
    """Return the rates with their intervals; None where nothing is in the denominator."""
    values, drawn = once.rates(), draws.rates()
    return {name: None if np.isnan(values[name][0]) else estimate_of(float(values[name][0]), drawn[name])
            for name in RATES}  # fmt: skip


def net_benefit(
    calibration: Calibration, scores: _Scores, targets: Int[np.ndarray, "images"], weights: _Weights
) -> NetBenefit:
    """Measure the decision curve of the calibrated probabilities on test."""
    probabilities = 1 / (1 + np.exp(-(calibration.slope * scores.astype(np.float64) + calibration.bias)))
    once = net_benefits(probabilities, targets, ACTING_AT, np.ones((1, len(targets))))
    draws = net_benefits(probabilities, targets, ACTING_AT, weights)
    model, everyone = (
        [estimate_of(float(value), own) for value, own in zip(values[0], drawn.T, strict=True)]
        for values, drawn in zip(once, draws, strict=True)
    )
    return NetBenefit(acting_at=ACTING_AT.tolist(), model=model, everyone=everyone)


def judged_rows(
    labels: LabelMatrix,
    scores: Mapping[str, _Scores],
    findings: Mapping[str, FindingResult],
    store: Path,
    settings: ZeroShotSettings,
) -> tuple[int, list[dict[str, object]]]:
    """Return the side of the images, and rows of `judged_images`: test images drawn by seed, of each kind and finding.

    Without leave to publish there are none.
    """
    images, rows = ImageStore(store), []
    for finding, result in findings.items():
        targets, threshold = labels.of(finding), result.operating_points["youden"].threshold
        test = (labels.images["split"] == "test").to_numpy()
        for outcome, (is_positive, target) in OUTCOMES.items():
            places = np.flatnonzero(test & (targets == target) & ((scores[finding] >= threshold) == is_positive))
            rng = np.random.default_rng(seed_from("judged images", settings.seed, finding, outcome))
            for place in rng.permutation(places)[: settings.samples]:
                image_id = labels.images["image_id"][int(place)]
                rows.append({"image_id": image_id, "finding": finding, "outcome": outcome,
                             "score": float(scores[finding][place]),
                             "pixels": images.pixels(images.row_of(image_id)).tobytes()})  # fmt: skip
    return images.size, rows
