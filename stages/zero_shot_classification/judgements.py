"""Judge scores as a reader of radiographs would: operating points, subgroups, net benefit, and sample images.

Thresholds come from validation, figures from test, intervals from the same draws of patients as all other figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int, Shaped

from ..common.data.image_store import ImageStore
from ..common.data.label_matrix import LabelMatrix
from ..common.digests import seed_from
from ..common.metrics.ranking import auc, estimate, estimate_of
from ..common.radiographs.attributes import ATTRIBUTES, NOT_STATED, Attribute, age_band, age_bands
from ..common.records import FEWEST, OUTCOMES, Estimate, PointName, RateName
from .contract import Calibration, FindingResult, NetBenefit, OperatingPoint, Subgroup, ZeroShotSettings
from .operating_points import Chosen, Confusion, confusion, drawn_confusions, net_benefits

THRESHOLDS = np.arange(1, 100, 2) / 100  # threshold probabilities of the decision curve

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
    units: Shaped[np.ndarray, "images"],
) -> tuple[dict[PointName, OperatingPoint], list[Subgroup]]:
    """Measure the points on all test images, and each group at the Youden threshold; targets below 0 are unknown.

    `units` are what the draws resample: the patient of each image. A group with fewer than `FEWEST` positives or
    negatives has no figures, and a number below that is not told.
    """
    youden = points["youden"].threshold
    sizes = [[int((group.members & (targets == target)).sum()) for target in (1, 0)] for group in groups]
    everyone = np.ones(len(targets), dtype=bool)
    asked = [(everyone, each.threshold) for each in points.values()]
    asked += [(group.members, youden) for group, size in zip(groups, sizes, strict=True) if min(size) >= FEWEST]
    once = [confusion(scores, targets, *each) for each in asked]
    measured = zip(once, drawn_confusions(once, weights), strict=True)  # one product for all of them
    found = {name: _point(chosen, *next(measured), units) for name, chosen in points.items()}
    subgroups = []
    for group, size in zip(groups, sizes, strict=True):
        told = {name: number if number >= FEWEST else None
                for name, number in zip(("positives", "negatives"), size, strict=True)}  # fmt: skip
        few = [f"fewer than {FEWEST} {name}" for name, number in told.items() if number is None]
        figures = {} if few else _group_figures(group, scores, targets, weights, *next(measured), units)
        subgroups.append(
            Subgroup(attribute=group.attribute, value=group.value, not_measured=" and ".join(few), **told, **figures)
        )
    return found, subgroups


def _point(chosen: Chosen, once: Confusion, draws: Confusion, units: np.ndarray) -> OperatingPoint:
    counts = {name: int(images.sum()) for name, images in once._asdict().items()}
    return OperatingPoint(threshold=chosen.threshold, validation_sensitivity=chosen.sensitivity,
                          validation_specificity=chosen.specificity, rates=_rates(once, draws, units),
                          **counts)  # fmt: skip


def _group_figures(
    group: Group,
    scores: _Scores,
    targets: np.ndarray,
    weights: _Weights,
    once: Confusion,
    draws: Confusion,
    units: np.ndarray,
) -> dict[str, Estimate | None]:
    rates = _rates(once, draws, units)
    area = estimate(partial(auc, scores, np.where(group.members, targets, -1)), weights)
    return {"auc": area, "sensitivity": rates["sensitivity"], "specificity": rates["specificity"]}


def _rates(once: Confusion, draws: Confusion, units: np.ndarray) -> dict[RateName, Estimate | None]:
    """Return the rates with their intervals; None where nothing is in the denominator."""
    drawn, found = draws.rates(), dict[RateName, Estimate | None]()
    for name, (counted, rest) in once.parts().items():
        whole = counted | rest
        found[name] = None
        if whole.any():
            value = float(counted.sum() / whole.sum())
            found[name] = rate_estimate(value, drawn[name], len(np.unique(units[whole])))
    return found


def rate_estimate(value: float, draws: Float[np.ndarray, "draws"], units: int) -> Estimate:
    """Return a rate with its interval: of the draws, or for a rate of 0 or 1 that of Clopper and Pearson.

    There every draw is the rate itself, so that the bootstrap says nothing. `units` is the number of patients in the
    denominator (Biometrika 26:404, 1934; two-sided 95 %).
    """
    if value not in (0.0, 1.0):
        return estimate_of(value, draws)
    away = 0.025 ** (1 / units)
    return Estimate(value=value, low=away, high=1) if value else Estimate(value=value, low=0, high=1 - away)


def net_benefit(
    calibration: Calibration, scores: _Scores, targets: Int[np.ndarray, "images"], weights: _Weights
) -> NetBenefit:
    """Measure the decision curve of the calibrated probabilities on test."""
    probabilities = 1 / (1 + np.exp(-(calibration.slope * scores.astype(np.float64) + calibration.bias)))
    curves = []
    for drawn in (np.ones((1, len(targets))), weights):
        by_model, of_all = net_benefits(probabilities, targets, THRESHOLDS, drawn)
        curves.append((by_model, of_all, by_model - np.maximum(of_all, 0)))
    model, treat_all, gain = (
        [estimate_of(float(value), each) for value, each in zip(once[0], draws.T, strict=True)]
        for once, draws in zip(*curves, strict=True)
    )
    return NetBenefit(thresholds=THRESHOLDS.tolist(), model=model, treat_all=treat_all, gain=gain)


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
        for outcome, shown in zip(OUTCOMES, confusion(scores[finding], targets, test, threshold), strict=True):
            places = np.flatnonzero(shown)
            rng = np.random.default_rng(seed_from("judged images", settings.seed, finding, outcome))
            for place in rng.permutation(places)[: settings.samples]:
                image_id = labels.images["image_id"][int(place)]
                rows.append({"image_id": image_id, "finding": finding, "outcome": outcome,
                             "score": float(scores[finding][place]),
                             "pixels": images.pixels(images.row_of(image_id)).tobytes()})  # fmt: skip
    return images.size, rows
