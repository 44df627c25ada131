"""Labels of one data set and finding, split and hashed in a card. Inputs, outputs and settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import LabelImagesJob


def main(job: LabelImagesJob) -> None:
    from .labels import write_labels  # a table library: not for --help

    write_labels(job)


WORK: Work = {LabelImagesJob: main}

if __name__ == "__main__":
    run_stage(WORK)
