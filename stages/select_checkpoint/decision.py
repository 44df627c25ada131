"""The choice of a candidate by a rule in the configuration, and the certainty of the order of the first two."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from ..common.metrics.ranking import draw_weights
from ..common.records import Estimate
from .candidate_scores import ScoredCandidate
from .contract import SelectCheckpointSettings

_LOWER_IS_BETTER = ("contrastive_loss",)
_WORDS = {
    "contrastive_loss": "contrastive loss of validation pairs, both directions, lower is better",
    "mean_reciprocal_rank": "mean reciprocal rank of validation pairs, both directions",
    "recall_at_1": "recall at 1 of validation pairs, both directions",
    "recall_at_5": "recall at 5 of validation pairs, both directions",
    "recall_at_10": "recall at 10 of validation pairs, both directions",
    "zero_shot_auc": "zero-shot AUC on validation labels, mean over prompt sets",
}


@dataclass(frozen=True)
class Decision:
    """The chosen candidate, and why."""

    chosen: ScoredCandidate
    best: ScoredCandidate
    runner_up: ScoredCandidate | None  # the second best; None if there is only one candidate
    lead: Estimate | None  # of the best over the runner-up: positive is better, with its 95 % interval
    criterion: str
    rule: str
    reason: str


def decide(
    candidates: list[ScoredCandidate],
    groups: Shaped[np.ndarray, "units"],
    settings: SelectCheckpointSettings,
    masked: bool = True,
) -> Decision:
    """Choose the best candidate by the criterion (of equal ones the earlier), then the earliest within the margin.

    `groups` names the patient of each study (or labelled image for zero_shot_auc): whole patients are drawn.
    `masked` says whether the loss hides patches.
    """
    criterion, margin = settings.criterion, settings.margin
    sign = -1 if criterion in _LOWER_IS_BETTER else 1
    goodness = {each.step: sign * float(each.score(criterion)[0]) for each in candidates}
    order = sorted(candidates, key=lambda each: (-goodness[each.step], each.step))
    best, runner_up = order[0], order[1] if len(order) > 1 else None
    within = [each for each in candidates if goodness[each.step] >= goodness[best.step] - margin]
    chosen = min(within, key=lambda each: each.step) if margin else best
    lead = _lead(best, runner_up, groups, settings, sign)
    averaged = f", mean of {settings.maskings} maskings" if masked and criterion == "contrastive_loss" else ""
    rule = f"the earliest candidate at most {margin:g} worse than the best" if margin else "the best candidate"
    return Decision(
        chosen,
        best,
        runner_up,
        lead,
        _WORDS[criterion] + averaged,
        rule,
        _reason(chosen, best, runner_up, lead, goodness),
    )


def _lead(
    best: ScoredCandidate,
    runner_up: ScoredCandidate | None,
    groups: Shaped[np.ndarray, "units"],
    settings: SelectCheckpointSettings,
    sign: int,
) -> Estimate | None:
    """Return the lead of the best with its interval: both candidates are evaluated on the same draws of patients."""
    if runner_up is None:
        return None

    def difference(weights: np.ndarray | None) -> np.ndarray:
        return sign * (best.score(settings.criterion, weights) - runner_up.score(settings.criterion, weights))

    drawn = difference(draw_weights(groups, settings.draws, settings.seed))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Estimate(value=float(difference(None)[0]), low=float(low), high=float(high))


def _reason(
    chosen: ScoredCandidate,
    best: ScoredCandidate,
    runner_up: ScoredCandidate | None,
    lead: Estimate | None,
    goodness: dict[int, float],
) -> str:
    if runner_up is None or lead is None:
        return f"step {chosen.step:,} is the only candidate"
    sure = "better than" if lead.low > 0 else "not clearly better than"
    words = (
        f"step {best.step:,} is best, {lead.value:.4g} [{lead.low:.4g}, {lead.high:.4g}] {sure} step "
        f"{runner_up.step:,}, the runner-up"
    )
    if chosen is best:
        return words
    behind = goodness[best.step] - goodness[chosen.step]
    return f"{words}; step {chosen.step:,}, {behind:.4g} worse, is the earliest within the margin"
