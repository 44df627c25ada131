"""Text with slots, `{name}`, as configuration and prompt files hold it; Python's other formats are refused."""

import re
from collections.abc import Collection, Mapping

_SLOT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def slots_in(text: str, known: Collection[str]) -> list[str]:
    """Return the names of the slots of `text`, each once, in their order.

    Raises:
        ValueError: a slot that is not `known`, or a brace that belongs to none.
    """
    names = list(dict.fromkeys(_SLOT.findall(text)))
    wrong = [f"{{{name}}}" for name in names if name not in known]
    if not wrong and (brace := re.search(r"[{}][^{}]*[{}]?", _SLOT.sub("", text))):
        wrong = [brace[0]]
    if wrong:
        slots = ", ".join(f"{{{name}}}" for name in known) or "none"
        raise ValueError(f"{text!r}: {wrong[0]} is no slot (there are: {slots})")
    return names


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return `text` with its slots filled in; those without a value stay."""
    return _SLOT.sub(lambda slot: values.get(slot[1], slot[0]), text)
