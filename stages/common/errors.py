"""Errors that a user is meant to read, and what errors of the operating system mean to that user."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def first_line(error: BaseException) -> str:
    """Return the first line of another library's error, or the name of its type where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def reason_of(error: OSError | ValueError) -> str:
    """Return why a file could not be opened; a name with NUL is Python's ValueError."""
    return getattr(error, "strerror", None) or first_line(error)


def kind_of(value: object) -> str:
    """Return what a value is, for an error: "None", "a list", "an int"."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def kind_or_empty(value: object) -> str:
    """Return what a value is, for an error where a text must not be empty: "empty text", else its kind."""
    return "empty text" if isinstance(value, str) and not value else kind_of(value)


def _one_line(text: str) -> str:
    """Return `text` with line ends and other unprintable characters as escapes: names of files may hold them."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class AlreadyDone(Exception):  # noqa: N818 - no error
    """Raised where an earlier attempt's outputs of a job were put back, and nothing is left to do."""


class InputError(Exception):
    """Input that a person can correct.

    `what` is one line that names the file, row, key or id and says what is wrong; `remedy` says what to do. The command
    line prints both, "what; remedy", without a traceback.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = _one_line(what)
        self.remedy = _one_line(remedy)

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what

    @property
    def errors(self) -> tuple["InputError", ...]:
        """Return the single errors: itself, or each error of an `InputErrors`."""
        return (self,)


class InputErrors(InputError):  # noqa: N818 - several of them
    """Several wrong inputs found together; equal ones count once. `separator` joins them in the text."""

    def __init__(self, errors: Iterable[InputError], separator: str = "\n") -> None:
        single = {str(each): each for error in errors for each in error.errors}
        self._errors = tuple(single.values())
        Exception.__init__(self, self._errors, separator)
        self.what = separator.join(single)
        self.remedy = ""

    @property
    def errors(self) -> tuple[InputError, ...]:
        """Return the single errors."""
        return self._errors


def room_at(path: str | os.PathLike[str]) -> str:
    """Return what is left where `path` lies, in words: "12 MiB and 0 files free in FOLDER"; "" where nobody says."""
    folder = Path(path).absolute()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        left = os.statvfs(folder)
    except (OSError, ValueError):
        return ""
    files = f" and {left.f_favail:,} files" if left.f_files else ""
    return f"{left.f_bavail * left.f_frsize / 2**20:,.0f} MiB{files} free in {folder}"


def _no_space(path: str | None, code: int, words: str) -> InputError:
    """Return the error of a full disk, of a file system without free inodes, or of a used up quota."""
    room = room_at(path) if path else ""
    what = f"{path or 'a file or standard output'}: {words}" + (f" ({room})" if room else "")
    remedy = "free space"
    if code == errno.EDQUOT:
        remedy = "your quota of bytes or of files is used up: remove what you can, or ask for more"
    elif " and 0 files free" in room:
        remedy = "remove files there (it has no inode left), for example old workspaces"
    return InputError(what, f"{remedy}, and run again; no output is half written")


_REMEDIES = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), "name another path, or get the right to use this one"),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "name another path: a file is where a folder has to be"),
    errno.EROFS: "name a path on a disk that can be written",
    errno.EISDIR: "name a file",
    errno.ENOENT: "correct the path",
    errno.ENAMETOOLONG: "name a shorter path",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


def of_the_system(error: OSError) -> InputError | None:
    """Return an error of the system as one line: the path, what the system says, the remedy.

    Returns None for an error that neither names a path nor tells of a full disk: a person cannot correct it.
    """
    path = error.filename if error.filename2 is None else error.filename2  # of a renaming, the second is the output
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if error.errno in NO_SPACE:
        named = None if isinstance(path, int) else path
        return _no_space(named, error.errno or 0, error.strerror or str(error))
    if not path or isinstance(path, int):
        return None
    remedy = _REMEDIES.get(error.errno or 0, "check the path and its disk, and run again")
    return InputError(f"{path}: {error.strerror or error}", remedy)
