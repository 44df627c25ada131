"""Classify images into several classes by prompts alone. Inputs, outputs and settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import MultiClassJob


def main(job: MultiClassJob) -> None:
    from .evaluation import classify  # torch and transformers, which --help does not need

    classify(job)


WORK: Work = {MultiClassJob: main}

if __name__ == "__main__":
    run_stage(WORK)
