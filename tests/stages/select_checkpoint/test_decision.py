"""The rule by hand-made candidates."""

from pathlib import Path

import numpy as np
import pytest

from stages.common.errors import InputError
from stages.select_checkpoint.candidate_scores import ScoredCandidate
from stages.select_checkpoint.contract import SelectCheckpointSettings
from stages.select_checkpoint.decision import decide

PATIENTS = np.arange(40) // 2


def candidates(name: str, **values) -> list[ScoredCandidate]:
    """`step_10=[...]`: what each of 40 studies contributes; a number for all alike."""
    return [
        ScoredCandidate(int(step.removeprefix("step_")), Path("x"), {name: np.broadcast_to(value, 40).astype(float)})
        for step, value in values.items()
    ]


def test_losses_are_best_when_low_and_ranks_when_high() -> None:
    for name, best in (("contrastive_loss", 10), ("mean_reciprocal_rank", 20)):
        scored = candidates(name, step_10=0.2, step_20=0.5, step_30=0.3)
        assert decide(scored, PATIENTS, SelectCheckpointSettings(criterion=name)).chosen.step == best


def test_of_equal_candidates_the_earlier_is_chosen() -> None:
    scored = candidates("recall_at_1", step_10=0.2, step_20=0.5, step_30=0.5)
    decision = decide(scored, PATIENTS, SelectCheckpointSettings(criterion="recall_at_1"))
    assert (decision.chosen.step, decision.runner_up.step) == (20, 30)
    assert (decision.lead.value, decision.lead.low, decision.lead.high) == (0, 0, 0)
    assert "not clearly better than step 30" in decision.reason


def test_the_earliest_within_the_margin_is_chosen() -> None:
    scored = candidates("contrastive_loss", step_10=1.3, step_20=1.04, step_30=1.0)
    assert decide(scored, PATIENTS, SelectCheckpointSettings(margin=0.05)).chosen.step == 20
    assert decide(scored, PATIENTS, SelectCheckpointSettings(margin=0.03)).chosen.step == 30
    assert decide(scored, PATIENTS, SelectCheckpointSettings(margin=9)).chosen.step == 10


def test_the_interval_is_that_of_paired_differences_over_patients() -> None:
    """Differences of a patient's studies are equal, so their mean over 20 patients has the error sd / sqrt(20)."""
    noise = np.random.default_rng(0)
    hard = np.repeat(noise.normal(3, 5, 20), 2)  # how hard a patient is does not count: it is hard for both
    gain = np.repeat(noise.normal(0.5, 0.2, 20), 2)
    scored = candidates("contrastive_loss", step_10=hard, step_20=hard - gain)
    decision = decide(scored, PATIENTS, SelectCheckpointSettings(draws=4000))
    assert decision.best.step == 20
    assert decision.lead.value == pytest.approx(gain.mean())
    half = 1.96 * gain.std() / np.sqrt(20)
    assert decision.lead.low == pytest.approx(gain.mean() - half, abs=0.15 * half)
    assert decision.lead.high == pytest.approx(gain.mean() + half, abs=0.15 * half)
    assert "better than step 10" in decision.reason


def test_one_candidate_has_no_rival() -> None:
    decision = decide(candidates("contrastive_loss", step_7=1.0), PATIENTS, SelectCheckpointSettings())
    assert decision.runner_up is None
    assert decision.reason == "step 7 is the only candidate"


def test_labels_must_be_named_to_decide() -> None:
    with pytest.raises(InputError, match="zero_shot_on: name the data set"):
        SelectCheckpointSettings.from_text("{criterion: zero_shot_auc}")


def test_a_lower_loss_is_called_better_and_steps_have_one_form() -> None:
    scored = candidates("contrastive_loss", step_1175=1.3, step_1566=1.0)
    reason = decide(scored, PATIENTS, SelectCheckpointSettings()).reason
    assert reason == "step 1,566 is best, 0.3 [0.3, 0.3] better than step 1,175, the runner-up"
    reason = decide(scored, PATIENTS, SelectCheckpointSettings(margin=0.5)).reason
    assert reason.endswith("; step 1,175, 0.3 worse, is the earliest within the margin")
