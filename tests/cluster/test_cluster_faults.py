"""Whatever happens to jobs, the same command ends in the same bytes. Long: `make test-cluster-faults`.

MLIP_FAULT_STAGES limits the run to preparation ("preparation"), for a first look; MLIP_FAULT_TABLE is where a table of
what happened is appended to; MLIP_CLUSTER_CHECKOUT keeps the undisturbed run for the next session.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

import pytest
from fault_runs import (
    ONLY_PREPARATION,
    STAGES,
    UP_TO_PREPARATION,
    Run,
    differences,
    hashes,
    report,
    wait_for_an_empty_queue,
)
from faults import Fault, Faults, Halfway, cancel, exceed_time, kill, requeue
from user_checkout import Checkout

pytestmark = pytest.mark.cluster_faults

LAST_RULE = {"few_shot_classification": "few_shot_classification_linear", "dicom_to_arrow": "dicom_to_arrow_duplicates"}


def only(rule: str) -> list[str]:
    """That rule alone: forced, since Snakemake does not miss outputs between files that are there and up to date."""
    return ["--forcerun", rule, "--until", rule]


@pytest.mark.parametrize("kinds", [(kill,), (cancel, requeue)], ids=["kill", "cancel_and_requeue"])
def test_each_stage_s_job_is_lost_once(user: Checkout, undisturbed: Run, kinds: tuple[Fault, ...]) -> None:
    """Every stage meets a fault when half of its work is done; where there are two kinds they take turns."""
    run = Run(user, "_".join(each.__name__ for each in kinds))
    of_stage: Mapping[str, Fault] = dict(zip(STAGES, cycle(kinds), strict=False))
    halfway = {stage: Halfway(fault, user.folder, undisturbed.place) for stage, fault in of_stage.items()}
    with Faults(halfway) as faults:
        run.go(*(UP_TO_PREPARATION if ONLY_PREPARATION else ()))
    assert set(faults.done) == set(STAGES)
    assert differences(hashes(run.place), hashes(undisturbed.place)) == []
    for stage, running in faults.done.items():
        fault, attempts = of_stage[stage], run.attempts(running.job)
        if fault is requeue:  # SLURM's affair: no attempt of Snakemake's is used up
            assert [each["Restarts"] for each in attempts] == ["1"], attempts
        else:
            assert len(attempts) == 2, attempts
        how = "the same job again" if fault is requeue else "a second job"
        report(f"{fault.__name__}, halfway", stage, f"{how}; every output of the run equal")


@pytest.mark.parametrize("stage", STAGES)
def test_snakemake_dies_with_its_job_and_forgets_everything(user: Checkout, undisturbed: Run, stage: str) -> None:
    """The job, Snakemake and all other jobs are killed, .snakemake/ is deleted: the same command makes it good."""
    rule = LAST_RULE.get(stage, stage)
    run = Run(user, f"forgotten_{stage}")
    run.copy(undisturbed)
    shutil.rmtree(run.place / "results" / stage)
    if stage == "make_phantom":
        shutil.rmtree(run.place / "phantom")
    run.arguments += only(rule)
    with Faults({stage: Halfway(kill, user.folder, undisturbed.place)}) as faults:
        running = run.start()
        deadline = time.monotonic() + 1500
        while stage not in faults.done:
            assert running.poll() is None, running.communicate()[0]
            assert time.monotonic() < deadline, f"{stage} did not start"
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
    user.slurm.command("scancel", "--user=root")
    wait_for_an_empty_queue(user)
    subprocess.run(["rm", "-rf", user.folder / ".snakemake"], check=True)
    run.go()
    assert differences(hashes(run.place), hashes(undisturbed.place)) == []
    report("SIGKILL of job and snakemake, .snakemake/ deleted", stage, "same command again; every output equal")
    shutil.rmtree(run.place)


def test_jobs_that_a_killed_snakemake_left_are_named_before_others_join_them(user: Checkout, undisturbed: Run) -> None:
    """Snakemake alone is killed; its job trains on, and nothing trains beside it."""
    run = Run(user, "left", *only("pretrain"))
    run.copy(undisturbed)
    shutil.rmtree(run.place / "results" / "pretrain")
    with Faults({"pretrain": lambda running: os.kill(running.pid, signal.SIGSTOP)}) as faults:
        running = run.start()
        while not faults.done:
            assert running.poll() is None, running.communicate()[0]
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
    job = faults.done["pretrain"]
    run.go("--unlock")
    assert f"scancel {job.job}" in run.go(check=False)
    os.kill(job.pid, signal.SIGCONT)
    wait_for_an_empty_queue(user)
    run.go()
    assert differences(hashes(run.place), hashes(undisturbed.place)) == []
    report("SIGKILL of snakemake alone", "pretrain", "its job is named, nothing starts beside it; every output equal")


def test_a_job_that_runs_out_of_time_is_tried_again(user: Checkout, undisturbed: Run) -> None:
    run = Run(user, "timeout", "--until", "split_reports")
    with Faults({"split_reports": exceed_time}) as faults:
        run.go()
    job = faults.done["split_reports"].job
    assert run.jobs()[job]["JobState"] == "TIMEOUT"
    assert len(run.attempts(job)) == 2
    assert equal_as_far_as_it_went(run, undisturbed)
    report("walltime TIMEOUT", "split_reports", "a second job; every output equal")


def test_the_controller_is_away_for_a_minute(user: Checkout, undisturbed: Run) -> None:
    run = Run(user, "controller", *UP_TO_PREPARATION)
    with Faults({"index_inputs": lambda _: None}) as faults:
        running = run.start()
        while not faults.done:
            assert running.poll() is None, running.communicate()[0]
            time.sleep(0.1)
    user.slurm.stop("slurmctld")
    time.sleep(60)
    user.slurm.start_controller()
    waits = ended_or_waiting_for_nothing(user, running)
    if waits:  # where there is no accounting the plugin asks sacct from then on, and never gets an answer
        os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    if waits:
        run.go("--unlock")
    if waits or running.returncode:  # what was asked for in that minute may have failed; the same command goes on
        run.go()
    assert equal_as_far_as_it_went(run, undisturbed)
    how = "waits for ever without accounting: ended, " if waits else ""
    how += "same command again" if waits or running.returncode else "went on by itself"
    report("controller away for 60 s", "index_inputs and after", f"{how}; every output equal")


def test_a_full_disk_and_a_read_only_one_are_told_and_mended(user: Checkout, undisturbed: Run, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"NOT RUN: no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        run = Run(user, "disk", *UP_TO_PREPARATION, folder=place / "run", keep=True)
        output = run.go("--retries", "0", check=False)
        assert "No space left on device" in output + user.failed_logs()
        subprocess.run(["mount", "-o", "remount,ro,size=2g", place], check=True)
        output = run.go(check=False)
        assert "Read-only file system" in output + user.failed_logs()
        subprocess.run(["mount", "-o", "remount,rw", place], check=True)
        run.go("--unlock")
        run.go()
        assert equal_as_far_as_it_went(run, undisturbed)
        report("full disk, then a read-only one", "make_phantom", "told; with room again every output equal")
    finally:
        subprocess.run(["umount", place], check=False)


def test_a_corrupted_shard_is_named_where_it_is_read(user: Checkout, undisturbed: Run) -> None:
    run = Run(user, "corrupted", *only("pair_images_reports"))
    run.copy(undisturbed)
    shutil.rmtree(run.place / "results" / "pair_images_reports")
    shard = next((run.place / "results" / "dicom_to_arrow" / "mimic_cxr" / "shards").glob("[0-9].arrow"))
    content, times = shard.read_bytes(), shard.stat()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    shard.write_bytes(flipped)
    os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))
    output = run.go("--retries", "0", check=False) + user.failed_logs()
    assert f"{shard.name}: damaged (sha256" in output
    shard.write_bytes(content)
    os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))
    run.go()
    assert differences(hashes(run.place), hashes(undisturbed.place)) == []
    report("a bit of a shard flipped", "pair_images_reports", "shard named at load; mended: every output equal")


def ended_or_waiting_for_nothing(user: Checkout, running: subprocess.Popen[str]) -> bool:
    """Wait until Snakemake has ended (False), or goes on for four minutes after the queue was empty (True)."""
    deadline = time.monotonic() + 3000
    empty_since: float | None = None
    while running.poll() is None:
        assert time.monotonic() < deadline, user.slurm.command("squeue")
        queued = user.slurm.command("squeue", "--noheader", check=False).strip()
        empty_since = None if queued else empty_since or time.monotonic()
        if empty_since is not None and time.monotonic() > empty_since + 240:
            return True
        time.sleep(2)
    return False


def equal_as_far_as_it_went(run: Run, undisturbed: Run) -> bool:
    """Whether the outputs that a part of the DAG made are those of the undisturbed run."""
    made, expected = hashes(run.place), hashes(undisturbed.place)
    assert made
    assert [path for path in made if made[path] != expected.get(path)] == []
    return True
