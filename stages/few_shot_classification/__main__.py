"""Evaluate few-shot classification by one of three protocols. Inputs, outputs and settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import BenchxJob, FinetuneJob, LinearJob, TrainingJob


def linear(job: LinearJob) -> None:
    from .linear_probe import classify_linear  # torch, which --help does not need

    classify_linear(job)


def finetune(job: TrainingJob) -> None:
    from .finetuning import classify_finetuned  # encoders, which the many linear jobs do not need

    classify_finetuned(job)


WORK: Work = {LinearJob: linear, FinetuneJob: finetune, BenchxJob: finetune}

if __name__ == "__main__":
    run_stage(WORK)
