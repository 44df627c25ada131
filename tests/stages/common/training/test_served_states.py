"""One process in a state's folder; and what has served goes, nothing else."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from stages.common.errors import InputError
from stages.common.files.code_digest import ROOT
from stages.common.training.served_states import mark_served, remove_served, state_in_use, unfinished_beside

HOLDER = """
import sys, time
from stages.common.training.served_states import state_in_use
with state_in_use(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that trains in a folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "state"],
        cwd=ROOT, env=os.environ | {"SLURM_JOB_ID": "4711"}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_second_process_is_refused_with_the_job_of_the_first_and_a_dead_one_holds_nothing(holder, tmp_path):
    state = tmp_path / "state"
    said = rf"SLURM job 4711 \(process {holder.pid} on .*\) is already training here; wait"
    for _ in range(2):
        with pytest.raises(InputError, match=said), state_in_use(state):
            pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with state_in_use(state) as folder:
        assert folder == state
    with state_in_use(state):
        pass


def test_a_file_system_without_locks_stops_nothing_and_is_named(tmp_path, monkeypatch, capsys):
    def unknown(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with state_in_use(tmp_path / "state"):
        pass
    line = f"warning: {tmp_path}/state: the file system has no locks (Function not implemented), so two runs would not"
    assert capsys.readouterr().err.startswith(line)


def test_what_has_served_goes_with_what_other_settings_left_beside_it(tmp_path):
    done, former, training = (tmp_path / "pretrain" / name for name in ("mlip/aa", "mlip/bb", "clip/cc"))
    for folder in (done, former, training):
        (folder / "candidates").mkdir(parents=True)
        (folder / "step_00000009.pt").write_text("state")
    assert unfinished_beside(done) == [former]
    mark_served(done)
    assert unfinished_beside(done) == []
    remove_served(tmp_path)
    assert (done.exists(), former.exists(), training.exists()) == (False, False, True)
    remove_served(tmp_path / "never made")


def test_an_end_without_an_error_marks_and_no_other_end_does(tmp_path):
    good, bad = tmp_path / "mlip" / "aa", tmp_path / "clip" / "bb"
    with state_in_use(good):
        remove_served(tmp_path)
        assert good.exists()
    with pytest.raises(SystemExit), state_in_use(bad):
        raise SystemExit(143)
    remove_served(tmp_path)
    assert (good.exists(), bad.exists()) == (False, True)


def test_an_attempt_after_whole_outputs_takes_the_mark_away(tmp_path):
    """Snakemake lost the outputs with the node: until they are there again, the states must stay."""
    state = tmp_path / "mlip" / "aa"
    with state_in_use(state):
        pass
    mark_served(state)
    with state_in_use(state):
        remove_served(tmp_path)
        assert state.exists()
