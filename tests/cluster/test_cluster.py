"""The user's command on a real SLURM: every stage a job in its own container, nothing twice, clear refusals."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from accounting import ACCOUNT
from user_checkout import Checkout, set_account

from stages.common.digests import digest_of
from stages.contracts import STAGES
from workflow.images.lock import read_images_lock
from workflow.site_profile import read_profile

pytestmark = pytest.mark.cluster

# Zero-shot classification is among them because the demo's score reads patches.
ON_GPU = {
    "pretrain", "select_checkpoint", "extract_features", "zero_shot_classification", "retrieval",
    "few_shot_segmentation", "phrase_grounding",
}  # fmt: skip


def journals(checkout: Checkout) -> dict[str, dict]:
    return {
        str(path.relative_to(checkout.results)): json.loads(path.read_text())
        for path in sorted(checkout.results.rglob("journal*.json"))
        if path.parent.name != "earlier_journals"
    }


def rule_stage(rule: str) -> str:
    """The stage of a rule, which has its name, or begins with it."""
    return next(stage for stage in STAGES if rule in (stage, f"{stage}_{rule.removeprefix(f'{stage}_')}"))


def state_of(folder: Path) -> str:
    """One digest of all results: names, sizes, times."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest_of([[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files])


@pytest.fixture(scope="module")
def refused_account(checkout: Checkout) -> str:
    """What the command says on a fresh clone; then the user edits the profile."""
    output = checkout.snakemake(check=False)
    set_account(checkout.folder)
    return output


@pytest.fixture(scope="module")
def second_at_once(checkout: Checkout, refused_account: str) -> str:  # noqa: ARG001 (the profile is edited first)
    """The first run, from nothing to the report; returns what a second one said that was started beside it."""
    first = checkout.start()
    deadline = time.monotonic() + 120
    while not list((checkout.folder / ".snakemake" / "locks").glob("*")):
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() < deadline, "no lock after 120 s"
        time.sleep(0.5)
    second = checkout.snakemake(check=False, seconds=120)
    output, _ = first.communicate(timeout=2400)
    assert first.returncode == 0, output + checkout.failed_logs()
    return second


@pytest.fixture(scope="module")
def finished(checkout: Checkout, second_at_once: str) -> Checkout:  # noqa: ARG001 (which runs everything)
    return checkout


def test_an_unset_account_is_asked_for_before_anything_is_submitted(refused_account: str) -> None:
    assert "slurm/config.yaml: default-resources: slurm_account is still CHANGE_ME" in refused_account


def test_a_second_run_in_the_same_folder_is_refused_and_told_why(second_at_once: str) -> None:
    assert "Directory cannot be locked" in second_at_once
    assert "--unlock" in second_at_once


def test_every_stage_ran_as_a_job_in_the_container_of_its_image(finished: Checkout) -> None:
    images = read_images_lock(finished.folder / "docker" / "images.lock.yaml")
    of_digest = {image.digest: name for name, image in images.items()}
    groups = read_profile(finished.folder / "slurm").groups
    jobs, seen, table = finished.slurm.jobs(), {}, []
    for place, journal in journals(finished).items():
        name = of_digest[journal["digests"]["image"]]
        tags = journal["tags"]
        assert tags["container"] == images[name].sif.name, place
        assert images[name].digest.removeprefix("sha256:")[:12] in tags["container"], place
        job = jobs[tags["slurm_job_id"]]
        assert job["JobState"] == "COMPLETED", place
        seen.setdefault(tags["slurm_job_id"], []).append(journal["stage"])
        seconds = (journal["ended"] - journal["started"]) / 1000
        table.append(
            f"{place.removesuffix('.json'):60} {tags['container']:32} {tags['slurm_job_id']:>5} {seconds:8.1f}"
        )
    for number, members in seen.items():
        asked = "gres:gpu" in json.dumps(jobs[number])
        assert asked == bool(ON_GPU & set(members)), (members, jobs[number])
        assert len(members) == 1 or set(members) <= {rule_stage(rule) for rule in groups}, f"{members} share a job"
    evaluations = ["extract_features", "few_shot_classification", "phrase_grounding", "retrieval",
                   "zero_shot_classification"]  # fmt: skip
    assert evaluations in [sorted(members) for members in seen.values()]
    stages = {path.name for path in (finished.folder / "workflow" / "rules").glob("*.smk")}
    ran = {f"{journal['stage']}.smk" for journal in journals(finished).values()}
    of_several_findings = "multi_class_classification.smk"  # rsna has one
    assert ran == stages - {"common.smk", "fetch_weights.smk", of_several_findings}
    report = f"{'journal':60} {'container':32} {'job':>5} {'seconds':>8}\n" + "\n".join(table) + "\n"
    (finished.folder / "jobs.txt").write_text(report)
    if destination := os.environ.get("MLIP_CLUSTER_TABLE"):
        shutil.copy(finished.folder / "jobs.txt", destination)


def test_the_accounts_have_every_job(finished: Checkout) -> None:
    """Accounting holds what the controller forgets: each job under the profile's account, on one of the nodes."""
    columns = ("JobIDRaw", "Account", "QOS", "State", "NodeList")
    lines = finished.slurm.command(
        "sacct", "--parsable2", "--noheader", "--allocations", f"--format={','.join(columns)}"
    )
    found = {line.split("|")[0]: line.split("|")[1:] for line in lines.splitlines()}
    for place, journal in journals(finished).items():
        account, qos, state, node = found[journal["tags"]["slurm_job_id"]]
        assert (account, qos, state) == (ACCOUNT, "normal", "COMPLETED"), place
        assert node in finished.slurm.nodes, place


def test_the_containers_see_what_was_passed_and_nothing_else(finished: Checkout, tmp_path: Path) -> None:
    finished.snakemake(
        *("--snakefile", "tests/cluster/probe.smk", "probe/environment.txt"),
        TMPDIR=str(tmp_path),
        MLFLOW_TRACKING_URI="http://tracking.example:5000",
        PYTHONPATH="/of/the/login/node",
        SECRET_OF_THE_LOGIN_NODE="1",
    )
    lines = (finished.folder / "probe" / "environment.txt").read_text().splitlines()
    seen = dict(line.partition("=")[::2] for line in lines if "=" in line)
    assert seen["CUDA_VISIBLE_DEVICES"] == "0"
    assert finished.slurm.jobs()[seen["SLURM_JOB_ID"]]["JobState"] == "COMPLETED"
    assert seen["TMPDIR"] == str(tmp_path)
    assert seen["MLFLOW_TRACKING_URI"] == "http://tracking.example:5000"
    assert seen["PYTHONPATH"] == str(finished.folder)
    assert "SECRET_OF_THE_LOGIN_NODE" not in seen


def test_a_node_without_its_gpu_says_so(finished: Checkout) -> None:
    refusal = (finished.folder / "probe" / "refusal.txt").read_text()
    assert "CUDA_VISIBLE_DEVICES=0, but PyTorch" in refusal
    assert "nvidia-smi" in refusal


def test_the_doctor_looks_through_slurm_into_the_image(finished: Checkout) -> None:
    """This cluster has GPUs that are none: that is told with the remedy, all else of it is well."""
    command = [sys.executable, "-m", "workflow.doctor", "--profile", "slurm", "--gpu"]
    done = subprocess.run(command, cwd=finished.folder, capture_output=True, text=True, check=False, timeout=300)
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line[:1].strip()]
    found = dict(reversed(each) for each in lines)
    well = (
        "SLURM queue",
        "SLURM accounting",
        "account",
        "partition normal",
        "Apptainer",
        "image torch",
        "container",
        "variables",
        "bind paths",
    )
    for subject in well:
        assert [state for text, state in found.items() if text.startswith(subject)] == ["ok"], done.stdout
    assert found["GPU                 one was allotted, but PyTorch in the image sees none"] == "ERROR"
    assert done.returncode == 1


def test_a_second_run_does_nothing(finished: Checkout) -> None:
    before, jobs = state_of(finished.results), len(finished.slurm.jobs())
    assert "Nothing to be done" in finished.snakemake()
    assert state_of(finished.results) == before
    assert len(finished.slurm.jobs()) == jobs


def test_only_the_unfinished_jobs_of_a_cancelled_group_compute_again(finished: Checkout) -> None:
    """Somebody cancels a group of jobs. Snakemake deletes the outputs of all of them, and tries again."""
    evaluations = ("retrieval", "phrase_grounding")
    before = {place: journal for place, journal in journals(finished).items() if journal["stage"] in evaluations}
    for place in (*before, "summarize/journal.json"):  # Snakemake makes what is missing for what is missing
        shutil.rmtree((finished.results / place).parent)
    running, job = finished.start(), ""
    deadline = time.monotonic() + 300
    while not job:
        assert running.poll() is None, running.communicate()[0]
        assert time.monotonic() < deadline, "no job of the group has ended"
        time.sleep(0.1)
        now = [each for each in journals(finished).values() if each["stage"] in evaluations]
        job = next((each["tags"]["slurm_job_id"] for each in now if each["status"] == "FINISHED"), "")
    finished.slurm.command("scancel", job)
    done = {place for place, each in journals(finished).items()
            if each["stage"] in evaluations and each["status"] == "FINISHED"}  # fmt: skip
    output, _ = running.communicate(timeout=600)
    assert running.returncode == 0, output + finished.failed_logs()
    after = {place: journals(finished)[place] for place in before}
    assert {place for place, each in after.items() if each["tags"]["slurm_job_id"] == job} >= done
    assert {each["tags"]["slurm_job_id"] for each in after.values()} > {job}, "the whole group had ended"
    assert {each["status"] for each in after.values()} == {"FINISHED"}
    for place, journal in before.items():
        assert [
            each["sha256"] for each in journal["artifacts"] if each["path"].endswith((".arrow", "result.json"))
        ] == [
            each["sha256"] for each in after[place]["artifacts"] if each["path"].endswith((".arrow", "result.json"))
        ], place
    assert not (finished.results.parent / "state" / "finished").exists()


def test_images_that_cannot_be_run_in_are_refused_with_the_remedy(finished: Checkout) -> None:
    before = state_of(finished.results)
    lock = finished.folder / "docker" / "images.lock.yaml"
    text = lock.read_text()
    entries = yaml.safe_load(text)
    sif = Path(entries["report"]["sif"])

    def refused_with(**changes: str) -> str:
        lock.write_text(yaml.safe_dump(entries | {"report": entries["report"] | changes}))
        return finished.snakemake(check=False)

    damaged = finished.folder / "damaged.sif"
    damaged.write_bytes(sif.read_bytes()[:-1] + bytes([sif.read_bytes()[-1] ^ 1]))
    output = refused_with(sif=str(damaged))
    assert f"image report: {damaged} is damaged" in output
    damaged.unlink()
    output = refused_with(sif=str(damaged))
    assert f"image report: {damaged} is missing" in output
    assert "`make images`" in output
    lock.unlink()
    assert "images.lock.yaml: no such file" in finished.snakemake(check=False)
    lock.write_text(text)
    assert state_of(finished.results) == before


def test_a_machine_without_apptainer_is_told(finished: Checkout, tmp_path: Path) -> None:
    before = state_of(finished.results)
    for folder in map(Path, os.environ["PATH"].split(os.pathsep)):
        for program in folder.glob("*"):
            link = tmp_path / program.name
            if not link.is_symlink() and "apptainer" not in link.name and link.name != "singularity":
                link.symlink_to(program)
    output = finished.snakemake("--forcerun", "summarize", check=False, PATH=str(tmp_path))
    assert "apptainer" in output
    assert "has to be available" in output
    assert state_of(finished.results) == before


def test_a_root_that_no_container_can_bind_is_named(finished: Checkout) -> None:
    before = state_of(finished.results)
    place, overlay = finished.folder / "a,b", finished.folder / "comma.yaml"
    place.mkdir()
    overlay.write_text(yaml.safe_dump({"datasets": {"rsna": {"root": str(place)}}}))
    demo, small = "workflow/profiles/demo/settings.yaml", "tests/cluster/small_settings.yaml"
    output = finished.snakemake("--configfile", demo, small, "comma.yaml", check=False)
    assert f"datasets.rsna.root: {place}" in output
    assert state_of(finished.results) == before


def test_a_new_image_reruns_its_own_stages_alone(finished: Checkout) -> None:
    lock = finished.folder / "docker" / "images.lock.yaml"
    text = lock.read_text()
    entries = yaml.safe_load(text)
    old = Path(entries["report"]["sif"])
    new = old.with_name("mlip-report-0123456789ab.sif")
    try:
        os.link(old, new)
        entries["report"] |= {"digest": "sha256:0123456789ab" + "0" * 52, "sif": str(new)}
        lock.write_text(yaml.safe_dump(entries))
        jobs = set(finished.slurm.jobs())
        finished.snakemake("--slurm-status-command", "squeue")  # as where there is no accounting
        added = [finished.slurm.jobs()[job] for job in set(finished.slurm.jobs()) - jobs]
        assert [job["Comment"] for job in added] == ["rule_summarize"]
        journal = journals(finished)["summarize/journal.json"]
        assert journal["tags"]["container"] == new.name
    finally:
        new.unlink()
        lock.write_text(text)  # the next tests of this session run in the image that is there
