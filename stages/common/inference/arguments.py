"""Checks of what callers hand over: lists, texts and classes. No value is taken as another one, as by `str`."""

import os
from collections.abc import Mapping, Set
from typing import Any

from ..errors import InputError, kind_of


def check_list(value: Any, what: str) -> list[Any]:
    """Return any iterable, iterators included, as a list.

    Raises InputError for one item without a list around it, a mapping, whose values would be lost, or a set, which has
    no order.
    """
    if value is None or isinstance(value, Mapping | Set):
        raise InputError(f"{what}: {kind_of(value)}", "give a list")
    try:
        if isinstance(value, str | bytes | bytearray | memoryview | os.PathLike):
            raise TypeError
        iterator = iter(value)
    except TypeError:
        raise InputError(f"{what}: {kind_of(value)}", "put it in a list") from None
    return list(iterator)


def check_text(value: object, what: str) -> str:
    """Return a string that has an encoding. Raises InputError for other values."""
    if not isinstance(value, str):
        raise InputError(f"{what}: {kind_of(value)}", "give text, in quotes")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{what}: {value[error.start]!r} is half of a character", "remove it") from None
    return value


def check_texts(value: Any, what: str, item: str) -> list[str]:
    """Return an iterable of strings as a list; `item` names one of them. Raises InputError for other values."""
    return [check_text(each, f"{item} {place}") for place, each in enumerate(check_list(value, what))]


def check_classes(classes: Any, source: str = "prompts") -> dict[str, list[str]]:
    """Return classes as lists of sentences; a single sentence may stand without a list.

    Raises InputError for anything but a mapping of text to texts, fewer than two classes, or one without sentences.
    """
    if not isinstance(classes, Mapping):
        raise InputError(f"{source}: {kind_of(classes)}", "give a mapping of each class to its sentences")
    found = {}
    for name, texts in classes.items():
        if not isinstance(name, str):
            raise InputError(f"{source}: class {name!r} is {kind_of(name)}, no text", "quote it")
        place = f"{source}: class {check_text(name, source)}"
        found[name] = check_texts([texts] if isinstance(texts, str) else texts, place, f"{place}: sentence")
    if len(found) < 2 or not all(found.values()):
        raise InputError(
            f"{source}: give at least two classes, each with a sentence: probabilities are relative to the alternatives"
        )
    return found
