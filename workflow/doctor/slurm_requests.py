"""Checks of what a profile asks SLURM for beside times and sizes: GPU models, features of nodes, a QOS.

`places` has the partitions of each rule; None stands for no name where the cluster has no default.
"""

import getpass
import re
from collections.abc import Mapping, Sequence

from workflow.doctor.findings import Finding, ask
from workflow.doctor.partitions import Partition
from workflow.gpu_requests import asked_model
from workflow.site_profile import SiteProfile

_MODEL = re.compile(r"[a-zA-Z0-9_.]+")  # what snakemake-executor-plugin-slurm 2.8.0 accepts as a gpu_model


def check_gpu_models(
    profile: SiteProfile, known: Mapping[str, Partition], places: Mapping[str, Sequence[str | None]]
) -> list[Finding]:
    """Return a finding for each GPU model that a rule requests and that Snakemake or its partitions would refuse."""
    rules: dict[tuple[str, tuple[str | None, ...]], str] = {}
    for rule, names in places.items():
        if (model := asked_model(profile.resources_of(rule))) is not None:
            rules.setdefault((model, tuple(names)), rule)
    return [_check_model(profile, model, [known[name] for name in names if name is not None and name in known], rule)
            for (model, names), rule in rules.items()]  # fmt: skip


def _check_model(profile: SiteProfile, model: str, places: Sequence[Partition], rule: str) -> Finding:
    subject, where = f"gpu_model {model}", f"under set-resources: {rule} in {profile.path}"
    if not _MODEL.fullmatch(model):
        what = "Snakemake's SLURM plugin takes letters, digits, `_` and `.` only, and fails at every submission"
        remedy = (
            f"{where} delete it and name a partition of that model, or its feature: `constraint: FEATURE` "
            "(sinfo -o '%P %G %f')"
        )
        return Finding("error", subject, what, remedy)
    there = sorted(set().union(*(each.models for each in places)))
    if places and model not in there:
        what = f"no node of {', '.join(each.name for each in places)} has it; they have {', '.join(there) or 'none'}"
        return Finding("error", subject, what, f"correct it {where} (sinfo -o '%P %G')")
    return Finding("ok", subject, f"{rule} can get it")


def check_features(profile: SiteProfile, places: Mapping[str, Sequence[str | None]]) -> list[Finding]:
    """Return a finding for each `constraint`: its partitions have nodes with these features, or no job ever starts."""
    asked: dict[tuple[str, tuple[str | None, ...]], str] = {}
    for rule, names in places.items():
        if constraint := str(profile.resources_of(rule).get("constraint", "")).strip("'\""):
            asked.setdefault((constraint, tuple(names)), rule)
    if not asked:
        return []
    listed = ask("sinfo", "--noheader", "--format=%P|%f")
    if not listed:
        return [Finding("not checked", "constraint", listed.problem or "")]
    nodes = [line.partition("|")[::2] for line in listed.output.split()]
    findings = []
    for (constraint, names), rule in asked.items():
        there = [set(features.split(",")) for name, features in nodes if name.rstrip("*") in names]
        findings.append(_check_constraint(profile, constraint, there, rule, ", ".join(filter(None, names))))
    return findings


_COUNT = re.compile(r"\*\d+")  # `[ib*2&gpu*1]`: how many nodes have a feature


def _check_constraint(
    profile: SiteProfile, constraint: str, nodes: Sequence[set[str]], rule: str, names: str
) -> Finding:
    subject = f"constraint {constraint}"
    wanted = re.findall(r"[^\s&|,()\[\]]+", _COUNT.sub("", constraint))
    known = set().union(*nodes)
    remedy = f"correct it under set-resources: {rule} in {profile.path} (sinfo -o '%P %f')"
    if unknown := [word for word in wanted if word not in known]:
        features = ", ".join(sorted(known - {"(null)"})) or "none"
        return Finding("error", subject, f"no node of {names} has {', '.join(unknown)}; they have {features}", remedy)
    if set(re.findall(r"[&|,\[\]*]", constraint)) <= {"&"} and not any(set(wanted) <= node for node in nodes):
        return Finding("error", subject, f"no node of {names} has all of them", remedy)
    return Finding("ok", subject, f"{rule} finds such nodes in {names}")


def check_qos(profile: SiteProfile, places: Mapping[str, object], accounting: bool) -> list[Finding]:
    """Return a finding for each QOS that a rule asks for: it is one of this user's."""
    asked = {str(name): rule for rule in places if (name := profile.resources_of(rule).get("qos"))}
    if not asked:
        return []
    command = ("show", "associations", f"user={getpass.getuser()}", "format=QOS")
    listed = ask("sacctmgr", "--noheader", "--parsable2", *command)
    if not accounting or not listed:
        why = listed.problem if accounting else "no accounting database"
        return [Finding("not checked", f"qos {name}", why or "") for name in asked]
    mine = sorted(set(re.split(r"[,\s]+", listed.output.strip())) - {""})
    return [Finding("ok", f"qos {name}", f"{rule} may use it") if name in mine else
            Finding("error", f"qos {name}", f"not one of yours: {', '.join(mine) or 'none'}",
                    f"correct it under set-resources: {rule} in {profile.path} (sacctmgr show associations user=$USER)")
            for name, rule in asked.items()]  # fmt: skip
