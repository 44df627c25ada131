"""Every stage's jobs, in the order of the DAG, from which workflow, report and reference pages are made.

A stage belongs to the pipeline by its one line here. Among the stages, only `summarize` imports this.
"""

from types import ModuleType

from .common.contract import Job, Need
from .common.settings import Settings

# isort: off
from .make_phantom import contract as make_phantom
from .fetch_weights import contract as fetch_weights
from .index_inputs import contract as index_inputs
from .dicom_to_arrow import contract as dicom_to_arrow
from .split_reports import contract as split_reports
from .pair_images_reports import contract as pair_images_reports
from .label_images import contract as label_images
from .audit_splits import contract as audit_splits
from .pretrain import contract as pretrain
from .select_checkpoint import contract as select_checkpoint
from .extract_features import contract as extract_features
from .zero_shot_classification import contract as zero_shot_classification
from .multi_class_classification import contract as multi_class_classification
from .few_shot_classification import contract as few_shot_classification
from .few_shot_segmentation import contract as few_shot_segmentation
from .phrase_grounding import contract as phrase_grounding
from .retrieval import contract as retrieval
from .summarize import contract as summarize
# isort: on


def _jobs_of(contract: ModuleType) -> list[type[Job]]:
    """Return the jobs that a contract declares, without base classes that several commands share."""
    declared = [each for each in vars(contract).values() if isinstance(each, type) and issubclass(each, Job)]
    own = [each for each in declared if each.__module__ == contract.__name__]
    return [each for each in own if not any(other is not each and issubclass(other, each) for other in own)]


JOBS: tuple[type[Job], ...] = tuple(
    job for contract in list(globals().values()) if isinstance(contract, ModuleType) for job in _jobs_of(contract)
)
STAGES: tuple[str, ...] = tuple(dict.fromkeys(job.stage for job in JOBS))
EVALUATIONS: tuple[str, ...] = tuple(  # what is measured on labels, for every variant
    dict.fromkeys(
        job.stage
        for job in JOBS
        if job.over in ("evaluation", "few-shot job")
        and any(each.stage == "label_images" for each in job.sources().values())
    )
)
BLOCKS: dict[str, type[Settings]] = {job.stage: block for job in JOBS if (block := job.block_type()) is not None}


def needs_of(stage: str) -> set[Need]:
    """Return what a data set must have beside labels for the jobs of a stage."""
    return {need for job in JOBS if job.stage == stage for need in job.needs}


def job_of(stage: str, command: str = "") -> type[Job]:
    """Return the job of a stage, or of one of its commands.

    Raises:
        LookupError: there is none.
    """
    for job in JOBS:
        if (job.stage, job.command) == (stage, command):
            return job
    raise LookupError(f"{' '.join((stage, command)).strip()}: no such job in stages/contracts.py")


def writer_of(stage: str, file: str) -> type[Job]:
    """Return the job that writes `file` of `stage`, named as in its contract.

    Raises:
        LookupError: there is none.
    """
    for job in JOBS:
        if job.stage == stage and file in {each.file for each in job.products().values()}:
            return job
    raise LookupError(f"{stage}: no contract of the stage names an output {file}")
