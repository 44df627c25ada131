"""Evaluate retrieval between images and reports. Inputs, outputs and settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import RetrievalJob


def main(job: RetrievalJob) -> None:
    from .evaluation import measure  # torch and transformers, which --help does not need

    measure(job)


WORK: Work = {RetrievalJob: main}

if __name__ == "__main__":
    run_stage(WORK)
