"""The reference page of the Python API, from signatures and docstrings of the package, and the list of decisions."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import stages

DECISIONS = Path(__file__).resolve().parents[1] / "docs" / "decisions"
_ORDER = (
    *("load", "Model", "Heatmap", "Reading", "Answer"),
    *("read_radiograph", "SquareImage", "split_report", "Sentence", "InputError"),
)


def python_page() -> str:
    """Describe every name of the package: signature and docstring."""
    if set(_ORDER) != set(stages.__all__):
        raise ValueError(f"names without a place on the page: {set(_ORDER) ^ set(stages.__all__)}")
    parts = [
        "# Python\n",
        "`import mlip` costs nothing: each name is imported on first use. [Examples](../operators/checkpoint.md). "
        "A wrong value is an `InputError` of one line that names the argument.\n",
    ]
    for name in _ORDER:
        value = getattr(stages, name)
        parts += [f"## {name}\n", *_described(f"mlip.{name}", value)]
        if inspect.isclass(value):
            for method, function in _methods(value):
                parts += [f"### {name}.{method}\n", *_described(method, function)]
    return "\n".join(parts)


def _methods(owner: type) -> Iterator[tuple[str, Callable[..., object] | property]]:
    for name, value in vars(owner).items():
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            yield name, value


def _described(name: str, value: object) -> list[str]:
    text = re.sub(r"\n(?=\S)", " ", (inspect.getdoc(value) or "").replace("\n\n", "\0")).replace("\0", "\n\n")
    # A Model comes from `load`, and an attribute has no arguments
    signature = "" if isinstance(value, property) or value is stages.Model else _signature(value)
    return [f"```python\n{name}{signature}\n```\n", text + "\n"]


def _signature(value: object) -> str:
    """Return the arguments with their defaults, without annotations: those of the API are checks, not words."""
    arguments = inspect.signature(value).parameters.values()  # type: ignore[arg-type] # a function or class
    shown = (each.name if each.default is each.empty else f"{each.name}={_default(each.default)}" for each in arguments)
    return f"({', '.join(each for each in shown if each != 'self')})"


def _default(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def decisions_page() -> str:
    """List the decision records by their titles."""
    lines = ["# Decisions\n", "Why the design is as it is: what was considered, and what would change it.\n"]
    for path in sorted(DECISIONS.glob("*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        lines.append(f"- [{title}](../decisions/{path.name})")
    return "\n".join(lines) + "\n"
