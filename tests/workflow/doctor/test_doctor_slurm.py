"""The scheduler's part of the doctor, on clusters that scripts play."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from workflow.doctor.findings import Finding
from workflow.doctor.partitions import gpus_of, minutes_of, models_of, partitions
from workflow.doctor.slurm import check_slurm
from workflow.rule_requests import Request, rule_requests
from workflow.site_profile import SiteProfile

SINFO = """cat <<END
cpu*|up|1-00:00:00|(null)|190000
cpu*|up|1-00:00:00|(null)|380000
gpu|up|4-00:00:00|gpu:a100:4(S:0-1)|500000
END"""
PREEMPTION = """if [ "$2" = config ]; then
echo 'PreemptMode             = {cluster}'; echo 'PreemptType = preempt/{kind}'; exit
fi
echo 'PartitionName=cpu AllowGroups=ALL PreemptMode=REQUEUE State=UP'
echo 'PartitionName=gpu AllowGroups=ALL PreemptMode={gpu} State=UP'
echo 'PartitionName=spare AllowGroups=ALL PreemptMode=CANCEL State=UP'"""
REQUESTS = {
    "split_reports": Request("split_reports", 1, 8000, 60, 0, local=False),
    "pretrain": Request("pretrain", 8, 32000, 1440, 1, local=False, memory_most=2),
    "fetch_weights": Request("fetch_weights", 1, 0, 0, 0, local=True),
}
ON_GPU = {"pretrain": {"slurm_partition": "gpu"}}


def profile(account: str | None = "chest", rules: dict | None = None, **values: str) -> SiteProfile:
    resources = {"slurm_account": account} if account else {}
    values = {"executor": "slurm", "default-resources": resources, "set-resources": rules or ON_GPU, **values}
    return SiteProfile(Path("slurm/config.yaml"), values)


@pytest.fixture
def cluster(program) -> None:
    program("sinfo", SINFO)
    program("squeue", "echo 1; echo 2")
    program("sbatch", "exit 1")
    program("scontrol", PREEMPTION.format(kind="none", cluster="OFF", gpu="OFF"))
    program("sacct", "true")
    program("sacctmgr", "echo chest; echo liver; echo chest")


def said(findings: list[Finding], subject: str) -> Finding:
    (found,) = [each for each in findings if each.subject == subject]
    assert (found.status in ("error", "warning")) == bool(found.remedy), found
    return found


@pytest.mark.usefixtures("cluster")
def test_a_cluster_that_fits_has_nothing_wrong() -> None:
    findings = check_slurm(profile(), REQUESTS, 6)
    assert {each.status for each in findings} == {"ok"}, findings
    assert "2 partitions: cpu, gpu" in said(findings, "SLURM").what
    assert "2 jobs" in said(findings, "SLURM queue").what
    assert {each.subject for each in findings} >= {"partition cpu", "partition gpu"}


def test_a_machine_without_slurm_is_one_line(program) -> None:
    program("squeue", "true")
    (finding,) = check_slurm(profile(), REQUESTS, 6)
    assert (finding.status, finding.what) == ("error", "no sinfo, sbatch on PATH")
    assert "workflow/profiles/apptainer" in finding.remedy


@pytest.mark.usefixtures("cluster")
def test_a_controller_that_is_down_is_quoted(program) -> None:
    program("sinfo", "echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1")
    (finding,) = check_slurm(profile(), REQUESTS, 6)
    assert finding.status == "error"
    assert "Unable to contact slurm controller" in finding.what


@pytest.mark.usefixtures("cluster")
def test_without_accounting_jobs_must_be_asked_for_by_squeue(program) -> None:
    program("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    finding = said(check_slurm(profile(), REQUESTS, 6), "SLURM accounting")
    assert finding.status == "error"
    assert "slurm-status-command: squeue" in finding.remedy
    settled = check_slurm(profile(**{"slurm-status-command": "squeue"}), REQUESTS, 6)
    assert said(settled, "SLURM accounting").status == "ok"


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("account", "status", "words"),
    [
        ("CHANGE_ME", "error", "is still CHANGE_ME"),
        ("heart", "error", "heart is not one of your accounts: chest, liver"),
        ("liver", "ok", "liver is yours"),
        (None, "ok", "none set"),
    ],
)
def test_the_account_is_one_of_the_user_s(account: str | None, status: str, words: str) -> None:
    finding = said(check_slurm(profile(account), REQUESTS, 6), "account")
    assert (finding.status, words in finding.what) == (status, True), finding


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("resources", "partition", "words"),
    [
        ({"slurm_partition": "gpuu"}, "gpuu", "no partition of that name"),
        ({}, "cpu", "pretrain requests 1 GPU on a node; the best node has 0"),
        ({"slurm_partition": "gpu", "gpu": 8}, "gpu", "8 GPU on a node; the best node has 4"),
        ({"slurm_partition": "gpu", "runtime": 10_000}, "gpu", "requests 10000 min; the limit is 5760"),
        ({"slurm_partition": "gpu", "mem_mb": 900_000}, "gpu", "requests 900000 MB; the largest node has 500000"),
    ],
)
def test_a_partition_that_would_refuse_a_job_is_named(resources: dict, partition: str, words: str) -> None:
    finding = said(check_slurm(profile(rules={"pretrain": resources}), REQUESTS, 6), f"partition {partition}")
    assert finding.status == "error"
    assert words in finding.what


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("memory", "retries", "status", "words"),
    [
        (48_000, 6, "warning", "attempt 2 of pretrain requests 64000 MB; the largest node has 48000"),
        (48_000, 0, "ok", "at every attempt"),
        (64_000, 6, "ok", "at every attempt"),
        (16_000, 6, "error", "pretrain requests 32000 MB"),
    ],
)
def test_later_attempts_that_a_partition_would_refuse_are_named(program, memory, retries, status, words) -> None:
    program("sinfo", f"echo 'cpu*|up|infinite|(null)|64000'; echo 'gpu|up|infinite|gpu:1|{memory}'")
    finding = said(check_slurm(profile(), REQUESTS, retries), "partition gpu")
    assert (finding.status, words in finding.what) == (status, True), finding


@pytest.mark.usefixtures("cluster")
def test_what_the_profile_sets_holds_for_every_attempt_and_its_retries_count(program) -> None:
    program("sinfo", "echo 'cpu*|up|3:00:00|gpu:1|64000'")
    growing = {"split_reports": replace(REQUESTS["split_reports"], minutes_most=4)}
    finding = said(check_slurm(profile(retries=2), growing, 0), "partition cpu")
    assert (finding.status, "attempt 3 of split_reports requests 240 min; the limit is 180" in finding.what) == (
        "warning",
        True,
    ), finding
    fixed = profile(retries=2, rules={"split_reports": {"runtime": 180}})
    for settled in (profile(retries=1), fixed):
        assert said(check_slurm(settled, growing, 0), "partition cpu").status == "ok"


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("modes", "status", "words"),
    [
        ({"kind": "none", "cluster": "CANCEL", "gpu": "CANCEL"}, "ok", "preempts no jobs"),
        ({"kind": "partition_prio", "cluster": "CANCEL", "gpu": "REQUEUE"}, "ok", "cpu: REQUEUE, gpu: REQUEUE"),
        ({"kind": "partition_prio", "cluster": "REQUEUE", "gpu": "GANG,SUSPEND"}, "ok", "gpu: GANG,SUSPEND"),
        ({"kind": "partition_prio", "cluster": "REQUEUE", "gpu": "CANCEL"}, "warning", "not requeued, in gpu"),
        ({"kind": "qos", "cluster": "CANCEL", "gpu": "REQUEUE"}, "warning", "not requeued, in cpu, gpu"),
    ],
)
def test_partitions_that_cancel_what_they_displace_are_named(program, modes, status, words) -> None:
    program("scontrol", PREEMPTION.format(**modes))
    finding = said(check_slurm(profile(), REQUESTS, 6), "preemption")
    assert (finding.status, words in finding.what) == (status, True), finding


@pytest.mark.usefixtures("cluster")
def test_a_cluster_that_says_nothing_of_preemption_is_not_judged(program) -> None:
    program("scontrol", "exit 1")
    assert said(check_slurm(profile(), REQUESTS, 6), "preemption").status == "not checked"


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("named", "findings"),
    [
        ("gpu,gpu2", {"gpu": ("ok", ""), "gpu2": ("ok", "")}),
        ("gpu2,gpu", {"gpu": ("ok", ""), "gpu2": ("ok", "")}),
        ("gpu,gone", {"gpu": ("ok", ""), "gone": ("error", "no partition of that name")}),
        ("gpu,cpu", {"gpu": ("ok", ""), "cpu": ("warning", "pretrain requests 1 GPU on a node; the best node has 0")}),
        ("cpu", {"cpu": ("error", "pretrain requests 1 GPU")}),
        ("cpu,bare", {"cpu": ("error", "the best node has 0"), "bare": ("error", "the best node has 0")}),
        ("gpu,down", {"gpu": ("ok", ""), "down": ("warning", "the partition is down")}),
    ],
)
def test_a_job_may_name_several_partitions(program, named: str, findings: dict) -> None:
    more = "gpu2|up|4-00:00:00|gpu:h100:8|900000\nbare|up|infinite|(null)|900000\ndown|down|infinite|gpu:1|900000\nEND"
    program("sinfo", SINFO.replace("END", more, 2).replace(more, "END", 1))
    rules = {"pretrain": {"slurm_partition": named}}
    found = check_slurm(profile(rules=rules), {"pretrain": REQUESTS["pretrain"]}, 6)
    for name, (status, words) in findings.items():
        finding = said(found, f"partition {name}")
        assert (finding.status, words in finding.what) == (status, True), finding


@pytest.mark.usefixtures("cluster")
def test_preemption_is_looked_at_in_each_of_several_partitions(program) -> None:
    program("sinfo", SINFO.replace("\nEND", "\nspare|up|infinite|gpu:1|900000\nEND"))
    program("scontrol", PREEMPTION.format(kind="partition_prio", cluster="OFF", gpu="REQUEUE"))
    several = profile(rules={"pretrain": {"slurm_partition": "gpu,spare"}})
    assert "not requeued, in spare" in said(check_slurm(several, REQUESTS, 6), "preemption").what


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("model", "status", "words"),
    [
        ("a100", "ok", "pretrain can get it"),
        ("h100", "error", "no node of gpu has it; they have a100"),
        ("nvidia_a100-sxm4-80gb", "error", "letters, digits, `_` and `.` only, and fails at every submission"),
    ],
)
def test_a_gpu_model_is_one_that_snakemake_and_the_partition_take(model: str, status: str, words: str) -> None:
    resources = {"pretrain": {"slurm_partition": "gpu", "gpu_model": model}}
    finding = said(check_slurm(profile(rules=resources), REQUESTS, 6), f"gpu_model {model}")
    assert (finding.status, words in finding.what) == (status, True), finding


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("constraint", "status", "words"),
    [
        ("ib", "ok", "pretrain finds such nodes in gpu"),
        ("'ib&sxm4'", "ok", "finds such nodes"),
        ("'[ib*1&fast*1]'", "ok", "finds such nodes"),  # of several nodes, each has one
        ("'ib&fast'", "error", "no node of gpu has all of them"),
        ("'ib|pcie'", "error", "no node of gpu has pcie; they have fast, ib, sxm4"),
        ("spare", "error", "no node of gpu has spare"),  # those of another partition do
    ],
)
def test_features_of_nodes_are_looked_for_in_the_partition(program, constraint: str, status: str, words: str) -> None:
    features = "cpu*|spare\ngpu|ib,sxm4\ngpu|fast"
    program("sinfo", f'if [ "$2" = "--format=%P|%f" ]; then printf "{features}\\n"; exit; fi\n{SINFO}')
    rules = {"pretrain": {"slurm_partition": "gpu", "constraint": constraint}}
    finding = said(check_slurm(profile(rules=rules), REQUESTS, 6), "constraint " + constraint.strip("'"))
    assert (finding.status, words in finding.what) == (status, True), finding


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("qos", "status", "words"), [("urgent", "ok", "pretrain may use it"), ("fast", "error", "normal, urgent")]
)
def test_a_qos_is_one_of_the_users(program, qos: str, status: str, words: str) -> None:
    program("sacctmgr", 'case "$*" in *format=QOS) echo normal,urgent; echo normal;; *) echo chest;; esac')
    rules = {"pretrain": {"slurm_partition": "gpu", "qos": qos}}
    finding = said(check_slurm(profile(rules=rules), REQUESTS, 6), f"qos {qos}")
    assert (finding.status, words in finding.what) == (status, True), finding


@pytest.mark.usefixtures("cluster")
def test_without_accounts_a_qos_is_not_judged(program) -> None:
    program("sacct", "exit 1")
    rules = {"pretrain": {"slurm_partition": "gpu", "qos": "urgent"}}
    assert said(check_slurm(profile(rules=rules), REQUESTS, 6), "qos urgent").status == "not checked"


GROUP = {"evaluation_mlip": ["extract_features", *["few_shot_classification_linear"] * 6]}
MEMBERS = {
    "extract_features": Request("extract_features", 4, 16_000, 30, 1, local=False, memory_most=4, minutes_most=4),
    "few_shot_classification_linear": Request("few_shot_classification_linear", 1, 4_000, 15, 0, local=False),
}


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("limit", "status", "words"),
    [
        ("1-00:00:00", "ok", "grants what its 1 kinds of jobs request at every attempt"),
        ("2:30:00", "warning", "attempt 3 of evaluation_mlip requests 210 min; the limit is 150"),
        ("1:59:00", "error", "evaluation_mlip requests 120 min; the limit is 119"),
    ],
)
def test_a_group_of_jobs_asks_for_the_time_of_all(program, limit: str, status: str, words: str) -> None:
    program("sinfo", f"echo 'all*|up|{limit}|gpu:1|64000'")
    finding = said(check_slurm(profile(rules={"x": {}}, retries=2), MEMBERS, 6, GROUP), "partition all")
    assert (finding.status, words in finding.what) == (status, True), finding
    if status != "ok":
        assert "take rules out of evaluation_mlip under `groups`" in finding.remedy


@pytest.mark.usefixtures("cluster")
def test_the_rules_of_a_group_go_to_one_partition() -> None:
    """What one member names holds for the group."""
    groups = dict.fromkeys(MEMBERS, "evaluation_{variant}")
    site = profile(rules={"extract_features": {"slurm_partition": "gpu"}}, groups=groups)
    assert {site.resources_of(rule)["slurm_partition"] for rule in MEMBERS} == {"gpu"}
    findings = check_slurm(site, MEMBERS, 6, GROUP)
    assert said(findings, "partition gpu").status == "ok"
    assert not [each for each in findings if each.subject == "partition cpu"]


def test_the_plugin_takes_the_models_that_the_doctor_lets_pass() -> None:
    """The plugin's own check, on jobs that have nothing but a model."""
    utils = pytest.importorskip("snakemake_executor_plugin_slurm.utils")
    from snakemake_interface_common.exceptions import WorkflowError

    from workflow.doctor.slurm_requests import _MODEL

    for model in ("a100", "nvidia_a100_1g.5gb", "A100-80", "nvidia_a100-sxm4-80gb", "a b"):
        job = SimpleNamespace(resources=Resources(gpu_model=model, gpu=1))
        if _MODEL.fullmatch(model):
            assert f"--gpus={model}:1" in utils.set_gres_string(job)
        else:
            with pytest.raises(WorkflowError):
                utils.set_gres_string(job)


class Resources(dict):
    """Resources as the plugin reads them."""

    __getattr__ = dict.__getitem__


@pytest.mark.parametrize(
    ("text", "models"),
    [
        ("(null)", set()),
        ("gpu:4", set()),
        ("gpu:nvidia_a100-sxm4-80gb:4(S:0-1)", {"nvidia_a100-sxm4-80gb"}),
        ("gpu:a:2,gpu:b:1,shard:8", {"a", "b"}),
        ("gpu:1g.5gb:7(S:0)", {"1g.5gb"}),
    ],
)
def test_models_of_the_gpus_of_a_node(text: str, models: set[str]) -> None:
    assert models_of(text) == models


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("infinite", None), ("n/a", None), ("30:00", 30), ("1:30:00", 90), ("2-00:00:00", 2880), ("1-02:30:00", 1590)],
)
def test_limits_of_time(text: str, minutes: int | None) -> None:
    assert minutes_of(text) == minutes


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("(null)", 0),
        ("gpu:4", 4),
        ("gpu:a100:4(S:0-1)", 4),
        ("gpu:nvidia_a100-sxm4-80gb:4(S:0-1)", 4),
        ("gpu:a:2,gpu:b:1,shard:8", 3),
    ],
)
def test_gpus_of_a_node(text: str, count: int) -> None:
    assert gpus_of(text) == count


def test_a_partition_of_several_kinds_of_nodes_counts_its_best() -> None:
    (one,) = partitions("p*|up|infinite|gpu:1|100\np*|up|infinite|(null)|900+\n").values()
    assert (one.default, one.minutes, one.gpus, one.memory_mb) == (True, None, 1, 900)


def test_every_rule_of_the_workflow_has_its_requests() -> None:
    rules = Path(__file__).parents[3] / "workflow" / "rules"
    found = rule_requests(rules)
    written = [line.split()[1].rstrip(":") for path in rules.glob("*.smk") for line in path.read_text().splitlines()
               if line.startswith("rule ")]  # fmt: skip
    assert sorted(found) == sorted(written)
    assert all(each.local or (each.memory_mb and each.minutes) for each in found.values()), found
    assert found["pretrain"].gpus == 1
    assert found["pretrain"].threads == 8
    assert found["dicom_to_arrow"].minutes == 60
    attempts = [found["pretrain"].at_attempt(number) for number in (1, 2, 3)]
    assert [(each.memory_mb, each.minutes) for each in attempts] == [(32000, 1440), (64000, 1440), (64000, 1440)]
    assert found["dicom_to_arrow"].at_attempt(9).minutes == 4 * 60
