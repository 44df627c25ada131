"""Write the report, its tables and a short text. Inputs, outputs and settings: contract.py."""

from ..common.command_line import run_stage
from .contract import SummarizeJob


def main(job: SummarizeJob) -> None:
    from .summary import summarize  # matplotlib and jinja, which --help does not need

    summarize(job)


WORK = {SummarizeJob: main}

if __name__ == "__main__":
    run_stage(WORK)
