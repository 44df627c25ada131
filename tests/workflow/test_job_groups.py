"""Short jobs share a SLURM job: the profile as shipped, as Snakemake plans it for config.yaml."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.common.errors import InputError
from stages.config_layers import merged
from workflow.job_groups import check_groups, members_of_groups, request_of_group, shared_by_groups, with_jobs
from workflow.rule_requests import Request, rule_requests
from workflow.site_profile import configuration, read_profile

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "workflow" / "rules"
INPUTS = ("mimic-cxr/cxr-record-list.csv.gz", "mimic-cxr/cxr-study-list.csv.gz",
          "rsna-pneumonia/stage_2_train_labels.csv", "siim-acr-pneumothorax/train-rle.csv")  # fmt: skip


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The profile of clusters with an account, without containers: no images are built here."""
    folder = tmp_path_factory.mktemp("slurm")
    values = yaml.safe_load((ROOT / "slurm" / "config.yaml").read_text())
    values["default-resources"]["slurm_account"] = "radiology"
    del values["software-deployment-method"], values["apptainer-args"]
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return folder


@pytest.fixture(scope="module")
def plan(profile: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, list[str]]]:
    """The name and the rules of each submission: of a group, or of a job alone."""
    folder = tmp_path_factory.mktemp("checkout")
    for part in ("workflow", "stages", "envs", "docker", "config.yaml"):
        (folder / part).symlink_to(ROOT / part)
    for name in INPUTS:
        (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / name).write_bytes(b"\n")
    command = [sys.executable, "-m", "snakemake", "-n", "--profile", str(profile)]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found: list[tuple[str, list[str]]] = []
    for line in done.stdout.splitlines():
        if group := re.search(r"^\[.*\] Group job (\S+) ", line):
            found.append((group[1], []))
        elif member := re.match(r" +rule (\w+):$", line):
            found[-1][1].append(member[1])
        elif alone := re.match(r"rule (\w+):$", line):
            found.append((alone[1], [alone[1]]))
    return [
        (name, rules) for name, rules in found if name not in ("all", "fetch_weights")
    ]  # these run on the login node


def test_the_default_configuration_sends_fewer_than_150_jobs(plan: list[tuple[str, list[str]]]) -> None:
    assert sum(len(rules) for _, rules in plan) > 300
    assert len(plan) < 150


def test_an_evaluation_is_one_job_for_each_variant(plan: list[tuple[str, list[str]]]) -> None:
    groups = {name: Counter(rules) for name, rules in plan if name.startswith("evaluation_")}
    assert len(groups) == 9
    assert groups["evaluation_mlip"] == groups["evaluation_random"] == {
        "extract_features": 2, "zero_shot_classification": 2, "phrase_grounding": 2, "retrieval": 1,
        "few_shot_classification_linear": 6,
    }  # fmt: skip


def test_members_are_those_of_snakemake(plan: list[tuple[str, list[str]]], profile: Path) -> None:
    site = read_profile(profile)
    config = configuration(site, root=ROOT)
    expected = members_of_groups(config, rule_requests(RULES), site.groups, site.group_components)
    planned = {name: sorted(rules) for name, rules in sorted(plan, key=lambda each: len(each[1])) if len(rules) > 1}
    assert {
        name: sorted(rules) for kind in expected.values() for name, rules in kind.items()
    } == planned  # of shards, the largest group


def test_rules_without_a_job_are_not_asked_about(plan: list[tuple[str, list[str]]], profile: Path) -> None:
    """As few-shot fine-tuning where no protocol needs it: its partition is nobody's concern."""
    planned = {rule for _, rules in plan for rule in rules}
    config = configuration(read_profile(profile), root=ROOT)
    assert with_jobs(config, NAMES).keys() - {"make_phantom"} == planned
    demo = configuration(read_profile(ROOT / "workflow" / "profiles" / "demo"), root=ROOT)
    assert NAMES.keys() - with_jobs(demo, NAMES).keys() == {
        "fetch_weights", "few_shot_classification_finetune", "multi_class_classification"
    }  # fmt: skip


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_group_asks_for_the_sum_of_times_and_the_most_of_the_rest(attempt: int) -> None:
    first = Request("a", threads=4, memory_mb=16_000, minutes=30, gpus=1, local=False, memory_most=4, minutes_most=4)
    second = Request("b", threads=1, memory_mb=4_000, minutes=15, gpus=0, local=False, memory_most=4, minutes_most=1)
    found = request_of_group("g", [each.at_attempt(attempt) for each in (first, second, second)])
    assert (found.threads, found.memory_mb, found.gpus) == (4, 16_000 * attempt, 1)
    assert found.minutes == 30 * attempt + 15 + 15


GROUPS, LIMITS = {"retrieval": "evaluation_{variant}"}, {"in_turn": 1}
NAMES = rule_requests(RULES)
SCOPES = {"in_turn": "local"}


@pytest.mark.parametrize(
    ("groups", "components", "limits", "default", "words"),
    [
        (GROUPS, {}, {}, LIMITS, "groups: without the resource in_turn"),
        (GROUPS, {}, {"in_turn": 2}, LIMITS, "groups: without the resource in_turn"),
        (GROUPS, {}, LIMITS, {}, "write `in_turn: 1` under default-resources and under resources"),
        (GROUPS | {"pretrain": "x"}, {}, LIMITS, LIMITS, "groups: pretrain=x: a training runs alone"),
        ({"retreival": "x"}, {}, LIMITS, LIMITS, "groups: retreival: there is no such rule.*did you mean `retrieval`"),
        ({"retrieval": "x_{dataset}"}, {}, LIMITS, LIMITS, r"have no {dataset}; correct the name: they have {variant}"),
        ({"summarize": "x_{variant}"}, {}, LIMITS, LIMITS, "have no {variant}; correct the name: they have no wildc"),
        ({"retrieval": "x_{variant"}, {}, LIMITS, LIMITS, "groups: retrieval=x_{variant: expected '}'.*; close each b"),
        ({"retrieval": "x_{}"}, {}, LIMITS, LIMITS, "have no {};"),
        (
            GROUPS,
            {"evaluation": 2},
            LIMITS,
            LIMITS,
            "group-components: evaluation: there is no such group; .*_{variant",
        ),
    ],
)
def test_groups_that_cannot_work_are_refused(groups, components, limits, default, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_groups(groups, components, limits, SCOPES, default, NAMES)


@pytest.mark.parametrize("groups", [GROUPS, {}])
@pytest.mark.parametrize("scopes", [{}, {"in_turn": "global"}, {"x": "local"}])
def test_a_limit_of_the_whole_workflow_is_refused(groups, scopes) -> None:
    with pytest.raises(InputError, match="resources: in_turn limits the whole workflow to one job at a time; write"):
        check_groups(groups, {}, LIMITS, scopes, LIMITS, NAMES)


def test_groups_that_can_work_are_not(profile: Path) -> None:
    check_groups({}, {}, {}, {}, {}, NAMES)
    check_groups(GROUPS, {}, LIMITS, SCOPES, LIMITS, NAMES)
    read_profile(profile).check_rules(NAMES)


PAIR = {"retrieval": "evaluation_{variant}", "extract_features": "evaluation_{variant}", "index_inputs": "index"}


@pytest.mark.parametrize(
    ("asked", "of_the_other"),
    [
        ({"slurm_partition": "gpu", "runtime": 60, "mem": "16GB"}, {"slurm_partition": "gpu"}),
        ({"gpu_model": "a100", "qos": "urgent"}, {"gpu_model": "a100", "qos": "urgent"}),
        ({"gpu": 0, "gres": "gpu:a100:1"}, {"gpu": 0, "gres": "gpu:a100:1"}),
        ({"gres": "lscratch:100G"}, {"gres": "lscratch:100G"}),
        ({"gpu": 2, "runtime": "2d", "mem_mb": 9000}, {}),
    ],
)
def test_what_one_member_asks_for_in_words_holds_for_all(asked: dict[str, Any], of_the_other: dict[str, Any]) -> None:
    found = shared_by_groups(PAIR, {"extract_features": asked, "pretrain": {"slurm_partition": "long"}})
    assert found.pop("pretrain") == {"slurm_partition": "long"}
    assert found == {"extract_features": asked, **({"retrieval": of_the_other} if of_the_other else {})}
    assert shared_by_groups({}, {"extract_features": asked}) == {"extract_features": asked}


def test_two_words_for_one_job_are_refused(tmp_path: Path) -> None:
    asked = {"extract_features": {"slurm_partition": "gpu"}, "retrieval": {"slurm_partition": "cpu"}}
    groups = [f"{rule}={group}" for rule, group in PAIR.items()]
    values = {"executor": "slurm", "groups": groups, "set-resources": asked, "resources": LIMITS,
              "default-resources": LIMITS, "set-resource-scopes": SCOPES}  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(
        InputError, match=r"^\S+/config.yaml: set-resources: slurm_partition=cpu of retrieval, gpu of ext"
    ):
        read_profile(tmp_path).check_rules(NAMES)


def planned(profile: Path, folder: Path, edit: dict[str, Any]) -> tuple[int, str]:
    """Plan the demo with that profile, edited."""
    values = merged(yaml.safe_load((profile / "config.yaml").read_text()), edit)
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "snakemake", "-n", "--profile", str(folder), "--configfile", DEMO, "--config"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run([*command, f"workspace={folder / 'run'}"], cwd=ROOT, capture_output=True, text=True,
                          timeout=300, env=environment)  # fmt: skip
    return done.returncode, done.stdout + done.stderr


DEMO = "workflow/profiles/demo/settings.yaml"


@pytest.mark.slow
def test_a_partition_of_one_member_is_that_of_its_group(profile: Path, tmp_path: Path) -> None:
    """As a site has it that sends GPU jobs to a partition of their own: each rule is named once, or one for all."""
    code, printed = planned(profile, tmp_path, {"set-resources": {"extract_features": {"slurm_partition": "gpu"}}})
    assert code == 0, printed[-2000:]
    asked = re.findall(r"rule (\w+):(?:\n +.*)*?\n +resources: (.*)", printed)
    on_gpu = {rule for rule, resources in asked if "slurm_partition=gpu" in resources}
    grouped = dict(each.split("=") for each in yaml.safe_load((tmp_path / "config.yaml").read_text())["groups"])
    assert on_gpu == {rule for rule, _ in asked if grouped.get(rule) == "evaluation_{variant}"}
    assert len(on_gpu) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"set-resources": {"pretain": {"gpu": 4}}}, "set-resources: pretain: there is no such rule; .*`pretrain`"),
        ({"resources": {"in_turn": 2}}, "groups: without the resource in_turn a group requests the GPUs of all"),
    ],
)
def test_a_dry_run_refuses_it_too(profile: Path, tmp_path: Path, edit: dict[str, Any], words: str) -> None:
    code, printed = planned(profile, tmp_path, edit)
    assert code == 1
    assert re.search(words, printed), printed
