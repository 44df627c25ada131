"""A training on two nodes loses a rank, a launcher, a node, its GPUs, its time, the controller, the database."""

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fault_runs import Run, report, train_variants, weights
from faults import AfterSteps, Faults, RunningStage, exceed_time, kill, preempt, steps_in
from two_node_slurm import TwoNodeSlurm
from user_checkout import Checkout

pytestmark = pytest.mark.cluster_faults

STEPS_BEFORE = 60
ON_TWO_NODES = ("--set-resources", "pretrain:nodes=2", "pretrain:gpu=4")  # all GPUs: one training at a time


def ranks_of(running: RunningStage) -> list[RunningStage]:
    """The processes that torchrun, which took the place of the stage, has started on its node."""
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    return [replace(running, pid=int(each)) for each in children]


def kill_rank(running: RunningStage) -> None:
    kill(ranks_of(running)[-1])


def exceed_time_of_ranks(running: RunningStage) -> None:
    """Stop the ranks of a node, for which the others then wait, until the time is over."""
    *others, last = ranks_of(running)
    for each in others:
        os.kill(each.pid, signal.SIGSTOP)
    exceed_time(last)
    for each in others:
        os.kill(each.pid, signal.SIGCONT)


def lose_node(_: RunningStage) -> None:
    """Take one node of the job away for some seconds, as if it had died."""
    node = ["scontrol", "update", "NodeName=node2"]
    subprocess.run([*node, "State=DOWN", "Reason=lost"], check=True)
    time.sleep(10)
    subprocess.run([*node, "State=RESUME"], check=False)  # refused where its daemon has registered it again meanwhile


FAULTS = {
    "rank_killed": kill_rank,
    "launcher_killed": kill,
    "node_lost": lose_node,
    "preempted": preempt,
    "timed_out": exceed_time_of_ranks,
}
AWAY = "controller_away"  # the one fault that a training outlives


@pytest.fixture(scope="module")
def trained(user: Checkout, undisturbed: Run) -> tuple[Run, Faults]:
    def lose_controller(_: RunningStage) -> None:
        user.slurm.stop("slurmctld")
        time.sleep(30)
        user.slurm.start_controller()

    return train_variants(
        user, undisturbed, "nodes", {**FAULTS, AWAY: lose_controller}, 100, STEPS_BEFORE, *ON_TWO_NODES
    )


@pytest.mark.parametrize("name", [*FAULTS, AWAY])
def test_the_weights_are_those_of_a_training_that_was_left_alone(trained: tuple[Run, Faults], name: str) -> None:
    run, faults = trained
    alone = weights(run, "mlip")
    assert alone
    assert weights(run, name) == alone
    attempts = run.attempts(faults.done[f"pretrain/{name}"].job)
    restarts = [each["Restarts"] for each in attempts]
    fault = faults.of_stage[f"pretrain/{name}"]
    assert isinstance(fault, AfterSteps)
    told = [line for line in fault.last.splitlines() if line.startswith(("error:", "Error", "pretrain:"))]
    report(
        f"{name}, two nodes", "pretrain",
        f"{len(attempts)} job(s), restarts {restarts}, after step {steps_in(fault.last)}; weights equal: {told[:1]}",
    )  # fmt: skip
    again = len(attempts) - 1 + sum(map(int, restarts))
    assert (again == 0) if name == AWAY else (again >= 1)


def test_the_database_is_away_for_a_minute(user: Checkout) -> None:
    """The controller keeps what it could not tell the database; nothing is lost, nothing runs twice."""
    run = Run(user, "database", "--until", "pair_images_reports")
    slurm: TwoNodeSlurm = user.slurm
    with Faults({"index_inputs": lambda _: None}) as faults:
        running = run.start()
        while not faults.done:
            assert running.poll() is None, running.communicate()[0]
            time.sleep(0.1)
    slurm.stop("slurmdbd")
    time.sleep(60)
    slurm.start_accounting()
    output, _ = running.communicate(timeout=1500)
    if running.returncode:
        run.go()
    assert all(len(run.attempts(job)) == 1 for job in run.jobs()), output
    how = "same command again" if running.returncode else "continued by itself"
    report("database away for 60 s", "index_inputs and after", f"{how}; no job ran twice")
