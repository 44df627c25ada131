"""Opening the files that an index names, and nothing else: an index is input like any other."""

import os
import stat
from pathlib import Path, PurePosixPath

from stages.dicom_to_arrow.rejection import RejectionError


def read_source(root: Path, relative: str, max_bytes: int) -> bytes:
    """Bytes of the regular file `relative` ('/' between folders) under `root`.

    Links are followed as long as they stay under `root`. A pipe is never waited on. Raises RejectionError.
    """
    path = _path_under(root, relative)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise RejectionError("not_a_regular_file", "the path leads to a folder, pipe, socket or device")
        # O_NONBLOCK and the second look: what was a file a moment ago may be a pipe now.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as handle:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise RejectionError("not_a_regular_file", "the path leads to a folder, pipe, socket or device")
            if status.st_size > max_bytes:
                raise RejectionError("too_large", f"{status.st_size} bytes, max_file_bytes is {max_bytes}")
            data = handle.read(max_bytes + 1)
    except OSError as error:
        raise RejectionError("unreadable_file", f"cannot be read: {os.strerror(error.errno or 0)}") from None
    if len(data) > max_bytes:
        raise RejectionError("too_large", f"more than {max_bytes} bytes (max_file_bytes)")
    return data


def _path_under(root: Path, relative: str) -> Path:
    """The file's real path; a path that is not strictly below `root` is refused before the disk is touched."""
    pure = PurePosixPath(relative)
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or "\0" in relative:
        raise RejectionError("path_outside_root", "the index must name files by a relative path without '..'")
    try:
        path = root.joinpath(*pure.parts).resolve(strict=True)
    except (FileNotFoundError, NotADirectoryError):
        raise RejectionError("file_missing", "no such file under the root") from None
    except (OSError, RuntimeError):  # a loop of links (RuntimeError up to Python 3.12), a name too long
        raise RejectionError("unreadable_file", "the path cannot be followed") from None
    if not path.is_relative_to(root.resolve()):
        raise RejectionError("path_outside_root", "a link leads out of the root")
    return path
