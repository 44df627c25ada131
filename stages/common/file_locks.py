"""Which process a file belongs to: the kernel's lock on it, or a process that it names."""

import fcntl
import os
from typing import IO


def take_lock(file: IO) -> bool:
    """Whether this process has the lock of an open file now; False: another one has it.

    The kernel frees it when its process ends, however it ends. OSError where the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lives(process: int) -> bool:
    """Whether a process of this host is still there; another user's is."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
