"""Embed the images of one data set with one variant. Inputs, outputs and settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import ExtractFeaturesJob


def main(job: ExtractFeaturesJob) -> None:
    from .embedding import extract  # torch and transformers, which --help does not need

    extract(job)


WORK: Work = {ExtractFeaturesJob: main}

if __name__ == "__main__":
    run_stage(WORK)
