"""Whatever happens to jobs, the same command ends in the same bytes. Long: `make test-cluster-faults`.

MLIP_FAULT_STAGES limits the run to preparation ("preparation"), for a first look.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from faults import Fault, Faults, cancel, exceed_time, hashes, kill, requeue
from user_checkout import Checkout

pytestmark = pytest.mark.cluster_faults

PREPARATION = ("make_phantom", "index_inputs", "dicom_to_arrow", "split_reports", "pair_images_reports", "label_images")
REST = ("audit_splits", "pretrain", "select_checkpoint", "extract_features", "zero_shot_classification",
        "few_shot_classification", "few_shot_segmentation", "phrase_grounding", "retrieval", "summarize")  # fmt: skip
ONLY_PREPARATION = os.environ.get("MLIP_FAULT_STAGES") == "preparation"
STAGES = PREPARATION if ONLY_PREPARATION else PREPARATION + REST


def targets(workspace: str) -> list[str]:
    if not ONLY_PREPARATION:
        return []
    results = f"{workspace}/results"
    return [f"{results}/pair_images_reports/mimic_cxr/pairs.arrow", f"{results}/label_images/rsna/labels.arrow"]


class Run:
    """One workspace of the checkout, and the user's command on it."""

    def __init__(self, checkout: Checkout, name: str, folder: Path | None = None) -> None:
        self.checkout = checkout
        self.workspace = str(folder or f"runs/{name}")
        self.arguments = ["--config", f"workspace={self.workspace}", "--", *targets(self.workspace)]

    @property
    def results(self) -> Path:
        return self.checkout.folder / self.workspace / "results"

    def go(self, *options: str, check: bool = True, seconds: float = 2400) -> str:
        return self.checkout.snakemake(*options, *self.arguments, check=check, seconds=seconds)

    def start(self) -> subprocess.Popen[str]:
        return self.checkout.start(*self.arguments)


@pytest.fixture(scope="module")
def user(checkout: Checkout) -> Checkout:
    profile = checkout.folder / "workflow/profiles/slurm/config.yaml"
    values = yaml.safe_load(profile.read_text())
    values.pop("default-resources")
    profile.write_text(yaml.safe_dump(values))
    return checkout


@pytest.fixture(scope="module")
def undisturbed(user: Checkout) -> dict[str, str]:
    """Hashes of a run to which nothing was done."""
    run = Run(user, "undisturbed")
    run.go()
    return hashes(run.results)


def report(line: str) -> None:
    """A line of the table of faults and outcomes, where one is wanted."""
    if destination := os.environ.get("MLIP_FAULT_TABLE"):
        with Path(destination).open("a") as table:
            table.write(f"{line}\n")


@pytest.mark.parametrize("fault", [kill, cancel, requeue], ids=lambda fault: fault.__name__)
def test_each_stage_s_job_is_lost_once(user: Checkout, undisturbed: dict[str, str], fault: Fault) -> None:
    run = Run(user, fault.__name__)
    with Faults(dict.fromkeys(STAGES, fault)) as faults:
        run.go()
    assert set(faults.done) == set(STAGES)
    assert hashes(run.results) == undisturbed
    for stage, running in faults.done.items():
        report(f"{fault.__name__:10} {stage:28} job {running.job}: same bytes")


@pytest.mark.parametrize("stage", STAGES[-1:] if ONLY_PREPARATION else ("dicom_to_arrow", "pretrain"))
def test_snakemake_dies_with_its_job_and_forgets_everything(user: Checkout, undisturbed, stage: str) -> None:
    run = Run(user, f"forgotten_{stage}")
    with Faults({stage: kill}) as faults:
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
    assert hashes(run.results) == undisturbed
    report(f"{'SIGKILL of snakemake and job, .snakemake deleted':50} {stage}: same bytes")


def test_a_job_that_runs_out_of_time_is_tried_again(user: Checkout, undisturbed: dict[str, str]) -> None:
    run = Run(user, "timeout")
    with Faults({"split_reports": exceed_time}) as faults:
        run.go()
    job = faults.done["split_reports"].job
    assert user.slurm.jobs()[job]["JobState"] == "TIMEOUT"
    assert hashes(run.results) == undisturbed
    report(f"{'TIMEOUT':50} split_reports: same bytes")


def test_the_controller_is_away_for_a_minute(user: Checkout, undisturbed: dict[str, str]) -> None:
    run = Run(user, "controller")
    with Faults({"index_inputs": lambda _: None}) as faults:
        running = run.start()
        while not faults.done:
            assert running.poll() is None, running.communicate()[0]
            time.sleep(0.1)
    user.slurm.stop_controller()
    time.sleep(60)
    user.slurm.start_controller()
    running.communicate(timeout=2400)
    if running.returncode:  # what was asked for in that minute may have failed; the same command goes on
        run.go()
    assert hashes(run.results) == undisturbed
    report(
        f"{'controller away for 60 s':50} {'went on' if not running.returncode else 'same command again'}: same bytes"
    )


def test_a_full_disk_and_a_read_only_one_are_told_and_mended(user: Checkout, undisturbed, tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"NOT RUN: no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        run = Run(user, "disk", place / "run")
        output = run.go(check=False)
        assert "No space left on device" in output + user.failed_logs()
        subprocess.run(["mount", "-o", "remount,ro,size=2g", place], check=True)
        output = run.go(check=False)
        assert "Read-only file system" in output
        subprocess.run(["mount", "-o", "remount,rw", place], check=True)
        run.go("--unlock")
        run.go()
        assert hashes(run.results) == undisturbed
        report(f"{'full disk; read-only':50} told, then same bytes")
    finally:
        subprocess.run(["umount", place], check=False)


def test_a_corrupted_shard_is_named_where_it_is_read(user: Checkout, undisturbed: dict[str, str]) -> None:
    run = Run(user, "undisturbed")
    shard = next((run.results / "dicom_to_arrow" / "mimic_cxr" / "shards").glob("[0-9].arrow"))
    content, times = shard.read_bytes(), shard.stat()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    shard.write_bytes(flipped)
    os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))
    output = run.go("--forcerun", "pair_images_reports", "--retries", "0", check=False) + user.failed_logs()
    assert f"{shard.name}: damaged (sha256" in output
    shard.write_bytes(content)
    os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))
    run.go()
    assert hashes(run.results) == undisturbed
    report(f"{'a bit of a shard flipped':50} named at load; mended, same bytes")


def wait_for_an_empty_queue(user: Checkout) -> None:
    deadline = time.monotonic() + 60
    while user.slurm.command("squeue", "--noheader").strip():
        assert time.monotonic() < deadline, user.slurm.command("squeue")
        time.sleep(0.5)
