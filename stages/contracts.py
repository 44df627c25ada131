"""Every stage's jobs, in the order of the DAG: what workflow, report and reference pages are made from.

No stage imports this: its code digest would count every contract.
"""

from .audit_splits.contract import AuditSplitsJob
from .common.contract import Job
from .dicom_to_arrow.contract import ConvertJob, DuplicatesJob, GatherJob
from .extract_features.contract import ExtractFeaturesJob
from .fetch_weights.contract import FetchWeightsJob
from .few_shot_classification import contract as few_shot_classification
from .few_shot_segmentation import contract as few_shot_segmentation
from .index_inputs.contract import IndexInputsJob
from .label_images.contract import LabelImagesJob
from .make_phantom.contract import MakePhantomJob
from .pair_images_reports.contract import PairImagesReportsJob
from .phrase_grounding.contract import PhraseGroundingJob
from .pretrain.contract import PretrainJob
from .retrieval.contract import RetrievalJob
from .select_checkpoint.contract import SelectCheckpointJob
from .split_reports.contract import SplitReportsJob
from .summarize.contract import SummarizeJob
from .zero_shot_classification.contract import ZeroShotJob

JOBS: tuple[type[Job], ...] = (
    MakePhantomJob,
    FetchWeightsJob,
    IndexInputsJob,
    ConvertJob,
    GatherJob,
    DuplicatesJob,
    SplitReportsJob,
    PairImagesReportsJob,
    LabelImagesJob,
    AuditSplitsJob,
    PretrainJob,
    SelectCheckpointJob,
    ExtractFeaturesJob,
    ZeroShotJob,
    few_shot_classification.LinearJob,
    few_shot_classification.FinetuneJob,
    few_shot_segmentation.LinearJob,
    few_shot_segmentation.FinetuneJob,
    PhraseGroundingJob,
    RetrievalJob,
    SummarizeJob,
)


def job_of(stage: str, command: str = "") -> type[Job]:
    """Return the job of a stage, or of one of its commands."""
    return next(job for job in JOBS if (job.stage, job.command) == (stage, command))


def writer_of(stage: str, file: str) -> type[Job]:
    """Return the job that writes `file` of `stage`, named as in its contract."""
    return next(job for job in JOBS if job.stage == stage and file in {each.file for each in job.products().values()})
