"""A whole run: hours of processors and GPUs, bytes, and elapsed time, stage by stage.

Jobs take the time of the benchmark table, corrected by a factor per stage: what earlier jobs took, compared with the
table for just these jobs. Only finished jobs count. For stages that run on a GPU only jobs on the requested kind of
device count; the device follows from the operations per second that a job reached.
"""

import ast
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stages.common.contract import JOURNAL_FILE
from stages.common.journal.journals import Journal, find_journals
from stages.configuration import Config
from stages.contracts import BLOCKS
from stages.pretrain.contract import PretrainSettings
from workflow.estimate.costs import Range, costs
from workflow.estimate.jobs import Amount, IndexOf, Job, amounts_of, jobs_of, pretraining_job
from workflow.estimate.operations import text_of_assumed_size, with_text_shape
from workflow.rule_requests import Request, rule_requests


def job_seconds(job: Job, device: str, cores: int = 1, factor: Range | None = None) -> Range:
    """Return the seconds of a job on a node that gives it `cores`; `factor` compares earlier jobs with the table.

    Units are spread over the cores in dicom_to_arrow only. Reading overlaps with the work: the longer one counts.
    """
    table = costs()
    spread = cores if job.cost.startswith("dicom_to_arrow/") and job.read else 1
    work = table.unit_seconds(job.cost) * (job.units / spread)
    if job.operations:
        on = device if job.gpus or device == "cpu" else "cpu"  # a rule that requests no GPU gets none
        speed = table.seconds_an_operation(on, job.fp32)
        work += speed * (job.operations / (cores if on == "cpu" else max(1, job.gpus)))
    total = work.at_least(table.reading(job.read)) + table.start(job.cost)
    if factor is None:
        return total
    return Range(total.typical * factor.typical, total.typical * factor.low * 0.8, total.typical * factor.high * 1.25)


_GPU_OPERATIONS = 2e12  # per second; more than a node's cores reach, less than a GPU does
_MEANT = 2.0  # s; a shorter job measures the start of Python


def factors(config: Config, amounts: Mapping[str, Amount], journals: Iterable[Journal], hardware: "Hardware",
            requests: Mapping[str, Request]) -> dict[str, Range]:  # fmt: skip
    """Return cost key -> measured time / the table's: over all of its jobs, and for the best and the worst job."""
    device = hardware.device
    planned = {(job.stage, job.name): job for job in jobs_of(config, amounts)}
    workspace = Path(config.workspace)
    ratios: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for journal in journals:
        job = _job_of(journal, planned, workspace)
        if job is None or journal.status != "FINISHED" or journal.ended is None:
            continue
        took = (journal.ended - journal.started) / 1000
        on_gpu = job.operations / max(took, 1e-3) > _GPU_OPERATIONS
        if took < _MEANT or (job.operations and on_gpu != (device != "cpu")):
            continue
        ratios[job.cost].append((took, job_seconds(job, device, _threads(job, requests, hardware)).typical))
    return {
        cost: Range(
            sum(took for took, _ in pairs) / sum(said for _, said in pairs),
            min(took / said for took, said in pairs),
            max(took / said for took, said in pairs),
        )
        for cost, pairs in ratios.items()
    }


def _job_of(journal: Journal, planned: Mapping[tuple[str, str], Job], workspace: Path) -> Job | None:
    """Return the work that a journal describes; for pre-training by its own settings, which may differ from today's."""
    if journal.stage != "pretrain":
        return planned.get((journal.stage, journal.name))
    settings, studies = settings_of(journal), _metric(journal, "data/studies")  # of its own data_share
    if settings is None or not studies:
        return None
    return pretraining_job(journal.name, with_text_shape(settings, workspace), studies)


def settings_of(journal: Journal) -> PretrainSettings | None:
    """Return the settings that a journal keeps as text, or None where they are of another version."""
    nested: dict[str, Any] = {}
    for key, text in journal.params.items():
        *parents, last = key.split(".")
        block = nested
        for parent in parents:
            block = block.setdefault(parent, {})
        block[last] = _value(text)
    try:
        settings = BLOCKS[journal.stage].model_validate(nested)
    except ValidationError:
        return None
    return settings if isinstance(settings, PretrainSettings) else None


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _metric(journal: Journal, key: str) -> float | None:
    return next((float(metric.value) for metric in journal.metrics if metric.key == key), None)


RULES = Path(__file__).resolve().parents[1] / "rules"
_HOUR = 3600

# Stages that run in parallel, one group after the other.
ORDER = (
    ("make_phantom",), ("index_inputs",), ("dicom_to_arrow", "split_reports"),
    ("pair_images_reports", "label_images"), ("audit_splits",),
    ("pretrain",), ("select_checkpoint",), ("extract_features", "retrieval"),
    ("zero_shot_classification", "multi_class_classification", "few_shot_classification", "few_shot_segmentation",
     "phrase_grounding"),
    ("summarize",),
)  # fmt: skip


@dataclass(frozen=True)
class Hardware:
    """Hardware that a run may use at a time."""

    device: str  # a key of `devices` in costs.yaml
    gpus: int
    cores: int
    scheduler: bool  # each job waits for one


@dataclass(frozen=True)
class StageEstimate:
    """Estimate of one stage."""

    stage: str
    jobs: int
    cpu_hours: Range  # requested cores x time
    gpu_hours: Range
    written: float  # bytes
    wall_hours: Range
    longest_hours: Range  # of its longest job
    allowed_hours: float  # what the rules first request for that job; 0 where they do not say
    basis: str  # origin of the figures
    files: int = 0  # and folders, that it leaves in the workspace


@dataclass(frozen=True)
class RunEstimate:
    """Estimate of a whole run."""

    amounts: Mapping[str, Amount]
    hardware: Hardware
    stages: list[StageEstimate]
    assumed: tuple[str, ...] = ()  # text weights that are taken for a BERT-base

    @property
    def wall_hours(self) -> Range:
        """Return the elapsed time: groups of ORDER one after the other, the longest stage of each counting."""
        total = Range()
        for group in ORDER:
            longest = Range()
            for each in self.stages:
                longest = longest.at_least(each.wall_hours) if each.stage in group else longest
            total += longest
        return total

    @property
    def written(self) -> float:
        """Return the bytes that all stages write."""
        return sum(each.written for each in self.stages)

    @property
    def files(self) -> int:
        """Return the files and folders that all stages leave in the workspace."""
        return sum(each.files for each in self.stages)


def estimate(
    config: Config,
    hardware: Hardware,
    amounts: Mapping[str, Amount] | None = None,
    threads: Mapping[str, int] | None = None,
) -> RunEstimate:
    """Estimate everything that the configuration asks for; work that is already done is not left out.

    `threads` are those of rules for which a profile says other than the rule.
    """
    journals = journals_of(config)
    amounts = amounts or amounts_of(config, journals)
    requests = {
        name: replace(each, threads=(threads or {}).get(name, each.threads))
        for name, each in rule_requests(RULES).items()
    }
    corrections = factors(config, amounts, journals, hardware, requests) if journals else {}
    by_stage: dict[str, list[Job]] = {}
    for job in jobs_of(config, amounts):
        by_stage.setdefault(job.stage, []).append(job)
    stages = [_stage(name, jobs, hardware, corrections, requests) for name, jobs in by_stage.items()]
    trained = [config.settings(PretrainSettings, variant=each) for each in config.compare]
    assumed = filter(None, (text_of_assumed_size(each, Path(config.workspace)) for each in trained))
    return RunEstimate(amounts, hardware, stages, tuple(dict.fromkeys(assumed)))


@dataclass(frozen=True)
class Room:
    """Room on a disk, in bytes and in files (inodes)."""

    bytes: float
    files: float


def room_for_run(config: Config, index_of: IndexOf | None = None) -> Room:
    """Return what a run writes below its workspace, less what earlier runs left there.

    `index_of` returns the index of a data set that was read before.
    """
    jobs = jobs_of(config, amounts_of(config, journals_of(config), index_of))
    workspace = Path(config.workspace)
    tables = sum(path.stat().st_size for path in (workspace / "results").rglob("*.arrow"))
    there = sum(len(folders) + len(files) for _, folders, files in os.walk(workspace))
    return Room(max(0.0, sum(job.written for job in jobs) - tables), max(0.0, sum(job.files for job in jobs) - there))


def journals_of(config: Config) -> list[Journal]:
    """Return the journals of earlier runs in the workspace, shards included; unreadable ones do not count."""
    results = Path(config.workspace, "results")
    if not any(results.rglob(JOURNAL_FILE)):
        return []
    return [found.journal for found in find_journals(results)[0]]


def _request(job: Job, requests: Mapping[str, Request]) -> Request | None:
    return requests.get(job.cost.replace("/", "_")) or requests.get(job.stage)


def _threads(job: Job, requests: Mapping[str, Request], hardware: Hardware) -> int:
    request = _request(job, requests)
    return min(request.threads if request else 1, hardware.cores)


def _stage(name: str, jobs: list[Job], hardware: Hardware, corrections: Mapping[str, Range],
           requests: Mapping[str, Request]) -> StageEstimate:  # fmt: skip
    cpu, gpu, wall, longest, allowed = Range(), Range(), Range(), Range(), 0.0
    for job in jobs:
        request, threads = _request(job, requests), _threads(job, requests, hardware)
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
    written, files = sum(job.written for job in jobs), round(sum(job.files for job in jobs))
    return StageEstimate(name, len(jobs), cpu, gpu, written, wall, longest, allowed, basis, files)
