"""Files are whole or absent; one flipped bit is found."""

import hashlib
import json
import os
import struct
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from other_users import disk_with_quota

from stages.common.errors import InputError, of_the_system
from stages.common.files.atomic_files import (
    atomic_path,
    check_writable,
    private_files,
    read_json,
    read_sidecar,
    recorded_sha256,
    sha256_of,
    sidecar_of,
    verify,
    write_json,
    write_sidecar,
    write_text,
)
from stages.common.files.code_digest import ROOT


def test_a_write_replaces_the_old_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "new" / "folder" / "file.txt"
    write_text(target, "old")
    write_text(target, "new")
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_crash_in_the_middle_leaves_the_old_file_and_no_temporary(tmp_path, error):
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")

    def write():
        with atomic_path(target) as temporary:
            temporary.write_bytes(b"half of the n")
            raise error

    with pytest.raises(error):
        write()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_crash_before_the_first_byte_of_a_first_write_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "file.bin"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file.bin", "rsna[1]*.arrow"])
def test_what_a_killed_process_left_of_a_file_goes_with_its_next_write(tmp_path, name):
    """Nobody's temporary files but those: of the same name, and of a process that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    left = tmp_path / f".{name}.{dead.pid}.tmp"
    kept = [tmp_path / f".{name}.{end}.tmp" for end in (os.getppid(), f"pdf.{dead.pid}", "x")]
    for path in (left, *kept):
        path.write_text("half")
    write_text(tmp_path / name, "whole")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / name, *kept])


def test_forgetting_to_write_is_an_error_not_an_empty_file(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "file.bin"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_the_old_file_whole(tmp_path):
    """SIGKILL runs no handler: a temporary may stay, but under the target's name stands the old file."""
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    code = (
        "import os, pathlib, sys; from stages.common.files.atomic_files import atomic_path\n"
        "with atomic_path(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(target)], cwd=ROOT, check=False)
    assert done.returncode == -9
    assert target.read_bytes() == b"old"


def test_readers_see_the_old_or_the_new_file_and_never_a_mixture(tmp_path):
    target = tmp_path / "file.txt"
    write_text(target, "a" * 100_000)
    with target.open() as reader:
        start = reader.read(10)
        write_text(target, "b" * 100_000)
        assert set(start + reader.read()) == {"a"}
    assert set(target.read_text()) == {"b"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('aé\n"\\'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@settings(deadline=None)  # fsync takes as long as the disk likes
@given(value=json_values)
def test_json_round_trip_keeps_every_digit(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert read_json(path) == value


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": 1}


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1} x', b"\xff\xfe"])
def test_a_broken_json_file_is_named_in_one_line_with_the_remedy(tmp_path, content):
    path = tmp_path / "value.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="delete it and run its stage again") as caught:
        read_json(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_json_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"value\.json: no such file; run the stage"):
        read_json(tmp_path / "value.json")


@settings(deadline=None)  # fsync takes as long as the disk likes
@given(content=st.binary(max_size=300))
def test_the_digest_is_that_of_hashlib(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "content.bin"
    path.write_bytes(content)
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()


def test_the_sidecar_has_the_format_of_sha256sum(tmp_path):
    path = tmp_path / "empty.bin"
    path.write_bytes(b"")
    digest = write_sidecar(path)
    # FIPS 180-4: SHA-256 of the empty message
    assert digest == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sidecar_of(path).read_text() == f"{digest}  empty.bin\n"
    assert read_sidecar(path) == verify(path) == digest


@settings(deadline=None)  # fsync takes as long as the disk likes
@given(content=st.binary(min_size=1, max_size=64), data=st.data())
def test_any_flipped_bit_is_found(tmp_path_factory, content, data):
    path = tmp_path_factory.getbasetemp() / "flipped.bin"
    path.write_bytes(content)
    write_sidecar(path)
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"flipped\.bin: damaged"):
        verify(path)
    path.write_bytes(content)
    assert verify(path) == hashlib.sha256(content).hexdigest()


def test_verify_names_what_is_missing(tmp_path):
    path = tmp_path / "table.arrow"
    with pytest.raises(InputError, match="no such file"):
        verify(path)
    path.write_bytes(b"x")
    assert read_sidecar(path) is None
    with pytest.raises(InputError, match=r"side-car table\.arrow\.sha256 is missing"):
        verify(path)


def test_json_is_readable_by_any_reader(tmp_path):
    write_json(tmp_path / "value.json", {"größe": 0.1})
    assert json.loads((tmp_path / "value.json").read_bytes()) == {"größe": 0.1}


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff", b"1" * 5_000, b"{", b""])
def test_json_that_cannot_be_read_is_one_line(tmp_path, content):
    path = tmp_path / "value.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"value\.json: not valid JSON \(.*; delete it and run its stage again"):
        read_json(path)
    with pytest.raises(InputError, match="Is a directory"):
        read_json(tmp_path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"no digest", b"\0" * 64])
def test_a_side_car_without_a_digest_is_named(tmp_path, content):
    path = tmp_path / "table.arrow"
    path.write_bytes(b"x")
    (tmp_path / "table.arrow.sha256").write_bytes(content)
    for read in (verify, recorded_sha256):
        with pytest.raises(InputError, match=r"table\.arrow\.sha256: holds no sha256; delete it and run"):
            read(path)


def test_an_error_of_writing_names_the_file_that_was_wanted(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as error:
        write_text(tmp_path / "folder", "x")
    assert error.value.filename == str(tmp_path / "folder")
    with pytest.raises(OSError, match="full") as full, atomic_path(tmp_path / "x") as _:
        raise OSError(28, "full")
    assert full.value.filename == str(tmp_path / "x")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder"]


def test_what_lies_under_the_name_of_a_probe_is_not_written_through(tmp_path):
    target, probe = tmp_path / "target", tmp_path / f".file.{os.getpid()}.tmp"
    target.write_text("kept")
    probe.symlink_to(target)
    check_writable(tmp_path / "file")
    assert target.read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("name", ["a\0b", "new/a\0b/file", "new/" + "n" * 300 + "/file", "\udc80" + "n" * 250])
def test_a_name_that_no_file_can_have_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="cannot be written"):
        check_writable(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_umask_decides_even_if_the_writer_allows_one_user_alone(tmp_path):
    """As safetensors does, which renames a file of mode 0600 into its place."""
    former = os.umask(0o002)
    try:
        with atomic_path(tmp_path / "shared") as temporary:
            temporary.touch(mode=0o600)
        with private_files(), atomic_path(tmp_path / "private") as temporary:
            temporary.write_text("x")
        assert os.umask(0o002) == 0o002, "the umask is as before"
    finally:
        os.umask(former)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"shared": 0o664, "private": 0o600}


def test_a_default_acl_is_not_opened(tmp_path):
    """A folder of a project that shuts out all others, whatever the umask is (acl(5))."""
    entries = [(0x01, 7), (0x04, 7), (0x20, 0)]  # owner, group, others
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, rights, 0xFFFFFFFF) for tag, rights in entries)
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", acl)
    except OSError as error:
        pytest.skip(f"NO ACL HERE: {error}")
    for name, narrow in (("plain", False), ("narrowed", True)):
        with atomic_path(tmp_path / name) as temporary:
            temporary.write_text("x")
            if narrow:
                temporary.chmod(0o600)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"plain": 0o660, "narrowed": 0o660}


def test_a_used_up_quota_is_named_and_leaves_nothing(tmp_path):
    with disk_with_quota(tmp_path / "disk", 2**20) as disk:
        write_json(disk / "first.json", "x" * 1000)
        with pytest.raises(OSError, match="Disk quota exceeded") as raised:
            write_json(disk / "second.json", "x" * 3 * 2**20)
        line = str(of_the_system(raised.value))
        assert line.startswith(f"{disk}/second.json: Disk quota exceeded (")
        assert f"MiB free in {disk}); your quota of bytes or of files is used up: " in line
        assert sorted(each.name for each in disk.iterdir()) == ["first.json"]
