"""Split report texts into sections, sentences and word pieces. Inputs, outputs and settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import SplitReportsJob


def main(job: SplitReportsJob) -> None:
    from .split import split_reports  # tokenizers and a table library, which --help does not need

    split_reports(job)


WORK: Work = {SplitReportsJob: main}

if __name__ == "__main__":
    run_stage(WORK)
