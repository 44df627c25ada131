"""Requests that docs/operators/cluster.md names, as they stand in the lines that the SLURM plugin gives to sbatch.

The jobs are those of a dry run of the demo's DAG with a profile of such requests; the lines are the plugin's own.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string

from workflow.doctor.gpu import allotment
from workflow.gpu_requests import asked_gpus, asked_model, gpus_of_gres
from workflow.rule_requests import rule_requests, with_profile
from workflow.several_nodes import spread_of
from workflow.site_profile import SiteProfile

ROOT = Path(__file__).resolve().parents[2]
ASKED = {  # by rule: requests of the profile, and what sbatch is to be told
    "pretrain": ({"gpu": 4, "gpu_model": "a100", "slurm_partition": "gpu,long"}, ["--gpus=a100:4", "-p gpu,long"]),
    "select_checkpoint": ({"gpu": 0, "gres": "gpu:v100:1"}, ["--gres=gpu:v100:1"]),
    "extract_features": ({"constraint": "a100-sxm4-80gb"}, ["-C a100-sxm4-80gb", "--gpus=1"]),  # a model with hyphens
    "phrase_grounding": ({"gpu": 0, "gres": "gpu:1g.10gb:1"}, ["--gres=gpu:1g.10gb:1"]),  # a part of a GPU, by MIG
    "retrieval": ({"qos": "urgent", "runtime": 30}, ["--qos=urgent", "-t 30"]),
    "few_shot_segmentation": (
        {"gpu": 0, "slurm_extra": "'--gpus=a100-sxm4-80gb:1 --exclusive'"},
        ["--gpus=a100-sxm4-80gb:1 --exclusive"],
    ),
    "zero_shot_classification": ({"constraint": "'ib&gpu'"}, ["-C 'ib&gpu'"]),
}
SEVERAL = {  # nodes by `gpu`, and by a site's gres
    "--gpus-per-node=2": {"nodes": 2, "gpu": 4},
    "--gres=gpu:a100:2": {"nodes": 2, "gpu": 0, "gres": "gpu:a100:2"},
}


class Named(dict):
    """Resources as the plugin reads them: by `get` and by name."""

    __getattr__ = dict.__getitem__


def planned(folder: Path, asked: dict[str, dict], *more: str) -> tuple[int, str]:
    """Plan the demo with a profile that asks SLURM for these; return the exit status and what was printed."""
    profile = {
        "executor": "slurm", "jobs": 100, "configfile": ["workflow/profiles/demo/settings.yaml"],
        "default-resources": {"slurm_account": "radiology", "slurm_partition": "cpu"}, "set-resources": asked,
    }  # fmt: skip
    (folder / "slurm").mkdir()
    (folder / "slurm" / "config.yaml").write_text(yaml.safe_dump(profile))
    command = [sys.executable, "-m", "snakemake", "-n", "--profile", str(folder / "slurm"), "--config"]
    done = subprocess.run([*command, f"workspace={folder / 'run'}", *more], cwd=ROOT, capture_output=True, text=True,
                          env=environment(), timeout=300)  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def lines(printed: str) -> dict[str, str]:
    """Return rule -> the line for sbatch of its first job."""
    found: dict[str, str] = {}
    for block in re.split(r"^(?=(?:local)?rule )", printed, flags=re.M):
        rule, asked = re.match(r"rule (\w+):", block), re.search(r"^ +resources: (.*)$", block, re.M)
        if rule is None or asked is None or rule[1] in found:
            continue
        resources = dict(each.split("=", 1) for each in re.split(r", (?=\w+=)", asked[1]))
        typed = {name: int(text) if text.isdigit() else text for name, text in resources.items()}
        threads = re.search(r"^ +threads: (\d+)$", block, re.M)
        job = SimpleNamespace(resources=Named(typed), threads=int(threads[1]) if threads else 1)
        told = {"run_uuid": "u", "slurm_logfile": "l", "comment_str": "c", "workdir": ".",
                "account": f"-A {typed['slurm_account']}", "partition": f"-p {typed['slurm_partition']}"}  # fmt: skip
        found[rule[1]] = get_submit_command(job, told) + set_gres_string(job)
    return found


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    code, printed = planned(tmp_path_factory.mktemp("requests"), {rule: asked for rule, (asked, _) in ASKED.items()})
    assert code == 0, printed[-2000:]
    return lines(printed)


@pytest.mark.parametrize("rule", ASKED)
def test_what_the_profile_asks_for_reaches_sbatch(submitted: dict[str, str], rule: str) -> None:
    asked, told = ASKED[rule]
    line = submitted[rule]
    for words in (*told, "-A radiology", *([] if "slurm_partition" in asked else ["-p cpu"])):
        assert f" {words} " in f"{line} ", line
    gpus = re.findall(r"--gpus[=-]\S+|--gres=gpu\S*", line)
    assert len(gpus) == 1, line  # and not twice


def test_jobs_without_a_request_have_that_of_their_rule(submitted: dict[str, str]) -> None:
    assert "--mem 4000 " in submitted["audit_splits"]
    assert "-t 15 " in submitted["audit_splits"]
    assert "--gpus" not in submitted["audit_splits"]


@pytest.mark.parametrize("told", SEVERAL)
def test_gpus_of_several_nodes_are_asked_for_on_each(tmp_path: Path, told: str) -> None:
    code, printed = planned(tmp_path, {"pretrain": SEVERAL[told]})
    assert code == 0, printed[-2000:]
    line = lines(printed)["pretrain"]
    assert f" {told} " in f"{line} "
    assert " --nodes=2 " in line
    assert len(re.findall(r"--gpus-per-node|--gres", line)) == 1
    assert spread_of("pretrain", {"pretrain": SEVERAL[told]}).per_node == 2


@pytest.mark.parametrize(
    ("rule", "asked", "words"),
    [
        ("pretrain", {"gres": "gpu:2"}, "pretrain: gres=gpu:2 and gpu=1 both ask for GPUs; set gpu: 0 beside gres"),
        ("retrieval", {"gres": "gpu", "gpu": 2}, "retrieval: gres=gpu and gpu=2 both ask for GPUs"),
        ("phrase_grounding", {"gpu": "many"}, "phrase_grounding: gpu=many is no whole number; correct the profile"),
    ],
)
def test_contradictions_are_refused_before_anything_is_submitted(tmp_path: Path, rule, asked, words) -> None:
    code, printed = planned(tmp_path, {rule: asked})
    assert code != 0
    assert f"set-resources: {words}" in printed


@pytest.mark.parametrize(
    ("gres", "gpus", "model"),
    [("gpu", 1, None), ("gpu:2", 2, None), ("gpu:a100", 1, "a100"), ("gpu:a100:4", 4, "a100"),
     ("gpu:1g.10gb:2", 2, "1g.10gb"), ("lscratch:100G", None, None), ("", None, None)],
)  # fmt: skip
def test_gres_says_how_many_gpus_of_which_model(gres: str, gpus: int | None, model: str | None) -> None:
    assert gpus_of_gres(gres) == gpus
    assert asked_model({"gres": gres}) == model
    assert asked_gpus("x", {"gres": gres, "gpu": 0, "nodes": 3}, 1) == 3 * (gpus or 0)
    asked = with_profile(rule_requests(ROOT / "workflow" / "rules")["pretrain"], {"gpu": 0, "gres": gres, "nodes": 3})
    assert asked.gpus == (gpus or 0)


def test_the_doctor_asks_for_its_gpu_as_the_profile_does() -> None:
    asked = {"gpu": 0, "gres": "gpu:a100:4", "constraint": "ib", "qos": "urgent", "slurm_partition": "gpu"}
    profile = SiteProfile(Path("slurm/config.yaml"), {"executor": "slurm", "set-resources": {"pretrain": asked}})
    line = " ".join(allotment(profile, 9))
    for words in ("--gres=gpu:a100:1", "--constraint=ib", "--qos=urgent", "--partition=gpu"):
        assert words in line
