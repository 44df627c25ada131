"""YAML reading that names a mistake by file and line, and refuses a key that occurs twice in a mapping."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from .errors import InputError, reason_of

_TEXT, _INT, _FLOAT = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float"))
# YAML 1.1 reads 0512 as octal, 330, and 2:08 to the base 60, as 128; nobody who writes a number means that.
_NO_NUMBER = re.compile(r"[-+]?0[\d_]|.*:")
_MERGE = "tag:yaml.org,2002:merge"  # `<<`, which may occur several times in a mapping


class _Loader(yaml.SafeLoader):
    """The safe loader, which refuses a key that a mapping has twice, and names the place of every mistake.

    Numbers with leading zeros or colons are text.
    """

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)
        return _TEXT if tag in (_INT, _FLOAT) and kind is yaml.ScalarNode and _NO_NUMBER.match(value) else tag

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError) as error:
            # a scalar that is not what its tag says, e.g. the date 2024-13-01
            kind, text = node.tag.rpartition(":")[2], getattr(node, "value", "")
            what = f"{text!r} is no {kind} ({error})"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Hashable, str] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                value = self.construct_object(key)
                if value in seen:  # `no`, `off` and `false` are one key, and `1` and `1.0`
                    also = "" if seen[value] == key.value else f", first as {seen[value]!r}; quote it if it is a word"
                    what = f"key {key.value!r} twice{also}"
                    raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
                seen[value] = key.value
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, source: str) -> Any:
    """Parse YAML; an InputError names `source`, line and column."""
    try:
        return _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark, problem = error.problem_mark or error.context_mark, error.problem or error.context
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        remedy = "indent with spaces, not tabs" if "'\\t'" in str(problem) else "correct it"
        raise InputError(f"{source}: not valid YAML: {where}{problem}", remedy=remedy) from None
    except yaml.reader.ReaderError as error:  # a character that no YAML file may hold
        line = text.count("\n", 0, error.position) + 1
        what = f"line {line}: the character {text[error.position]!r}"
        raise InputError(f"{source}: not valid YAML: {what}", remedy="remove it") from None
    except RecursionError:
        raise InputError(f"{source}: not valid YAML: nested too deep", remedy="correct it") from None


def read_yaml(path: Path, remedy: str) -> Any:
    """Read a YAML file; an InputError names it. `remedy` is for a file that cannot be read."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start + 1})", remedy="save it as UTF-8") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)})", remedy=remedy) from None
    return parse_yaml(text, str(path))


def read_mapping(path: Path, remedy: str) -> dict[str, Any]:
    """Read a YAML file that must hold a mapping; an InputError with `remedy` names one that does not."""
    value = read_yaml(path, remedy)
    if not isinstance(value, dict):
        what = "empty" if value is None else "not a mapping of keys to values"
        raise InputError(f"{path}: {what}", remedy="write KEY: VALUE in it")
    return value
