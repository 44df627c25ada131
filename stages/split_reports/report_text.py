"""Text of a report: from the index itself or from a file under the data set's root."""

from pathlib import Path, PurePosixPath
from typing import NamedTuple


class ReportText(NamedTuple):
    text: str
    encoding: str  # utf-8 | cp1252


class RejectedError(Exception):
    """A report that cannot be used: a reason code, and a message without text of the report or values of its path."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def read_report(root: Path, path: str | None, text: str | None) -> ReportText:
    """The report's text; a byte order mark is dropped, line ends stay as they are (offsets count them).

    Raises RejectedError with the reason path_outside_root, report_file_missing, report_file_unreadable,
    undecodable_text or empty_report.
    """
    report = ReportText(text, "utf-8") if text is not None else decode(_read(root, path or ""))
    if "\0" in report.text:
        raise RejectedError("undecodable_text", "the report holds NUL bytes; store it as UTF-8 text")
    if not report.text.strip("\ufeff \t\r\n") or report.text.isspace():
        raise RejectedError("empty_report", "the report has no text")
    return report


def decode(data: bytes) -> ReportText:
    """UTF-8, else Windows-1252, which covers what reports in Latin-1 print."""
    try:
        return ReportText(data.decode("utf-8-sig"), "utf-8")
    except UnicodeDecodeError:
        pass
    try:
        return ReportText(data.decode("cp1252"), "cp1252")
    except UnicodeDecodeError:
        raise RejectedError("undecodable_text", "the report is neither UTF-8 nor Windows-1252; convert it") from None


def _read(root: Path, path: str) -> bytes:
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or "\0" in path:
        raise RejectedError("path_outside_root", "the report's path leaves the data set's root; correct the index")
    try:
        return (root / relative).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise RejectedError("report_file_missing", "the report's file is not under --root; download it") from None
    except OSError as error:
        raise RejectedError("report_file_unreadable", f"the report's file cannot be read ({error.strerror})") from None
