"""Origin of a configuration key: config.yaml, a `--configfile` over it, or `--config KEY=VALUE`."""

import re
from collections.abc import Iterator, Mapping, Sequence
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

    def of_error(self, said: str, *blocks: KeyPath) -> str:
        """Return the sources of what a validator of whole blocks refuses, the lowest layer first.

        They set the keys that its message names; where it names none of those which are written, they are all that
        touch a block. An error of a single value, no block, is that of its own key.
        """
        whole: dict[str, Any] = {}
        for layer in self.layers:
            whole = merged(whole, layer.values)
        refused = [each for each in blocks if isinstance(_found(whole, each), Mapping)]
        if not refused:
            return self.of(*blocks[-1])
        written = {key: (*each, *key) for each in refused for key in _keys(_found(whole, each))}  # the last one counts
        said = _last_parts(said)
        named = [key for key in written.values() if re.search(rf"(?<!\w){re.escape(str(key[-1]))}(?!\w)", said)]
        sources = {self.of(*key) for key in named if not isinstance(_found(whole, key), Mapping)}
        sources = sources or {each.source for each in self.layers for path in refused if holds(each.values, path)}
        return ", ".join(each.source for each in self.layers if each.source in sources)


def _last_parts(said: str) -> str:
    """Return a message with the last part of each dotted key alone."""
    return re.sub(r"(?:\w+\.)+(?=[A-Za-z_])|(?<=\W)\.(?=[A-Za-z_])", "", said)


def _keys(values: Any) -> Iterator[KeyPath]:
    """Yield the path of every key of a block, and of the blocks in it."""
    for key, value in values.items() if isinstance(values, Mapping) else ():
        yield (key,)
        yield from ((key, *rest) for rest in _keys(value))


def _found(values: Any, path: KeyPath) -> Any:
    """Return the value that a path leads to, or None."""
    return value_at(values, path) if holds(values, path) else None


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
