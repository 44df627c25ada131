"""Pair images and reports, split by patient, audited and described. Inputs, outputs and settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import PairImagesReportsJob


def main(job: PairImagesReportsJob) -> None:
    from .pairs import write_pairs  # a table library, which --help does not need

    write_pairs(job)


WORK: Work = {PairImagesReportsJob: main}

if __name__ == "__main__":
    run_stage(WORK)
