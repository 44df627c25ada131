"""One writer at a time, and the second is told who the first is."""

import os
import subprocess
import sys
import threading
import time

import pytest

from stages.common.code_digest import ROOT
from stages.common.errors import InputError
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
    with single_writer(path, patience=10.0):
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
