"""Pre-train one variant. Inputs, outputs and settings: contract.py."""

from ..common.command_line import Work, run_stage
from .contract import PretrainJob


def main(job: PretrainJob) -> None:
    from .ranks import Launch, start_ranks  # torch, which --help does not need
    from .training import pretrain

    start_ranks(__package__, Launch(job.processes, job.nodes, job.node_index, job.rendezvous))
    pretrain(job)


WORK: Work = {PretrainJob: main}

if __name__ == "__main__":
    run_stage(WORK)
