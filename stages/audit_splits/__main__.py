"""Audit whether test images overlap with anything trained or chosen with. Inputs, outputs, settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import AuditSplitsJob


def main(job: AuditSplitsJob) -> None:
    from .overlap import audit  # a table library, which --help does not need

    audit(job)


WORK: Work = {AuditSplitsJob: main}

if __name__ == "__main__":
    run_stage(WORK)
