"""One writer at a time, and the second is told who the first is."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest
from eventually import SECONDS

from stages.common.errors import InputError
from stages.common.files.code_digest import ROOT
from stages.sync.lock import single_writer


def test_the_second_is_told_who_holds_the_lock(tmp_path):
    path = tmp_path / "mlflow.db.lock"
    with (
        single_writer(path, patience=0.0),
        pytest.raises(InputError, match=rf"another sync holds it \(process {os.getpid()} on .+ since .+ UTC\)"),
        single_writer(path, patience=0.3),
    ):
        pytest.fail("two writers")


def test_the_second_waits_for_the_first(tmp_path):
    path, order = tmp_path / "lock", []
    held = threading.Event()

    def first():
        with single_writer(path, patience=0.0):
            held.set()
            time.sleep(0.3)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    held.wait()
    with single_writer(path, patience=SECONDS):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_an_error_frees_the_lock(tmp_path):
    with pytest.raises(RuntimeError), single_writer(tmp_path / "lock", patience=0.0):
        raise RuntimeError
    with single_writer(tmp_path / "lock", patience=0.0):
        pass


def test_a_killed_holder_blocks_nobody(tmp_path):
    code = (
        "import os, pathlib, sys; from stages.sync.lock import single_writer\n"
        "with single_writer(pathlib.Path(sys.argv[1]), 0.0): os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], cwd=ROOT, check=False)
    assert done.returncode == -9
    assert "process" in (tmp_path / "lock").read_text()  # the file stays, the lock does not
    with single_writer(tmp_path / "lock", patience=0.0):
        pass


@pytest.fixture(params=["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def without_locks(request, monkeypatch):
    """A file system that has none."""

    def refuse(*_):
        code = getattr(errno, request.param)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_where_there_are_no_locks_one_writes_at_a_time_too(tmp_path, without_locks):  # noqa: ARG001
    path = tmp_path / "mlflow.db.lock"
    held = tmp_path / "mlflow.db.lock.held"
    message = (
        rf"^{held}: another sync holds it \(process {os.getpid()} on {socket.gethostname()} since .+\), on a file "
        "system without locks; .* delete the file; then sync again$"
    )
    with single_writer(path, patience=0.0):
        assert held.is_file()
        with pytest.raises(InputError, match=message), single_writer(path, patience=0.3):
            pytest.fail("two writers")
    assert not held.exists()
    with pytest.raises(RuntimeError), single_writer(path, patience=0.0):
        raise RuntimeError
    assert not held.exists()


def test_what_a_dead_process_of_this_host_left_is_taken_over(tmp_path, without_locks):  # noqa: ARG001
    with subprocess.Popen(["true"]) as ended:
        pass
    held = tmp_path / "lock.held"
    held.write_text(f"process {ended.pid} on {socket.gethostname()} since 2026-01-01 00:00:00 UTC, 01234567")
    with single_writer(tmp_path / "lock", patience=0.0):
        assert f"process {os.getpid()} " in held.read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"lock"}


@pytest.mark.parametrize("left", ["process 1 on another-host since 2026-01-01 00:00:00 UTC, 01234567", "", "odd"])
def test_of_another_host_nobody_knows_whether_it_is_dead(tmp_path, without_locks, left):  # noqa: ARG001
    (tmp_path / "lock.held").write_text(left)
    with pytest.raises(InputError, match="delete the file"), single_writer(tmp_path / "lock", patience=0.3):
        pytest.fail("taken from another host")
    assert (tmp_path / "lock.held").read_text() == left


def test_of_many_that_find_a_dead_holder_one_writes_at_a_time(tmp_path):
    """Processes, all at once, each for 20 ms; one of them would see another inside."""
    with subprocess.Popen(["true"]) as ended:
        pass
    (tmp_path / "lock.held").write_text(f"process {ended.pid} on {socket.gethostname()} since 2026 UTC, 0")
    code = (
        "import errno, fcntl, pathlib, sys, time; from stages.sync import lock\n"
        "def refuse(*_): raise OSError(errno.ENOSYS, 'none')\n"
        "fcntl.flock = refuse; lock._SECONDS_BETWEEN_TRIES = 0.001; folder = pathlib.Path(sys.argv[1])\n"
        "while not (folder / 'go').exists(): time.sleep(0.001)\n"
        "for _ in range(5):\n"
        f"    with lock.single_writer(folder / 'lock', {SECONDS}):\n"
        "        (folder / 'inside').mkdir(); time.sleep(0.005); (folder / 'inside').rmdir()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with ExitStack() as stack:
        processes = [stack.enter_context(subprocess.Popen(command, cwd=ROOT)) for _ in range(6)]
        (tmp_path / "go").touch()
    assert [process.returncode for process in processes] == [0] * 6
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "go"}
