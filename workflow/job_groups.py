"""Groups of short jobs: in the profile of a cluster, they share one SLURM job, in which they run one after the other.

A profile says which rules form a group, `zero_shot_classification=evaluation_{variant}`, and how many components that
do not depend on each other go into one. All members ask for the resource `in_turn`, whose limit of 1 makes Snakemake
request the largest memory and GPUs of a member, and the sum of their times. A word, as of a partition, has no largest:
what one member asks for holds for all.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from string import Formatter
from typing import Any

from stages.common.contract import Job
from stages.common.errors import InputError
from stages.common.settings import did_you_mean
from stages.configuration import Config
from stages.contracts import JOBS
from stages.summarize.results_tree import FewShotJob, ResultsTree
from workflow.gpu_requests import asked, gpus_of_gres, text_of
from workflow.rule_requests import Request, refuse_unknown_rules

IN_TURN = "in_turn"
ALONE = ("pretrain",)  # rules that cannot be members
_SIZES = ("mem", "disk", "runtime")  # Snakemake makes numbers of `16GB` and `2d`


def check_groups(
    groups: Mapping[str, str],
    components: Mapping[str, int],
    limits: Mapping[str, Any],
    scopes: Mapping[str, str],
    default: Collection[str],
    rules: Collection[str],
) -> None:
    """Refuse groups that cannot work, and names that Snakemake would pass over in silence.

    `limits` are the profile's `resources`, `scopes` its `set-resource-scopes`, `default` the names of its
    `default-resources`, `rules` those of the workflow.
    """
    if IN_TURN in limits and scopes.get(IN_TURN) != "local":
        what = f"resources: {IN_TURN} limits the whole workflow to one job at a time"
        raise InputError(what, f"write `{IN_TURN}: local` under set-resource-scopes, or remove it from resources")
    if groups and (text_of(limits.get(IN_TURN)) != "1" or IN_TURN not in default):
        what = f"groups: without the resource {IN_TURN} a group requests the GPUs of all of its members at once"
        remedy = f"write `{IN_TURN}: 1` under default-resources and under resources, or remove the groups"
        raise InputError(what, remedy)
    refuse_unknown_rules("groups", groups, rules)
    for rule, name in groups.items():
        what = f"groups: {rule}={name}"
        if rule in ALONE:
            raise InputError(f"{what}: a training runs alone", f"remove {rule} from the groups")
        known = _wildcards_of(rule, rules)
        try:
            wrong = [each for _, each, *_ in Formatter().parse(name) if each is not None and each not in known]
        except ValueError as error:
            raise InputError(f"{what}: {error}", "close each brace") from None
        if wrong:
            has = ", ".join(f"{{{each}}}" for each in known) or "no wildcards"
            raise InputError(f"{what}: its jobs have no {{{wrong[0]}}}", f"correct the name: they have {has}")
    for name in components:
        if name not in groups.values():
            hint = did_you_mean(name, set(groups.values()))
            raise InputError(f"group-components: {name}: there is no such group", f"correct or remove it{hint}")


def shared_by_groups(
    groups: Mapping[str, str], set_resources: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return `set-resources` in which all members of a group ask for the words that one of them asks for.

    Raises:
        InputError: two members ask for different ones, although they are one job.
    """
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    by: dict[tuple[str, str], str] = {}
    for rule, name in groups.items():
        for resource, value in dict(set_resources.get(rule, {}).items()).items():
            if not _is_word(resource, value):
                continue
            other = found[name].setdefault(resource, value)
            first = by.setdefault((name, resource), rule)
            if text_of(other) != text_of(value):
                raise InputError(
                    f"set-resources: {resource}={text_of(other)} of {first}, {text_of(value)} of {rule}: both are in "
                    f"the group {name}, which is one job",
                    "give both the same, or take one out of `groups`",
                )
    whole = {rule: dict(own.items()) for rule, own in set_resources.items()}
    for rule, name in groups.items():
        if words := found[name]:
            no_gpu = {"gpu": 0} if gpus_of_gres(asked(words, "gres")) is not None else {}  # gres asks for it
            whole[rule] = no_gpu | words | whole.get(rule, {})
    return whole


def _is_word(resource: str, value: Any) -> bool:
    return resource.partition("_")[0] not in _SIZES and not text_of(value).lstrip("-").isdecimal()


def request_of_group(name: str, members: Sequence[Request]) -> Request:
    """Return what a group requests, of its members at the same attempt: times added, of all else the largest."""
    return Request(
        name,
        threads=max(each.threads for each in members),
        memory_mb=max(each.memory_mb for each in members),
        minutes=sum(each.minutes for each in members),
        gpus=max(each.gpus for each in members),
        local=False,
    )


def results_tree(config: Config, root: Path) -> ResultsTree:
    """Return where the runs of a configuration have their results, and so which runs there are."""
    return ResultsTree(
        root=root,
        pretrain_on=config.pretrain_on,
        evaluate_on=tuple(config.evaluate_on),
        variants=tuple(config.compare),
        few_shot_jobs=tuple(map(FewShotJob.parse, config.few_shot_jobs("few_shot_classification"))),
        segmentation_jobs=tuple(map(FewShotJob.parse, config.few_shot_jobs("few_shot_segmentation"))),
        image_only=tuple(variant for variant in config.compare if variant not in config.with_text),
        not_measured={(dataset, stage): why for dataset in config.evaluate_on
                      for stage, why in config.not_measured(dataset).items()},
        seeds={variant: tuple(seeds) for variant in config.compare if (seeds := config.seeds_of(variant))},
    )  # fmt: skip


def with_jobs(config: Config, requests: Mapping[str, Request]) -> dict[str, Request]:
    """Return the requests of the rules that have a job in a configuration."""
    tree = results_tree(config, Path())
    running = {_rule_of(job, requests) for job in JOBS if tree.runs(job)}
    return {rule: each for rule, each in requests.items() if rule in running}


def members_of_groups(
    config: Config, rules: Iterable[str], groups: Mapping[str, str], components: Mapping[str, int]
) -> dict[str, dict[str, list[str]]]:
    """Return the rule of each member, by the group as the profile names it, and by its name.

    Of the shards of a data set, which make several groups, the largest one counts.
    """
    tree, known = results_tree(config, Path()), set(rules)
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for job in JOBS:
        rule = _rule_of(job, known)
        if pattern := groups.get(rule):
            for run in tree.runs(job):
                shards = config.settings("index_inputs", run["dataset"]).shards if "{shard}" in job.journal_file else 1
                found[pattern][pattern.format(**run)] += [rule] * min(shards, components.get(pattern, 1))
    return found


def largest_groups(
    config: Config, rules: Iterable[str], groups: Mapping[str, str], components: Mapping[str, int]
) -> dict[str, list[str]]:
    """Return the members of the group with the most jobs, for each kind of group in a profile."""
    found = members_of_groups(config, rules, groups, components)
    largest = (max(kind.items(), key=lambda each: len(each[1])) for kind in found.values())
    return dict(largest)


def _rule_of(job: type[Job], known: Iterable[str]) -> str:
    """Return the rule that runs a job: it has the name of the stage, or of stage and command."""
    own = f"{job.stage}_{job.command}"
    return own if own in known else job.stage


def _wildcards_of(rule: str, rules: Collection[str]) -> tuple[str, ...]:
    """Return the wildcards of a rule's jobs, by their contract: of their place and their journal."""
    texts = [f"{job.place}{job.journal_file}" for job in JOBS if _rule_of(job, rules) == rule]
    return tuple(dict.fromkeys(name for text in texts for _, name, *_ in Formatter().parse(text) if name))
