"""The one exception that a user is meant to read, and the system's numbers for a disk or a quota that is full."""

import errno

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class InputError(Exception):
    """Input that a person can correct.

    The message is one line: it names the file, row, key or id, and says what to do.
    The command line prints it without a traceback.
    """
