"""Files below a root: links lead nowhere but into folders that the user has named, for every stage alike."""

import os
import socket

import pytest

from stages.common.errors import InputError
from stages.common.files.rooted_files import RootedFileError, check_folders, find_under, read_under
from stages.common.radiographs.rejection import RejectionError
from stages.dicom_to_arrow.convert import read_source
from stages.split_reports.reports import RejectedError, read_report


@pytest.fixture
def tree(tmp_path):
    """root/files -> store/files, root/one.txt -> store, root/leak -> secret; other/ holds what root lacks."""
    for folder in ("root/real", "store/files/p10", "other/files/p10", "secret"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "store/files/p10/s1.txt").write_text("linked")
    (tmp_path / "other/files/p10/s2.txt").write_text("elsewhere")
    (tmp_path / "secret/s3.txt").write_text("secret")
    (tmp_path / "root/real/s4.txt").write_text("plain")
    (tmp_path / "root/files").symlink_to(tmp_path / "store/files")
    (tmp_path / "root/one.txt").symlink_to(tmp_path / "store/files/p10/s1.txt")
    (tmp_path / "root/leak").symlink_to(tmp_path / "secret")
    (tmp_path / "store/leak").symlink_to(tmp_path / "secret/s3.txt")
    (tmp_path / "other/files/leak").symlink_to(tmp_path / "secret")
    return tmp_path


def kind_of(tree, path, *roots):
    with pytest.raises(RootedFileError) as caught:
        read_under(tree / "root", path, 100, tuple(tree / name for name in roots))
    with pytest.raises(RootedFileError) as found:
        find_under(tree / "root", path, tuple(tree / name for name in roots))
    assert caught.value.kind == found.value.kind
    assert "secret" not in str(caught.value)
    return caught.value.kind


def test_links_lead_into_named_folders_only(tree):
    for path in ("files/p10/s1.txt", "one.txt"):
        assert kind_of(tree, path) == "link_leads_out"
        assert kind_of(tree, path, "other") == "link_leads_out"
        assert read_under(tree / "root", path, 100, (tree / "store",)) == b"linked"
    for path in ("leak/s3.txt", "files/leak/s3.txt"):  # the second by way of a named folder
        assert kind_of(tree, path, "store", "other") == "link_leads_out"
    assert kind_of(tree, "leak", "store", "other") in ("not_regular", "link_leads_out")


def test_a_file_that_the_root_lacks_is_sought_in_the_named_folders(tree):
    assert kind_of(tree, "files/p10/s2.txt", "store") == "missing"
    for roots in (("store", "other"), ("other", "store")):
        assert read_under(tree / "root", "files/p10/s2.txt", 100, tuple(tree / name for name in roots)) == b"elsewhere"
    assert read_under(tree / "root", "real/s4.txt", 100, (tree / "other",)) == b"plain"
    for path in ("../secret/s3.txt", str(tree / "secret/s3.txt"), "", ".", "real/\0"):
        assert kind_of(tree, path, "store", "other") == "unsafe_path"


def test_a_named_folder_may_itself_be_a_link(tree):
    (tree / "alias").symlink_to(tree / "store")
    assert read_under(tree / "root", "files/p10/s1.txt", 100, (tree / "alias",)) == b"linked"


def test_what_is_no_file_is_not_opened(tree, monkeypatch):
    os.mkfifo(tree / "store/files/pipe")
    monkeypatch.chdir(tree / "store/files")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for path in ("files/pipe", "files/socket", "files/p10"):
            assert kind_of(tree, path, "store") == "not_regular"


def test_the_size_is_limited(tree):
    assert read_under(tree / "root", "real/s4.txt", 5) == b"plain"
    with pytest.raises(RootedFileError) as caught:
        read_under(tree / "root", "real/s4.txt", 4)
    assert caught.value.kind == "too_large"


def test_both_stages_follow_the_same_links(tree):
    roots = (tree / "store",)
    assert read_source(tree / "root", "files/p10/s1.txt", 100, roots) == b"linked"
    assert read_report(tree / "root", "files/p10/s1.txt", None, roots).text == "linked"
    with pytest.raises(RejectionError, match="`roots`") as image:
        read_source(tree / "root", "files/p10/s1.txt", 100)
    with pytest.raises(RejectedError, match="`roots`") as report:
        read_report(tree / "root", "files/p10/s1.txt", None)
    assert image.value.reason == report.value.reason == "path_outside_root"


def test_folders_that_do_not_exist_are_named(tree):
    check_folders(tree / "root", [tree / "store"])
    with pytest.raises(InputError, match="nowhere: no such folder"):
        check_folders(tree / "root", [tree / "nowhere"])
