"""Origin of a configuration key: config.yaml, a `--configfile` over it, or `--config KEY=VALUE`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

KeyPath = tuple[int | str, ...]


class Layer(NamedTuple):
    """Values that one source sets; a later layer is merged over an earlier one."""

    source: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Origins:
    """Layers of a configuration, the lowest first."""

    layers: Sequence[Layer]

    def of(self, *path: int | str) -> str:
        """Return the source that sets a key: the last layer that holds it, else that of the nearest enclosing block."""
        for length in range(len(path), 0, -1):
            for layer in reversed(self.layers):
                if holds(layer.values, path[:length]):
                    return layer.source
        return self.layers[0].source


def value_at(values: Any, path: KeyPath) -> Any:
    """Return the value that a path of keys and list indices leads to. Raises KeyError where there is none."""
    for part in path:
        in_list = isinstance(values, list) and isinstance(part, int) and part < len(values)
        if not in_list and not (isinstance(values, Mapping) and part in values):
            raise KeyError(part)
        values = values[part]
    return values


def holds(values: Any, path: KeyPath) -> bool:
    """Return whether a path of keys leads to a value."""
    try:
        value_at(values, path)
    except KeyError:
        return False
    return True


def merged(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `override` merged over it, recursively."""
    result = dict(base)
    for key, value in override.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result
