"""A whole run: hours of processors and GPUs, bytes, and time on the clock, stage by stage."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stages.common.journals import Journal, find_journals
from stages.config import Config
from workflow.estimate.amounts import Amount, amounts_of
from workflow.estimate.costs import Range, costs
from workflow.estimate.earlier_runs import factors
from workflow.estimate.jobs import Job, jobs_of
from workflow.estimate.seconds import job_seconds
from workflow.rule_requests import Request, rule_requests

RULES = Path(__file__).resolve().parents[1] / "rules"
_HOUR = 3600

# Stages that run beside each other, one group after the other.
ORDER = (
    ("make_phantom",), ("index_inputs",), ("dicom_to_arrow", "split_reports"),
    ("pair_images_reports", "label_images"), ("audit_splits",),
    ("pretrain",), ("select_checkpoint",), ("extract_features", "retrieval"),
    ("zero_shot_classification", "few_shot_classification", "few_shot_segmentation", "phrase_grounding"),
    ("summarize",),
)  # fmt: skip


@dataclass(frozen=True)
class Hardware:
    """What a run may use at a time."""

    device: str  # a key of `devices` in costs.yaml
    gpus: int
    cores: int
    scheduler: bool  # each job waits for one


@dataclass(frozen=True)
class StageEstimate:
    stage: str
    jobs: int
    cpu_hours: Range  # cores that are asked for x time
    gpu_hours: Range
    written: float  # bytes
    wall_hours: Range
    longest_hours: Range  # of its longest job
    allowed_hours: float  # what the rules ask a scheduler for that job at first; 0 where they do not say
    basis: str  # where the figures are from


@dataclass(frozen=True)
class RunEstimate:
    amounts: Mapping[str, Amount]
    hardware: Hardware
    stages: list[StageEstimate]

    @property
    def wall_hours(self) -> Range:
        """Groups of ORDER one after the other; within a group the longest stage counts."""
        total = Range()
        for group in ORDER:
            longest = Range()
            for each in self.stages:
                longest = longest.at_least(each.wall_hours) if each.stage in group else longest
            total += longest
        return total

    @property
    def written(self) -> float:
        return sum(each.written for each in self.stages)


def estimate(config: Config, hardware: Hardware, amounts: Mapping[str, Amount] | None = None) -> RunEstimate:
    """The estimate of everything that the configuration asks for; nothing that is done already is left out."""
    journals = journals_of(config)
    amounts = amounts or amounts_of(config, journals)
    corrections = factors(config, amounts, journals, hardware.device, hardware.cores) if journals else {}
    requests = rule_requests(RULES)
    by_stage: dict[str, list[Job]] = {}
    for job in jobs_of(config, amounts):
        by_stage.setdefault(job.stage, []).append(job)
    return RunEstimate(
        amounts, hardware, [_stage(name, jobs, hardware, corrections, requests) for name, jobs in by_stage.items()]
    )


def bytes_to_write(config: Config) -> float:
    """The bytes that a run writes below its workspace, less what earlier runs left there."""
    amounts = amounts_of(config, journals_of(config))
    total = sum(job.written for job in jobs_of(config, amounts))
    there = sum(path.stat().st_size for path in Path(config.workspace, "results").rglob("*.arrow"))
    return max(0.0, total - there)


def journals_of(config: Config) -> list[Journal]:
    """Of earlier runs in the workspace, shards included; those that cannot be read do not count."""
    results = Path(config.workspace, "results")
    if not any(results.rglob("journal.json")):
        return []
    return [found.journal for found in find_journals(results)[0]]


def _stage(name: str, jobs: list[Job], hardware: Hardware, corrections: Mapping[str, Range],
           requests: Mapping[str, Request]) -> StageEstimate:  # fmt: skip
    cpu, gpu, wall, longest, allowed = Range(), Range(), Range(), Range(), 0.0
    for job in jobs:
        request = requests.get(job.cost.replace("/", "_")) or requests.get(job.stage)
        threads = min(request.threads if request else 1, hardware.cores)
        hours = job_seconds(job, hardware.device, threads, corrections.get(job.cost)) * (1 / _HOUR)
        cpu += hours * threads
        wall += hours * (threads / hardware.cores)
        on_gpu = job.gpus and hardware.device != "cpu"
        gpu += hours * job.gpus if on_gpu else Range()
        if hours.typical > longest.typical:
            allowed = request.minutes / 60 if request else 0.0
        longest = longest.at_least(hours)
    if hardware.scheduler:
        seconds = costs().scheduler_seconds
        waiting = Range(*(seconds[key] / _HOUR for key in ("typical", "low", "high")))
    else:
        waiting = Range()
    read = costs().reading(sum(job.read for job in jobs)) * (1 / _HOUR)  # all jobs share the file system
    wall = wall.at_least(longest).at_least(read).at_least(gpu * (1 / max(1, hardware.gpus))) + waiting
    corrected = any(job.cost in corrections for job in jobs)
    computed = any(job.operations and job.gpus for job in jobs) and hardware.device != "cpu"
    basis = "earlier jobs here" if corrected else "computed, never measured" if computed else "benchmark table"
    return StageEstimate(name, len(jobs), cpu, gpu, sum(job.written for job in jobs), wall, longest, allowed, basis)
