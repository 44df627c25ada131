"""Report text to sections, sentences and word pieces. Inputs, outputs and settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import SplitReportsJob


def main(job: SplitReportsJob) -> None:
    from .split import split_reports  # tokenizers and a table library: not for --help

    split_reports(job)


WORK: Work = {SplitReportsJob: main}

if __name__ == "__main__":
    run_stage(WORK)
