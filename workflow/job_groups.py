"""Groups of short jobs: in the profile of a cluster, they share one SLURM job, in which they run one after the other.

A profile says which rules form a group, `zero_shot_classification=evaluation_{variant}`, and how many components that
do not depend on each other go into one. All members ask for the resource `in_turn`, whose limit of 1 makes Snakemake
request the largest memory and GPUs of a member, and the sum of their times.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from stages.common.contract import Job
from stages.common.errors import InputError
from stages.configuration import Config
from stages.contracts import JOBS
from stages.summarize.results_tree import FewShotJob, ResultsTree
from workflow.rule_requests import Request
from workflow.site_profile import SiteProfile

IN_TURN = "in_turn"
ALONE = ("pretrain",)  # rules that cannot be members


def check_groups(groups: Mapping[str, str], limits: Mapping[str, int | None], default: Collection[str]) -> None:
    """Refuse groups that cannot work: of trainings, which resume by themselves, or without the limit `in_turn`.

    `limits` are the profile's `resources`, `default` the names of its `default-resources`.
    """
    if groups and (limits.get(IN_TURN) != 1 or IN_TURN not in default):
        what = f"groups: without the resource {IN_TURN} a group requests the GPUs of all of its members at once"
        remedy = f"write `{IN_TURN}: 1` under default-resources and under resources, or remove the groups"
        raise InputError(what, remedy)
    for rule in ALONE:
        if rule in groups:
            raise InputError(f"groups: {rule}={groups[rule]}: a training runs alone", f"remove {rule} from the groups")


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


def largest_groups(config: Config, requests: Mapping[str, Request], profile: SiteProfile) -> dict[str, list[str]]:
    """Return the members of the group with the most jobs, for each kind of group in a profile."""
    found = members_of_groups(config, requests, profile.groups, profile.group_components)
    largest = (max(kind.items(), key=lambda each: len(each[1])) for kind in found.values())
    return dict(largest)


def _rule_of(job: type[Job], known: Iterable[str]) -> str:
    """Return the rule that runs a job: it has the name of the stage, or of stage and command."""
    own = f"{job.stage}_{job.command}"
    return own if own in known else job.stage
