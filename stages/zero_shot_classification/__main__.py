"""Evaluate zero-shot classification of one data set with one variant. Inputs, outputs and settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import ZeroShotJob


def main(job: ZeroShotJob) -> None:
    from .evaluation import classify  # torch and transformers, which --help does not need

    classify(job)


WORK: Work = {ZeroShotJob: main}

if __name__ == "__main__":
    run_stage(WORK)
