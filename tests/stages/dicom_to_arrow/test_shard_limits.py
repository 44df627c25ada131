"""What one file may cost: memory and time that a file wants without measure cost one reject row each."""

import os
import signal
import sys
import threading
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian
from written_dicom import file_bytes, file_row, make_dataset

from stages.common.radiographs.isolation import Limits, map_isolated
from stages.dicom_to_arrow import convert
from stages.dicom_to_arrow.contract import DicomToArrowSettings
from stages.dicom_to_arrow.convert import convert_file

MIB = 2**20
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is Linux's")


def resident_peak(_item: object = None) -> int:
    """Bytes; runs in a child."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(fields["VmHWM"].split()[0])


def allocate(item: int) -> str:
    """Runs in a child: `item` MiB, touched; -1 takes memory until there is no more."""
    try:
        taken = [np.ones(max(item, 64) * MIB, dtype=np.uint8)]
        while item < 0:
            taken.append(np.ones(64 * MIB, dtype=np.uint8))
    except MemoryError:
        return f"refused below 600 MiB: {resident_peak() < 600 * MIB}"
    return "had"


@LINUX
def test_memory_beyond_the_limit_is_refused_and_the_child_goes_on():
    results = list(map_isolated(allocate, [100, 700, -1, 100], 1, Limits(20.0, 600 * MIB)))
    refused = "refused below 600 MiB: True"
    assert results == ["had", refused, refused, "had"]


def late_child(_item: object) -> None:
    threading.Event().wait(60)


def test_a_late_child_ends_itself_when_its_parent_is_gone(monkeypatch):
    """The parent's deadline is far off here: the child's own alarm is what ends it."""
    monkeypatch.setattr("stages.common.radiographs.isolation.time.monotonic", lambda: 0.0)
    assert list(map_isolated(late_child, [1], 1, Limits(20.0, clock_seconds=-4.0))) == ["died"]


def noisy(_item: object) -> None:
    print("PatientName: Canary", flush=True)
    os.write(2, b"PatientName: Canary\n")


def test_what_children_print_is_dropped(capfd):
    assert list(map_isolated(noisy, [1], 1, Limits(20.0))) == [None]
    assert "Canary" not in "".join(capfd.readouterr())


def test_an_unforeseen_exception_is_a_reject_that_says_where_and_not_what(tmp_path, monkeypatch):
    def panics(*_arguments: object) -> None:
        raise BaseException("PatientName: Canary")

    monkeypatch.setattr(convert, "read_radiograph", panics)
    (tmp_path / "a.dcm").write_bytes(b"x")
    reject = convert_file(file_row("a", "a.dcm"), tmp_path, DicomToArrowSettings()).reject
    assert reject["reason"] == "unexpected_error"
    assert reject["message"].startswith("BaseException at test_shard_limits.py:")
    assert "Canary" not in str(reject)


def test_memory_that_runs_out_is_a_reject(tmp_path, monkeypatch):
    def exhausts(*_arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(convert, "read_radiograph", exhausts)
    (tmp_path / "a.dcm").write_bytes(b"x")
    reject = convert_file(file_row("a", "a.dcm"), tmp_path, DicomToArrowSettings()).reject
    assert reject["reason"] == "out_of_memory"


def bombs() -> dict[str, bytes]:
    """Files of kilobytes that ask for gigabytes."""
    small = make_dataset(np.arange(64, dtype=np.uint16).reshape(8, 8))
    small.Rows = small.Columns = 60000
    plain = file_bytes(make_dataset(np.arange(64, dtype=np.uint16).reshape(8, 8)))
    start = plain.index(b"\x08\x00")  # behind the File Meta Information
    deflated = make_dataset(np.arange(64, dtype=np.uint16).reshape(8, 8))
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    head = file_bytes(deflated)[:132]
    meta = file_bytes(deflated)
    length = int.from_bytes(meta[140:144], "little")
    squeeze = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = squeeze.compress(plain[start:]) + b"".join(squeeze.compress(bytes(MIB)) for _ in range(1500))
    return {
        "60000 x 60000": file_bytes(small),
        "deflated 1.5 GB": head + meta[132 : 144 + length] + body + squeeze.flush(),
    }


def reason_and_peak(row: dict, root: Path) -> tuple[str, int]:
    """Runs in a child."""
    outcome = convert_file(row, root, DicomToArrowSettings())
    return outcome.reject["reason"] if outcome.reject else "", resident_peak()


@LINUX
def test_bombs_are_rejects_within_a_gigabyte(tmp_path):
    names = bombs()
    for name, content in names.items():
        (tmp_path / name).write_bytes(content)
        assert len(content) < 16 * MIB
    rows = [file_row(name, name, view=None) for name in names]
    limits = Limits(30.0, DicomToArrowSettings().max_memory_bytes)
    for reason, peak in map_isolated(partial(reason_and_peak, root=tmp_path), rows, 1, limits):
        assert reason in {"too_large", "out_of_memory"}
        assert peak < 10**9


def test_signals_of_this_process_are_left_alone():
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
