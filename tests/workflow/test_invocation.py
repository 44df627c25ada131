"""What the workflow tells its jobs and sync: into which experiment, and whether models may leave."""

import os
import shlex
import sys

import pytest

from stages.common.journal.journals import read_journal
from stages.common.journal.tracking import track
from stages.common.settings import Settings
from stages.sync.options import read_options
from workflow.invocation import print_warnings, sync_command, tracking_environment


class Example(Settings):
    seed: int = 0


@pytest.mark.parametrize("register", [True, False])
def test_sync_is_told_the_experiment_and_whether_models_may_leave(register):
    words = shlex.split(sync_command("our project", "runs/my run", register))
    assert words[:3] == [sys.executable, "-m", "stages.sync"]
    options = read_options(words[3:])
    assert (options.experiment, str(options.journals)) == ("our project", "runs/my run/results")
    assert options.register_models is register
    assert options.tolerant


@pytest.mark.parametrize("register", [True, False])
def test_journals_say_it_for_a_sync_by_hand(register, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name, value in tracking_environment("ours", tmp_path, register).items():
        monkeypatch.setenv(name, value)
    with track("sync", "", journal=tmp_path / "journal.json", settings=Example(), inputs={}):
        pass
    tags = read_journal(tmp_path / "journal.json").journal.tags
    assert (tags["project"], tags["register_models"]) == ("ours", str(register).lower())


def test_warnings_of_this_call_reach_the_terminal(tmp_path, capsys):
    old, new = tmp_path / "a" / "old.log", tmp_path / "b" / "new.log"
    for log, text in ((old, "warning: earlier\n"), (new, "warning: 3 of 9 images were rejected\nprogress\n")):
        log.parent.mkdir()
        log.write_text(text)
    os.utime(old, (1000, 1000))
    print_warnings(tmp_path, 2000)
    assert capsys.readouterr().err == f"warning: 3 of 9 images were rejected [{new}]\n"
    new.write_text("warning: demo: 3 of 9 images were rejected: x 3\nwarning: ours: 1 of 9 images were rejected: x 1\n")
    print_warnings(tmp_path, 2000, ["demo"])
    planted, own = capsys.readouterr().err.splitlines()
    assert "rejected: x 3 (as they should be: make_phantom planted them in its synthetic data)" in planted
    assert own == f"warning: ours: 1 of 9 images were rejected: x 1 [{new}]"
    print_warnings(tmp_path / "none", 0)
    assert capsys.readouterr().err == ""
