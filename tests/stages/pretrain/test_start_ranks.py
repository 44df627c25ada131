"""`--processes`: the stage starts its own ranks, and once only."""

import os
import sys

import pytest
from torch.distributed.run import get_args_parser

from stages.common.contract import arguments_of
from stages.common.errors import InputError
from stages.pretrain.contract import PretrainJob
from stages.pretrain.ranks import Launch, start_ranks


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: commands.append([program, *arguments[1:]]))
    monkeypatch.setattr(sys, "argv", ["stages/pretrain/__main__.py", "--name", "mlip", "--processes", "4"])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)))
    monkeypatch.setenv("OMP_NUM_THREADS", "32")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    return commands


def test_several_processes_are_started_by_torchrun_and_share_the_cores(started: list[list[str]]) -> None:
    start_ranks("stages.pretrain", Launch(4))
    ((program, *arguments),) = started
    assert program == sys.executable
    assert arguments[:2] == ["-m", "torch.distributed.run"]
    assert "--standalone" in arguments
    assert "--nproc-per-node=4" in arguments
    assert arguments[-6:] == ["-m", "stages.pretrain", "--name", "mlip", "--processes", "4"]
    assert os.environ["OMP_NUM_THREADS"] == "8"


def test_one_process_and_those_of_torchrun_start_nothing(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    start_ranks("stages.pretrain", Launch(1))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    start_ranks("stages.pretrain", Launch(4))
    assert not started


def test_every_node_starts_its_own_and_knows_the_first(started: list[list[str]]) -> None:
    start_ranks("stages.pretrain", Launch(1, nodes=2, node=1, rendezvous="[fe80::1]:29500"))
    ((_, *arguments),) = started
    assert "--standalone" not in arguments
    expected = {"--nnodes=2", "--node-rank=1", "--nproc-per-node=1", "--master-addr=[fe80::1]", "--master-port=29500"}
    assert expected <= set(arguments)


@pytest.mark.parametrize(
    ("node", "rendezvous"), [(0, ""), (0, "host"), (0, ":29500"), (0, "host:port"), (2, "host:29500")]
)
def test_nodes_that_cannot_meet_are_refused(started: list[list[str]], node: int, rendezvous: str) -> None:
    with pytest.raises(InputError, match=f"--node-index {node} --rendezvous {rendezvous or 'missing'}.*HOST:PORT"):
        start_ranks("stages.pretrain", Launch(1, nodes=2, node=node, rendezvous=rendezvous))
    assert not started


def test_the_launcher_passes_every_option_of_the_stage_on() -> None:
    """Torchrun knows abbreviations of its own options wherever they stand: `--node` would be its `--node-rank`."""
    options = [word for each in arguments_of(PretrainJob) for word in (each.flag, "value")]
    words = ["--nproc-per-node=2", "-m", "stages.pretrain", *options]
    assert get_args_parser().parse_args(words).training_script_args == options
