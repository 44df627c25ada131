"""Text of a report: from the index itself or from a file under the data set's root."""

import codecs
import errno
import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

_LONGEST = 1_000_000  # bytes; the longest reports of MIMIC-CXR have a few thousand


class ReportText(NamedTuple):
    text: str
    encoding: str  # utf-8 | utf-16 | cp1252


class RejectedError(Exception):
    """A report that cannot be used: a reason code, and a message without text of the report or values of its path."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def read_report(root: Path, path: str | None, text: str | None) -> ReportText:
    """The report's text; a byte order mark is dropped, line ends stay as they are (offsets count them).

    Raises RejectedError with the reason path_outside_root, report_file_missing, report_file_unreadable,
    report_too_long, undecodable_text or empty_report.
    """
    report = ReportText(text, "utf-8") if text is not None else decode(_read(root, path or ""))
    if len(report.text) > _LONGEST:
        raise RejectedError("report_too_long", f"the report is longer than {_LONGEST} characters; correct the index")
    if "\0" in report.text:
        raise RejectedError("undecodable_text", "the report holds NUL bytes; store it as UTF-8 text")
    if not report.text.strip("\ufeff \t\r\n") or report.text.isspace():
        raise RejectedError("empty_report", "the report has no text")
    return report


def decode(data: bytes) -> ReportText:
    """UTF-16 by its byte order mark, UTF-8, else Windows-1252, which covers what reports in Latin-1 print."""
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return ReportText(data.decode(encoding), encoding.removesuffix("-sig"))
    except UnicodeDecodeError:
        pass
    try:
        return ReportText(data.decode("cp1252"), "cp1252")
    except UnicodeDecodeError:
        raise RejectedError("undecodable_text", "the report is neither UTF-8 nor Windows-1252; convert it") from None


def _read(root: Path, path: str) -> bytes:
    """Bytes of a regular file under `root`; a pipe is never waited on, a link that leads out is not followed."""
    folder, _, name = path.rpartition("/")
    if path.startswith("/") or ".." in path.split("/") or name in ("", ".") or "\0" in path:
        raise RejectedError("path_outside_root", "the report's path leaves the data set's root; correct the index")
    try:
        file = f"{_folder_under(root, folder)}/{name}"
        try:
            return _bytes_of(file)
        except OSError as error:
            if error.errno != errno.ELOOP:  # O_NOFOLLOW met a link
                raise
            return _bytes_of(_real_path_under(root, path))
    except (FileNotFoundError, NotADirectoryError):
        raise RejectedError("report_file_missing", "the report's file is not under --root; download it") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, up to Python 3.12
        reason = os.strerror(getattr(error, "errno", None) or errno.ELOOP)
        raise RejectedError("report_file_unreadable", f"the report's file cannot be read ({reason})") from None


def _bytes_of(file: str) -> bytes:
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as handle:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise RejectedError("report_file_unreadable", "the report's path is no regular file; correct the index")
        if status.st_size > _LONGEST:
            raise RejectedError("report_too_long", f"the report is longer than {_LONGEST} bytes; correct the index")
        return handle.readall()


@lru_cache(4096)  # a patient's reports lie in one folder, a thousand patients' folders in another
def _folder_under(root: Path, folder: str) -> str:
    """The folder itself, one look at the disk for each level that is not known yet; links are resolved."""
    if not folder:
        return str(root)
    parent, _, name = folder.rpartition("/")
    file = f"{_folder_under(root, parent)}/{name}"
    return _real_path_under(root, folder) if stat.S_ISLNK(os.lstat(file).st_mode) else file


def _real_path_under(root: Path, relative: str) -> str:
    real = (root / relative).resolve(strict=True)
    if not real.is_relative_to(root.resolve()):
        raise RejectedError("path_outside_root", "a link leads out of the data set's root; correct the index")
    return str(real)
