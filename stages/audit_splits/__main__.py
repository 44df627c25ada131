"""Audit of the test images of a data set. Inputs, outputs and settings: contract.py."""

from ..common.command_line import run_stage
from .contract import AuditSplitsJob


def main(job: AuditSplitsJob) -> None:
    from .overlap import audit_splits  # polars: not for --help

    audit_splits(job)


WORK = {AuditSplitsJob: main}

if __name__ == "__main__":
    run_stage(WORK)
