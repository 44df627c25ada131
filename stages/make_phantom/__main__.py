"""Draw synthetic chest radiographs with truth, in the formats of public data sets. Outputs, settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import MakePhantomJob


def main(job: MakePhantomJob) -> None:
    from .phantom import draw_phantom  # drawing and DICOM libraries, which --help does not need

    draw_phantom(job)


WORK: Work = {MakePhantomJob: main}

if __name__ == "__main__":
    run_stage(WORK)
