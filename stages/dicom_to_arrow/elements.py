"""Elements of a data set with the type that is asked for, or a RejectionError that names them, never their value."""

import math
import re
from typing import Any

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from stages.dicom_to_arrow.rejection import RejectionError

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)  # PS3.5 6.2, DS; float() knows more: 1_0, nan


def text(dataset: Dataset, keyword: str) -> str:
    """The (first) value in upper case without blanks around it; "" where the element is absent or empty."""
    values = _values(dataset, keyword)
    return str(values[0]).strip(" \0").upper() if values else ""


def integer(dataset: Dataset, keyword: str) -> int | None:
    """A single whole number; None where the element is absent or empty."""
    value = number(dataset, keyword)
    if value is not None and value != int(value):
        raise RejectionError("invalid_element", f"{keyword} is not one whole number")
    return None if value is None else int(value)


def required_integer(dataset: Dataset, keyword: str) -> int:
    value = integer(dataset, keyword)
    if value is None:
        raise RejectionError("missing_element", f"{keyword} is missing")
    return value


def number(dataset: Dataset, keyword: str) -> float | None:
    """The value of an element that has one; None where it is absent or empty."""
    values = numbers(dataset, keyword)
    if len(values) > 1:
        raise RejectionError("invalid_element", f"{keyword} has {len(values)} values")
    return values[0] if values else None


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """All values, finite; an empty list where the element is absent or empty."""
    values = [_number(value, keyword) for value in _values(dataset, keyword)]
    if not all(math.isfinite(value) for value in values):
        raise RejectionError("invalid_element", f"{keyword} is not finite")
    return values


def _number(value: Any, keyword: str) -> float:
    written = getattr(value, "original_string", value)  # of IS and DS; a number of binary VR is itself
    if isinstance(written, str) and not _DECIMAL.fullmatch(written.strip(" \0")):
        raise RejectionError("invalid_element", f"{keyword} is no number")
    if isinstance(value, bytes):  # float() would read them as text
        raise RejectionError("invalid_element", f"{keyword} holds bytes, no number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise RejectionError("invalid_element", f"{keyword} is no number") from None


def raw(dataset: Dataset, keyword: str) -> bytes:
    """The bytes of an element of binary VR; b"" where it is absent or empty."""
    values = _values(dataset, keyword)
    if len(values) > 1 or not all(isinstance(value, bytes) for value in values):
        raise RejectionError("invalid_element", f"{keyword} holds no bytes")
    return values[0] if values else b""


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Items of a sequence; an empty list where it is absent or empty."""
    values = _values(dataset, keyword)
    if not all(isinstance(item, Dataset) for item in values):
        raise RejectionError("invalid_element", f"{keyword} is no sequence")
    return values


def has_value(dataset: Dataset, keyword: str | tuple[int, int]) -> bool:
    return bool(_values(dataset, keyword))


def _values(dataset: Dataset, keyword: str | tuple[int, int]) -> list[Any]:
    try:
        value = dataset[keyword].value if keyword in dataset else None
    except Exception:  # pydicom converts at access, and its messages quote the value
        raise RejectionError("invalid_element", f"{keyword} cannot be parsed") from None
    if value is None or (isinstance(value, str) and not value.strip(" \0")) or value == b"":
        return []
    return list(value) if isinstance(value, MultiValue | Sequence | list) else [value]
