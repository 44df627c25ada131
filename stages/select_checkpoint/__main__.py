"""Choose and export the best candidate of one variant. Inputs, outputs and settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import SelectCheckpointJob


def main(job: SelectCheckpointJob) -> None:
    from .selection import select_checkpoint  # torch and MLflow, which --help does not need

    select_checkpoint(job)


WORK: Work = {SelectCheckpointJob: main}

if __name__ == "__main__":
    run_stage(WORK)
