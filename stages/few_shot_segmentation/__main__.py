"""Evaluate few-shot segmentation by one of three protocols. Inputs, outputs and settings: contract.py."""

from functools import partial

from ..common.command_line import Work, run_stage
from .contract import BenchxJob, FinetuneJob, LinearJob


def linear(job: LinearJob) -> None:
    from .repetitions import segment  # torch and transformers, which --help does not need
    from .segmenters import SetrSegmenter

    segment(job, partial(SetrSegmenter, settings=job.settings))


def finetune(job: FinetuneJob) -> None:
    from .repetitions import segment
    from .segmenters import UperNetSegmenter

    segment(job, partial(UperNetSegmenter, settings=job.settings))


def benchx(job: BenchxJob) -> None:
    from .repetitions import segment
    from .segmenters import FrozenUperNetSegmenter

    segment(job, partial(FrozenUperNetSegmenter, settings=job.settings))


WORK: Work = {LinearJob: linear, FinetuneJob: finetune, BenchxJob: benchx}

if __name__ == "__main__":
    run_stage(WORK)
