"""Errors that a user is meant to read, and the system's error numbers for a full disk or quota."""

import errno
from collections.abc import Iterable

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class InputError(Exception):
    """Input that a person can correct.

    `what` is one line that names the file, row, key or id and says what is wrong; `remedy` says what to do. The command
    line prints both, "what; remedy", without a traceback.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

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
