"""Few-shot classification by one of two protocols. Inputs, outputs and settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import FinetuneJob, LinearJob


def linear(job: LinearJob) -> None:
    from .linear_probe import classify_linear  # torch: not for --help

    classify_linear(job)


def finetune(job: FinetuneJob) -> None:
    from .finetuning import classify_finetuned  # encoders: many linear jobs are spared the import

    classify_finetuned(job)


WORK: Work = {LinearJob: linear, FinetuneJob: finetune}

if __name__ == "__main__":
    run_stage(WORK)
