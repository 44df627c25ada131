"""An index can name anything; only regular files under the root are opened."""

import os
import socket

import pytest

from stages.common.radiographs.rejection import RejectionError
from stages.dicom_to_arrow.convert import read_source


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "image.dcm").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    (root / "inner_link").symlink_to("folder/image.dcm")
    (root / "outer_link").symlink_to(tmp_path / "secret")
    (root / "outer_folder").symlink_to(tmp_path)
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    return root


@pytest.mark.parametrize("path", ["folder/image.dcm", "folder//image.dcm", "./folder/image.dcm", "inner_link"])
def test_files_under_the_root_are_read(root, path):
    assert read_source(root, path, 100) == b"inside"


def test_a_root_that_is_a_link_is_the_users_own_choice(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    assert read_source(tmp_path / "link", "folder/image.dcm", 100) == b"inside"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "path_outside_root"),
        (".", "path_outside_root"),
        ("../secret", "path_outside_root"),
        ("folder/../../secret", "path_outside_root"),
        ("/etc/passwd", "path_outside_root"),
        ("folder/image.dcm\0", "path_outside_root"),
        ("outer_link", "path_outside_root"),
        ("outer_folder/secret", "path_outside_root"),
        ("absent.dcm", "file_missing"),
        ("folder/image.dcm/deeper", "file_missing"),
        ("folder", "not_a_regular_file"),
        ("pipe", "not_a_regular_file"),
        ("socket", "not_a_regular_file"),
        ("loop", "unreadable_file"),
        ("x" * 5000, "unreadable_file"),
    ],
)
def test_everything_else_is_refused(root, path, reason, monkeypatch):
    monkeypatch.chdir(root)  # a socket's path may have 108 bytes only
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(RejectionError) as caught:
            read_source(root, path, 100)
    assert caught.value.reason == reason
    assert "secret" not in str(caught.value)


def test_too_large(root):
    assert read_source(root, "folder/image.dcm", 6)
    with pytest.raises(RejectionError) as caught:
        read_source(root, "folder/image.dcm", 5)
    assert caught.value.reason == "too_large"
