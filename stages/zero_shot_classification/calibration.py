"""Calibration of zero-shot scores: probabilities fitted on validation, and how reliable they are on test.

A score is a difference of two cosines, so that sigmoid(score / temperature) is the softmax over the finding and its
absence. Temperature scaling (Guo et al., On Calibration of Modern Neural Networks, ICML 2017) fits the factor. A
finding is often much rarer than its absence, which no factor expresses: Platt's scaling (Probabilistic Outputs for
Support Vector Machines, 1999) also fits a bias. Both minimise the cross-entropy with Platt's smoothed targets, (n +
1) / (n + 2) of n positives and 1 / (n + 2) of n negatives, so that a validation part that the score separates has a
finite fit.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from ..common.metrics.ranking import estimate, mean_of
from .contract import Calibration, Reliability, ReliabilityBin

BINS = 15  # of equal width, as in Guo et al.
_STEPS = 100


def calibrate(
    method: Literal["temperature", "platt"],
    temperature: float,
    validation: tuple[Float[np.ndarray, "fitted"], Int[np.ndarray, "fitted"]],
    test: tuple[Float[np.ndarray, "images"], Int[np.ndarray, "images"]],
    weights: Float[np.ndarray, "draws images"],
) -> Calibration:
    """Fit on the scores and targets of validation, and measure on those of test before and after."""
    scores, targets = test
    slope, bias = fit(*validation, with_bias=method == "platt")
    return Calibration(
        method=method,
        temperature=temperature,
        slope=slope,
        bias=bias,
        before=reliability(_sigmoid(scores / temperature), targets, weights),
        after=reliability(_sigmoid(slope * scores + bias), targets, weights),
    )


def fit(
    scores: Float[np.ndarray, "images"], targets: Int[np.ndarray, "images"], with_bias: bool
) -> tuple[float, float]:
    """Return slope and bias of the logistic regression with smoothed targets, by Newton's method with halved steps."""
    positives = int((targets == 1).sum())
    wanted = np.where(targets == 1, (positives + 1) / (positives + 2), 1 / (len(targets) - positives + 2))
    scale = float(np.abs(scores).max()) or 1.0  # scores of the size of 1
    design = np.stack([scores / scale, np.ones_like(scores)], axis=1)[:, : 2 if with_bias else 1]
    found = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        probability = _sigmoid(design @ found)
        gradient = design.T @ (probability - wanted)
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        share = 1.0
        while _loss(design @ (found - share * step), wanted) > _loss(design @ found, wanted) and share > 1e-9:
            share /= 2
        found = found - share * step
        if np.abs(share * step).max() < 1e-10 * (1 + np.abs(found).max()):
            break
    return float(found[0] / scale), float(found[1]) if with_bias else 0.0


def reliability(
    probabilities: Float[np.ndarray, "images"],
    targets: Int[np.ndarray, "images"],
    weights: Float[np.ndarray, "draws images"],
) -> Reliability:
    """Measure probabilities of a finding: expected calibration error, Brier score and the reliability curve."""
    place = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], probabilities)
    members = np.eye(BINS)[place]
    counts = members.sum(axis=0)
    means = [
        np.divide(each @ members, counts, out=np.zeros(BINS), where=counts > 0) for each in (probabilities, targets)
    ]
    bins = [
        ReliabilityBin(images=int(count), probability=float(mean) if count else None,
                       positives=float(share) if count else None)
        for count, mean, share in zip(counts, *means, strict=True)
    ]  # fmt: skip
    return Reliability(
        calibration_error=_calibration_error(members, probabilities - targets),
        brier=estimate(mean_of((probabilities - targets) ** 2), weights),
        bins=bins,
    )


def _calibration_error(
    members: Float[np.ndarray, "images bins"],
    differences: Float[np.ndarray, "images"],
) -> float:
    """Return the mean over images of |mean probability - share of positives| of their bin."""
    return float(np.abs(differences @ members).sum() / len(differences))


def _sigmoid(values: Float[np.ndarray, "images"]) -> Float[np.ndarray, "images"]:
    return np.exp(-np.logaddexp(0, -values))


def _loss(values: Float[np.ndarray, "images"], wanted: Float[np.ndarray, "images"]) -> float:
    return float((np.logaddexp(0, values) - wanted * values).sum())
