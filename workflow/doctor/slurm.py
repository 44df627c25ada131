"""Checks of the scheduler: it answers, knows the account and the partitions, and these grant the requests.

Preemption is checked as well: Snakemake waits for a displaced job as if SLURM always requeued it.
"""

import getpass
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from workflow.doctor.findings import Finding, ask, present
from workflow.doctor.partitions import Partition, partitions
from workflow.doctor.slurm_requests import check_features, check_gpu_models, check_qos
from workflow.job_groups import request_of_group
from workflow.rule_requests import Request, with_profile
from workflow.site_profile import UNSET, SiteProfile


def check_preemption(names: Iterable[str]) -> Finding:
    """Check what happens to displaced jobs in the partitions to which rules go.

    snakemake-executor-plugin-slurm 2.8.0 takes the state PREEMPTED for one that ends by itself. A job that was
    cancelled keeps it, and then leaves squeue: the plugin waits for ever.
    """
    configuration = ask("scontrol", "show", "config")
    listed = ask("scontrol", "--oneliner", "show", "partition")
    if not configuration or not listed:
        return Finding("not checked", "preemption", configuration.problem or listed.problem or "")
    general: dict[str, str] = dict(re.findall(r"^(Preempt\w+)\s*=\s*(\S+)", configuration.output, re.MULTILINE))
    kind = general.get("PreemptType", "preempt/none").removeprefix("preempt/")
    if kind == "none":
        return Finding("ok", "preemption", "this cluster preempts no jobs")
    own: dict[str, str] = dict(re.findall(r"^PartitionName=(\S+).* PreemptMode=(\S+)", listed.output, re.MULTILINE))
    cluster = general.get("PreemptMode", "OFF")
    # A partition's own mode counts only with partition_prio: with `qos` it is the cluster's, or the QOS's.
    modes = {name: own.get(name, cluster) if kind == "partition_prio" else cluster for name in names}
    lost = [name for name, mode in modes.items() if "CANCEL" in mode.split(",")]
    if not lost:
        shown = ", ".join(f"{name}: {mode}" for name, mode in modes.items())
        return Finding("ok", "preemption", f"no preempted job is cancelled ({shown})")
    remedy = (
        "name a partition that requeues; else, if Snakemake waits for a job that squeue no longer knows, stop it "
        "(Ctrl-C also cancels its other jobs) and repeat the command: trainings resume"
    )
    return Finding("warning", "preemption", f"preempted jobs are cancelled, not requeued, in {', '.join(lost)}", remedy)


_PROGRAMS = ("sinfo", "squeue", "sbatch")


def check_slurm(
    profile: SiteProfile,
    requests: Mapping[str, Request],
    pretrain_retries: int,
    groups: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Finding]:
    """Return all findings about the scheduler; where it is absent, one finding says so.

    `groups` has the rules of the members of each group of jobs.
    """
    missing = [program for program in _PROGRAMS if not present(program)]
    if missing:
        remedy = (
            "log in to the cluster (or load SLURM's module) and try again; on a machine without SLURM use "
            "`make doctor PROFILE=workflow/profiles/apptainer` (containers) or PROFILE=workflow/profiles/demo"
        )
        return [Finding("error", "SLURM", f"no {', '.join(missing)} on PATH", remedy)]
    nodes = ask("sinfo", "--noheader", "--format=%P|%a|%l|%G|%m")
    known = partitions(nodes.output)
    if not known:
        remedy = "the controller is down, or this machine is not a login node: try again later, or ask your site"
        return [Finding("error", "SLURM", nodes.problem or "sinfo lists no partition", remedy)]
    queue = ask("squeue", "--noheader", "--format=%i")
    findings = [
        Finding("ok", "SLURM", f"sinfo knows {len(known)} partition{'s' * (len(known) != 1)}: {', '.join(known)}"),
        Finding("ok", "SLURM queue", f"squeue answers: {len(queue.output.split())} jobs")
        if queue
        else Finding("error", "SLURM queue", queue.problem or "", "ask your site why squeue does not answer"),
    ]
    accounting = ask("sacct", "--noheader", "--allocations", "--starttime=now-1hour", "--format=JobID")
    findings.append(check_status_command(profile, bool(accounting), accounting.problem))
    findings.append(check_account(profile, bool(accounting)))
    findings += check_partitions(profile, known, requests, pretrain_retries, groups)
    places = {rule: _partitions_of(rule, profile, known) for rule, each in requests.items() if not each.local}
    findings += check_gpu_models(profile, known, places)
    findings += check_features(profile, places)
    findings += check_qos(profile, places, bool(accounting))
    used = {name for names in places.values() for name in names}
    return [*findings, check_preemption([name for name in known if name in used])]


def check_status_command(profile: SiteProfile, answers: bool, problem: str | None) -> Finding:
    """Check that Snakemake can learn how its jobs ended."""
    if profile.asks_by_squeue:
        return Finding("ok", "SLURM accounting", "not needed: the profile queries jobs with squeue")
    if answers:
        return Finding("ok", "SLURM accounting", "sacct answers")
    remedy = (
        f"uncomment `slurm-status-command: squeue` in {profile.path}; otherwise a run waits for its first job forever"
    )
    return Finding("error", "SLURM accounting", problem or "", remedy)


def check_account(profile: SiteProfile, accounting: bool) -> Finding:
    """Check that the account is set and belongs to this user."""
    account = profile.default_resources.get("slurm_account")
    if account == UNSET:
        remedy = (
            "write your account there (`sacctmgr show associations user=$USER`), or delete the line if there are none"
        )
        return Finding("error", "account", f"slurm_account in {profile.path} is still {UNSET}", remedy)
    if not accounting:
        return Finding("not checked", "account", "no accounting database")
    listed = ask(
        "sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={getpass.getuser()}", "format=Account"
    )
    mine = sorted(set(listed.output.split()))
    if not listed:
        return Finding("not checked", "account", listed.problem or "")
    if account is None:
        return Finding(
            "ok", "account", f"none set: SLURM uses your default account (yours: {', '.join(mine) or 'none'})"
        )
    if str(account) in mine:
        return Finding("ok", "account", f"{account} is yours")
    remedy = f"correct slurm_account in {profile.path}"
    return Finding("error", "account", f"{account} is not one of your accounts: {', '.join(mine) or 'none'}", remedy)


def check_partitions(
    profile: SiteProfile,
    known: Mapping[str, Partition],
    requests: Mapping[str, Request],
    pretrain_retries: int,
    groups: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[Finding]:
    """Return a finding for each partition to which jobs go: it exists, is up, and grants their requests."""
    asked = {rule: with_profile(each, profile.resources_of(rule)) for rule, each in requests.items()}
    grouped = {rule for members in groups.values() for rule in members}
    jobs = {rule: [rule] for rule, each in requests.items() if not each.local and rule not in grouped} | dict(groups)
    wanted: dict[str | None, list[tuple[list[Request], list[Partition]]]] = {}
    for job, members in jobs.items():
        retries = pretrain_retries if job == "pretrain" else profile.retries
        attempts = [
            request_of_group(job, [asked[rule].at_attempt(number) for rule in members])
            for number in range(1, retries + 2)
        ]
        names = _partitions_of(members[0], profile, known)  # of a group, all have the same
        for name in names:
            others = [known[each] for each in names if each is not None and each != name and each in known]
            wanted.setdefault(name, []).append((attempts, others))
    return [_check_partition(profile, name, known, each, set(groups)) for name, each in wanted.items()]


def _partitions_of(rule: str, profile: SiteProfile, known: Mapping[str, Partition]) -> Sequence[str | None]:
    """Return the partitions of a rule's jobs (`gpu,gpu2`: where they start first); None: no name and no default."""
    default = next((name for name, each in known.items() if each.default), None)
    named = profile.resources_of(rule).get("slurm_partition", default)
    return [None] if named is None else list(dict.fromkeys(str(named).split(",")))


def _check_partition(
    profile: SiteProfile,
    name: str | None,
    known: Mapping[str, Partition],
    wanted: Sequence[tuple[Sequence[Request], Sequence[Partition]]],
    groups: Collection[str] = (),
) -> Finding:
    """Check one partition; `wanted` holds the requests of each job's attempts, and the job's other partitions."""

    def where(job: str) -> str:
        taken_out = f"take rules out of {job} under `groups` in {profile.path}; or, under set-resources,"
        return taken_out if job in groups else f"under set-resources: {job} in {profile.path}"

    asked = [attempts for attempts, _ in wanted]
    if name is None:
        remedy = f"set slurm_partition under default-resources in {profile.path} to one of {', '.join(known)}"
        return Finding("error", "partition", "none set, and the cluster has no default", remedy)
    subject = f"partition {name}"
    place = known.get(name)
    if place is None:
        remedy = f"correct slurm_partition in {profile.path}; known: {', '.join(known)}"
        return Finding("error", subject, "the cluster has no partition of that name", remedy)
    if not place.up:
        return Finding("warning", subject, "the partition is down: jobs would wait", "try again later, or name another")
    for (first, *_), others in wanted:
        if problem := _too_much(first, place):
            if granting := [each.name for each in others if each.up and not _too_much(first, each)]:
                remedy = f"its jobs start in {', '.join(granting)} only: {where(first.rule)} name no other"
                return Finding("warning", subject, problem, remedy)
            remedy = f"{where(first.rule)} request less, or name another slurm_partition"
            return Finding("error", subject, problem, remedy)
    if refused := _refused_later(asked, place):
        problem, rule = refused
        remedy = (
            f"the job would fail there: {where(rule)} name another slurm_partition, or set what every attempt requests"
        )
        return Finding("warning", subject, problem, remedy)
    return Finding("ok", subject, f"up, and grants what its {len(asked)} kinds of jobs request at every attempt")


def _refused_later(asked: Sequence[Sequence[Request]], place: Partition) -> tuple[str, str] | None:
    """Return the first later attempt that a partition refuses, in words, and its rule."""
    for attempts in asked:
        for number, each in enumerate(attempts, start=1):
            if problem := _too_much(each, place):
                return f"attempt {number} of {problem}", each.rule
    return None


def _too_much(request: Request, place: Partition) -> str | None:
    """Return what a partition will not grant, or None."""
    if request.gpus > place.gpus:
        return (
            f"{request.rule} requests {request.gpus} GPU on a node; the best node has {place.gpus} (sinfo -o '%P %G')"
        )
    if place.minutes is not None and request.minutes > place.minutes:
        return f"{request.rule} requests {request.minutes} min; the limit is {place.minutes}"
    if request.memory_mb > place.memory_mb:
        return f"{request.rule} requests {request.memory_mb} MB; the largest node has {place.memory_mb}"
    return None
