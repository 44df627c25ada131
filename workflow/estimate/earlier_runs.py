"""What earlier jobs took, beside what the table says for just these jobs: a factor for each stage.

Only finished jobs count, and of stages that run on a GPU only those on the kind of device that is asked about: which
one it was follows from the operations a second that it reached.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from stages.common.journals import Journal
from stages.config import MODELS, Config
from stages.pretrain.settings import PretrainSettings
from workflow.estimate.amounts import Amount
from workflow.estimate.costs import Range
from workflow.estimate.jobs import Job, jobs_of, pretraining_job
from workflow.estimate.seconds import job_seconds

_GPU_OPERATIONS = 2e12  # a second; more than a node's cores reach, less than a GPU does
_MEANT = 2.0  # s; a shorter job measures the start of Python


def factors(config: Config, amounts: Mapping[str, Amount], journals: Iterable[Journal], device: str,
            cores: int) -> dict[str, Range]:  # fmt: skip
    """Cost key -> (measured over the table): over all of its jobs, and that of the best and of the worst job."""
    planned = {(job.stage, job.name): job for job in jobs_of(config, amounts)}
    studies = next((_metric(each, "data/studies") for each in journals if each.stage == "pretrain"), None)
    ratios: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for journal in journals:
        job = _job_of(journal, planned, studies)
        if job is None or journal.status != "FINISHED" or journal.ended is None:
            continue
        took = (journal.ended - journal.started) / 1000
        on_gpu = job.operations / max(took, 1e-3) > _GPU_OPERATIONS
        if took < _MEANT or (job.operations and on_gpu != (device != "cpu")):
            continue
        ratios[job.cost].append((took, job_seconds(job, device, cores).typical))
    return {
        cost: Range(
            sum(took for took, _ in pairs) / sum(said for _, said in pairs),
            min(took / said for took, said in pairs),
            max(took / said for took, said in pairs),
        )
        for cost, pairs in ratios.items()
    }


def _job_of(journal: Journal, planned: Mapping[tuple[str, str], Job], studies: float | None) -> Job | None:
    """The work that a journal tells of; pre-training by its own settings, which may be others than today's."""
    if journal.stage != "pretrain":
        return planned.get((journal.stage, journal.name))
    settings = settings_of(journal)
    return pretraining_job(journal.name, settings, studies) if settings is not None and studies else None


def settings_of(journal: Journal) -> PretrainSettings | None:
    """The settings that a journal keeps as text, or None where they are of another version."""
    nested: dict[str, Any] = {}
    for key, text in journal.params.items():
        *parents, last = key.split(".")
        block = nested
        for parent in parents:
            block = block.setdefault(parent, {})
        block[last] = _value(text)
    try:
        settings = MODELS[journal.stage].model_validate(nested)
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
