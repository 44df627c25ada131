"""`--processes`: the stage starts its own ranks, and once only."""

import os
import sys

import pytest

from stages.pretrain.ranks import start_ranks


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
    start_ranks("stages.pretrain", 4)
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
    start_ranks("stages.pretrain", 1)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    start_ranks("stages.pretrain", 4)
    assert not started
