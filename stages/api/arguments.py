"""Checks of the public functions' arguments against their annotations: a wrong value is one InputError.

Pydantic does the checking, without conversions between types. Types whose wrong values need other words than
pydantic's are checked by functions that raise InputError themselves.
"""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, wraps
from numbers import Integral
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError

from ..common.errors import InputError, InputErrors, kind_or_empty
from ..common.files.atomic_files import check_writable
from ..common.inference.arguments import check_classes, check_texts
from ..common.radiographs.settings import Size
from ..common.settings import place_of, wrong_value

P = ParamSpec("P")
R = TypeVar("R")

_STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of each call against their annotations, and pass on what the annotations make of them.

    The decorated function raises one InputError of one line that names every wrong value.
    """
    signature = inspect.signature(function)
    adapters = {name: TypeAdapter(each.annotation, config=_STRICT)
                for name, each in signature.parameters.items() if each.annotation is not each.empty}  # fmt: skip

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        errors: list[InputError] = []
        for name in (each for each in adapters if each in bound.arguments):
            try:
                bound.arguments[name] = adapters[name].validate_python(bound.arguments[name])
            except ValidationError as error:
                errors += [wrong_value(each, place_of((name, *each["loc"]))) for each in error.errors()]
            except InputError as error:
                errors.append(error)
        if errors:
            raise errors[0] if len(errors) == 1 else InputErrors(errors, "; ")
        return function(*bound.args, **bound.kwargs)

    return call


def check_path(value: object, what: str) -> str | Path:
    """Return a path or URI, unchanged if it is text. Raises InputError for other values and an empty text."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise InputError(f"{what}: {kind_or_empty(value)}", "give a path")
    return value if isinstance(value, str) else Path(os.fsdecode(value))


def check_output(value: object) -> Path:
    """Return the path of a file to write. Raises InputError where it cannot be written: before the work, not after."""
    path = Path(check_path(value, "output"))
    check_writable(path)
    return path


def _check_encoding(text: str) -> str:
    text.encode()  # raises a ValueError, which pydantic turns into its own, for half of a character
    return text


def _as_int(value: object) -> object:
    """Return whole numbers of NumPy, which come out of sums, as Python's; a tensor of one element is no number."""
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


def _check_questions(value: object) -> list[dict[str, list[str]]]:
    """Return one mapping of classes, or a list of several, as a list."""
    if not isinstance(value, list | tuple):
        return [check_classes(value, "prompts")]
    if not value:
        raise InputError("prompts: an empty list", "give at least one mapping of classes")
    return [check_classes(each, f"prompts {place}") for place, each in enumerate(value)]


Text = Annotated[str, AfterValidator(_check_encoding)]
Source = Annotated[str | os.PathLike[str], PlainValidator(partial(check_path, what="source"))]
Output = Annotated[str | os.PathLike[str], PlainValidator(check_output)]
Texts = Annotated[Iterable[str], PlainValidator(partial(check_texts, what="texts", item="text"))]
Classes = Annotated[Mapping[str, str | Sequence[str]], PlainValidator(partial(check_classes, source="prompts"))]
Questions = Annotated[
    Mapping[str, str | Sequence[str]] | Sequence[Mapping[str, str | Sequence[str]]], PlainValidator(_check_questions)
]
Count = Annotated[int, Field(ge=1), BeforeValidator(_as_int)]
SideLength = Annotated[Size, BeforeValidator(_as_int)]
