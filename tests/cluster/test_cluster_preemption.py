"""A training that is preempted, requeued or out of time goes on where it was, and ends in the same weights."""

import pytest
import yaml
from fault_runs import Run, report
from faults import AfterSteps, Faults, exceed_time, preempt, requeue, steps_in
from user_checkout import Checkout

pytestmark = pytest.mark.cluster_faults

STEPS_BEFORE = 60
LOGGED = 20  # a training tells of every twentieth step: what it did after the last one it told of is not known
FAULTS = {"preempted": preempt, "requeued": requeue, "timed_out": exceed_time}


@pytest.fixture(scope="module")
def trained(user: Checkout, undisturbed: Run) -> tuple[Run, Faults]:
    """One run of four equal variants that differ in what is done to them: `mlip` is left alone."""
    overlay = {
        "compare": ["mlip", *FAULTS],
        "variants": {name: {} for name in FAULTS},
        "pretrain": {"optimisation": {"epochs": 200}},
    }
    (user.folder / "preemption.yaml").write_text(yaml.safe_dump(overlay))
    settings = ("workflow/profiles/demo/settings.yaml", "tests/cluster/small_settings.yaml", "preemption.yaml")
    run = Run(user, "preemption", "--configfile", *settings, "--until", "pretrain")
    for part in ("phantom", "results/index_inputs", "results/dicom_to_arrow", "results/split_reports",
                 "results/pair_images_reports", "results/make_phantom"):  # fmt: skip
        run.copy(undisturbed, part)
    faults = {
        f"pretrain/{name}": AfterSteps(fault, run.place / "logs" / "pretrain" / f"{name}.log", STEPS_BEFORE)
        for name, fault in FAULTS.items()
    }
    with Faults(faults) as done:
        run.go()
    assert set(done.done) == set(faults)
    return run, done


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


def weights(run: Run, variant: str) -> dict[str, bytes]:
    """Bytes of the candidates by file name."""
    folder = run.place / "results" / "pretrain" / variant / "candidates"
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}


def resumed_at(log: str) -> int:
    lines = [line for line in log.splitlines() if line.startswith("resuming at step ")]
    return int(lines[0].split()[3]) if lines else 0
