"""Label the images of one data set with its findings, split and hashed in a card. Inputs, outputs: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import LabelImagesJob


def main(job: LabelImagesJob) -> None:
    from .labels import write_labels  # a table library, which --help does not need

    write_labels(job)


WORK: Work = {LabelImagesJob: main}

if __name__ == "__main__":
    run_stage(WORK)
