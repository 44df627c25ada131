"""Reading reports: encodings, and every way in which a report cannot be read."""

import os

import pytest

from stages.split_reports.reports import RejectedError, decode, read_report


def test_utf_8_first_then_windows_1252():
    assert decode("Épanchement à gauche".encode()) == ("Épanchement à gauche", "utf-8")
    assert decode("Épanchement à gauche".encode("latin-1")) == ("Épanchement à gauche", "cp1252")
    assert decode("Épanchement".encode("utf-16")) == ("Épanchement", "utf-16")
    assert decode(b"\xef\xbb\xbfFINDINGS: Clear.\r\n") == ("FINDINGS: Clear.\r\n", "utf-8")


def reason_of(root, path=None, text=None):
    with pytest.raises(RejectedError) as caught:
        read_report(root, path, text)
    assert "Secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def test_reasons(tmp_path):
    (tmp_path / "root" / "folder").mkdir(parents=True)
    root = tmp_path / "root"
    (tmp_path / "Secret.txt").write_text("Secret finding.")
    (root / "nul.txt").write_bytes(b"Secret\0finding")
    (root / "utf16.txt").write_bytes("Secret finding".encode("utf-16-le"))
    (root / "neither.txt").write_bytes(b"Secret \x81\x8d\xff")
    (root / "long.txt").write_text("Secret " * 150_000)
    (root / "link.txt").symlink_to(tmp_path / "Secret.txt")
    (root / "loop.txt").symlink_to(root / "loop.txt")
    os.mkfifo(root / "pipe.txt")
    (root / "blank.txt").write_text(" \n\t\ufeff\n")
    (root / "nothing.txt").write_bytes(b"")
    reasons = {
        "Secret.txt": "report_file_missing",
        "nul.txt/Secret.txt": "report_file_missing",
        "../Secret.txt": "path_outside_root",
        "folder/../../Secret.txt": "path_outside_root",
        str(tmp_path / "Secret.txt"): "path_outside_root",
        "Secret\0.txt": "path_outside_root",
        "folder": "report_file_unreadable",
        "": "path_outside_root",
        "link.txt": "path_outside_root",
        "loop.txt": "report_file_unreadable",
        "pipe.txt": "report_file_unreadable",
        "long.txt": "report_too_long",
        "nul.txt": "undecodable_text",
        "utf16.txt": "undecodable_text",
        "neither.txt": "undecodable_text",
        "blank.txt": "empty_report",
        "nothing.txt": "empty_report",
    }
    assert {path: reason_of(root, path) for path in reasons} == reasons
    assert reason_of(root, text="Secret\0") == "undecodable_text"
    assert reason_of(root, text="\n ") == "empty_report"
    assert reason_of(root, text="a" * 1_000_001) == "report_too_long"


def test_a_link_that_stays_under_the_root_is_followed(tmp_path):
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "1").write_text("Clear.")
    (tmp_path / "s1.txt").symlink_to("objects/1")
    assert read_report(tmp_path, "s1.txt", None).text == "Clear."


def test_inline_text_is_taken_as_it_is(tmp_path):
    assert read_report(tmp_path, None, " Clear.\r\n") == (" Clear.\r\n", "utf-8")
