"""A training that is preempted, requeued or out of time goes on where it was, and ends in the same weights."""

import pytest
from fault_runs import Run, report, train_variants, weights
from faults import AfterSteps, Faults, exceed_time, preempt, requeue, steps_in
from user_checkout import Checkout

pytestmark = pytest.mark.cluster_faults

STEPS_BEFORE = 60
LOGGED = 20  # a training tells of every twentieth step: what it did after the last one it told of is not known
FAULTS = {"preempted": preempt, "requeued": requeue, "timed_out": exceed_time}


@pytest.fixture(scope="module")
def trained(user: Checkout, undisturbed: Run) -> tuple[Run, Faults]:
    return train_variants(user, undisturbed, "preemption", FAULTS, 200, STEPS_BEFORE)


@pytest.mark.parametrize("name", FAULTS)
def test_the_weights_are_those_of_a_training_that_was_left_alone(trained: tuple[Run, Faults], name: str) -> None:
    run, _ = trained
    alone, other = weights(run, "mlip"), weights(run, name)
    assert alone
    assert other == alone


@pytest.mark.parametrize("name", FAULTS)
def test_hardly_a_step_is_done_twice(trained: tuple[Run, Faults], name: str) -> None:
    run, faults = trained
    fault = faults.of_stage[f"pretrain/{name}"]
    assert isinstance(fault, AfterSteps)
    done, again = steps_in(fault.last), resumed_at(fault.read())
    assert done >= STEPS_BEFORE
    assert again >= done, f"{done} steps were done, and the next attempt began at {again}: {fault.last[-2000:]}"
    job = faults.done[f"pretrain/{name}"].job
    attempts = run.attempts(job)
    if name == "timed_out":  # one of the six retries that the rule has
        assert sorted(each["JobState"] for each in attempts) == ["COMPLETED", "TIMEOUT"]
    else:  # SLURM's affair: none of them
        assert [each["Restarts"] for each in attempts] == ["1"]
    how = "a second job" if name == "timed_out" else "the same job again"
    report(
        FAULTS[name].__name__, "pretrain",
        f"{how}, from step {again} ({done} were told of before the end); weights equal",
    )  # fmt: skip


def resumed_at(log: str) -> int:
    lines = [line for line in log.splitlines() if line.startswith("resuming at step ")]
    return int(lines[0].split()[3]) if lines else 0
