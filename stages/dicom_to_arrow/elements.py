"""Elements of a data set with the type that is asked for, or a RejectionError that names them, never their value."""

import math
from typing import Any

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from stages.dicom_to_arrow.rejection import RejectionError


def text(dataset: Dataset, keyword: str) -> str:
    """The (first) value in upper case without blanks around it; "" where the element is absent or empty."""
    values = _values(dataset, keyword)
    return str(values[0]).strip(" \0").upper() if values else ""


def integer(dataset: Dataset, keyword: str) -> int | None:
    """A single whole number; None where the element is absent or empty."""
    values = numbers(dataset, keyword)
    if len(values) > 1 or any(value != int(value) for value in values):
        raise RejectionError("invalid_element", f"{keyword} is not one whole number")
    return int(values[0]) if values else None


def required_integer(dataset: Dataset, keyword: str) -> int:
    value = integer(dataset, keyword)
    if value is None:
        raise RejectionError("missing_element", f"{keyword} is missing")
    return value


def numbers(dataset: Dataset, keyword: str) -> list[float]:
    """All values, finite; an empty list where the element is absent or empty."""
    try:
        values = [float(value) for value in _values(dataset, keyword)]
    except (TypeError, ValueError):
        raise RejectionError("invalid_element", f"{keyword} is no number") from None
    if not all(math.isfinite(value) for value in values):
        raise RejectionError("invalid_element", f"{keyword} is not finite")
    return values


def raw(dataset: Dataset, keyword: str) -> bytes:
    """The bytes of an element of binary VR; b"" where it is absent or empty."""
    values = _values(dataset, keyword)
    if len(values) > 1 or not all(isinstance(value, bytes) for value in values):
        raise RejectionError("invalid_element", f"{keyword} holds no bytes")
    return values[0] if values else b""


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Items of a sequence; an empty list where it is absent or empty."""
    return [item for item in _values(dataset, keyword) if isinstance(item, Dataset)]


def _values(dataset: Dataset, keyword: str) -> list[Any]:
    try:
        value = dataset.get(keyword)
    except Exception:  # pydicom converts at access, and its messages quote the value
        raise RejectionError("invalid_element", f"{keyword} cannot be parsed") from None
    if value is None or (isinstance(value, str) and not value.strip()) or value == b"":
        return []
    return list(value) if isinstance(value, MultiValue | Sequence | list) else [value]
