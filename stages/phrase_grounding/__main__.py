"""Evaluate phrase grounding on one data set with one variant. Inputs, outputs and settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import PhraseGroundingJob


def main(job: PhraseGroundingJob) -> None:
    from .evaluation import ground  # torch and transformers, which --help does not need

    ground(job)


WORK: Work = {PhraseGroundingJob: main}

if __name__ == "__main__":
    run_stage(WORK)
