"""Fetch a pre-trained encoder of the Hugging Face hub into a local folder. Outputs and settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import FetchWeightsJob


def main(job: FetchWeightsJob) -> None:
    from .fetch import fetch_model  # the hub's client, which --help does not need

    fetch_model(job)


WORK: Work = {FetchWeightsJob: main}

if __name__ == "__main__":
    run_stage(WORK)
