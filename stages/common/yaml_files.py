"""Read YAML so that a mistake is named by file and line, and no key can silently replace another."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from .errors import InputError

_MERGE = "tag:yaml.org,2002:merge"  # `<<`, which may stand in a mapping several times


class _Loader(yaml.SafeLoader):
    """The safe loader, which refuses a key that a mapping has twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} twice", key.start_mark)
                seen.add(key.value)
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
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2024-13-01
        raise InputError(f"{source}: not valid YAML: {' '.join(str(error).split())}", remedy="correct it") from None


def read_yaml(path: Path, remedy: str) -> Any:
    """Read a YAML file; an InputError names it. `remedy` is for a file that cannot be read."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", remedy=remedy) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start + 1})", remedy="save it as UTF-8") from None
    return parse_yaml(text, str(path))


def read_mapping(path: Path, remedy: str) -> dict[str, Any]:
    """Read a YAML file that must hold a mapping of keys to values."""
    value = read_yaml(path, remedy)
    if not isinstance(value, dict):
        raise InputError(f"{path}: not a mapping of keys to values", remedy=remedy)
    return value
