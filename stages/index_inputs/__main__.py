"""Read a data set's own index into tables of files and reports. Inputs, outputs and settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import IndexInputsJob


def main(job: IndexInputsJob) -> None:
    from .index import index_data_set  # a table library, which --help does not need

    index_data_set(job)


WORK: Work = {IndexInputsJob: main}

if __name__ == "__main__":
    run_stage(WORK)
