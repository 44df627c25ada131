"""The one exception that a user is meant to read."""


class InputError(Exception):
    """Input that a person can correct.

    The message is one line: it names the file, row, key or id, and says what to do.
    The command line prints it without a traceback.
    """
