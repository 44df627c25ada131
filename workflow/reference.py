"""Write the reference pages from contracts and settings: every key, every file with its columns, every command.

python -m workflow.reference write docs/reference/*.md python -m workflow.reference --check exit with status 1 where a
page is stale (a test does this, too)
"""

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pyarrow as pa
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typing_extensions import is_typeddict

from stages.common.contract import Job, Product, arguments_of, flag_of
from stages.common.files import schemas
from stages.common.files.atomic_files import write_text
from stages.common.records import Record
from stages.configuration import Config, Dataset
from stages.contracts import BLOCKS, JOBS
from stages.distribution import distributions, read_distribution

from .reference_python import decisions_page, python_page

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
GENERATED = "<!-- Written by `make reference` from contracts and settings: do not edit. -->\n"
_SIDE = 256  # of the example of a schema that depends on a size
_WIDTH = 512
_LINE = 110  # characters of a line of YAML


def pages() -> dict[str, str]:
    """Return the text of every page by its file name."""
    return {"settings.md": settings_page(), "files.md": files_page(), "commands.md": commands_page(),
            "distributions.md": distributions_page(), "api.md": GENERATED + python_page(),
            "decisions.md": GENERATED + decisions_page()}  # fmt: skip


# ---- settings


def settings_page() -> str:
    """Describe every key of config.yaml: type, default, meaning with unit."""
    own = [name for name in Config.model_fields if name not in BLOCKS]
    own_of_dataset = [name for name in Dataset.model_fields if name not in BLOCKS]
    parts = [
        "# Settings\n",
        "Every key of `config.yaml`. A block has the name of its stage. Omitted keys take their defaults. "
        "A data set's own block overrides the stage's block, and a variant overrides `pretrain`.\n",
        "## Top level\n",
        _table(("key", "type", "default", "meaning"), _rows(Config, own)),
        "## datasets.NAME\n",
        "A data set. Besides these keys, it has blocks of the stages that run per data set.\n",
        _table(("key", "type", "default", "meaning"), _rows(Dataset, own_of_dataset)),
    ]
    for stage, model in BLOCKS.items():
        parts += [f"## {stage}\n", _table(("key", "type", "default", "meaning"), _keys(model))]
    return _page(parts)


def _rows(model: type[BaseModel], names: Iterable[str]) -> list[tuple[str, ...]]:
    return [_key_row(name, model.model_fields[name], _default(model.model_fields[name])) for name in names]


def _keys(model: type[BaseModel], prefix: str = "", block: BaseModel | None = None) -> Iterator[tuple[str, ...]]:
    """Yield a row for each key; a nested block follows its own row, with dotted keys.

    Defaults are those of `block`, where a nested block has others than its type.
    """
    for name, field in model.model_fields.items():
        default = _default(field) if block is None else getattr(block, name)
        yield _key_row(prefix + name, field, default)
        nested = _nested(field.annotation)
        if nested is not None and get_origin(field.annotation) is not dict:
            yield from _keys(nested, f"{prefix}{name}.", default if isinstance(default, BaseModel) else None)


def _key_row(key: str, field: FieldInfo, default: Any) -> tuple[str, ...]:
    bounds = ", ".join(_bound(each) for each in field.metadata if _bound(each))
    kind = _type(field.annotation) + (f"; {bounds}" if bounds else "")
    nested = _nested(field.annotation)
    described = field.description or (nested and (nested.__doc__ or "").partition("\n")[0]) or ""
    return f"`{key}`", kind, _shown(default), described


def _bound(constraint: Any) -> str:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    return ", ".join(f"{sign} {getattr(constraint, name)}" for name, sign in signs.items() if hasattr(constraint, name))


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True)


def _shown(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, dict) and any(isinstance(each, BaseModel) for each in value.values()):
        value = {key: each.model_dump() for key, each in value.items()}
    return f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    """Write a value as in config.yaml, on one line."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(_yaml(each) for each in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(each)}" for key, each in value.items()) + "}"
    return str(value)


# ---- files


def files_page() -> str:
    """Describe what every job reads and writes, with the columns of its tables and the keys of its records."""
    parts = [
        "# Files\n",
        "What every stage reads and writes, in the order of the workflow. Outputs are written to "
        "`<workspace>/results/<stage>/`, in a folder per run. Every output has its sha256 beside it.\n",
    ]
    for job in JOBS:
        title = " ".join(filter(None, (job.stage, job.command)))
        place = "/".join(filter(None, ("results", job.stage, job.place))) + "/"
        parts += [f"## {title}\n", _summary(job), f"Folder of a run: `{place}`. There is one run per {job.over}.\n"]
        sources = job.sources()
        if sources:
            inputs = [(f"`{flag_of(name)}`", each.help) for name, each in sources.items()]
            parts += ["Inputs:\n", _table(("option", "what"), inputs)]
        products = job.products()
        if products:
            outputs = [(f"`{each.file}`", _kind(each), each.help.partition(", ")[2]) for each in products.values()]
            parts += ["Outputs:\n", _table(("file", "kind", "what"), outputs)]
        for each in products.values():
            parts += _contents(each)
    return _page(parts)


def _kind(product: Product) -> str:
    if product.record:
        return f"JSON, {product.record.__name__}"
    if product.table:
        return "folder of Arrow tables" if product.is_folder else "Arrow table"
    return "folder" if product.is_folder else Path(product.file).suffix.lstrip(".") or "file"


def _contents(product: Product) -> list[str]:
    """Describe the inside of an output: the columns of a table, the keys of a record."""
    rows: list[tuple[str, ...]]
    if product.record:
        rows = [(f"`{key}`", kind, what) for key, kind, what in _record_keys(product.record)]
        return [f"`{product.file}`:\n", _table(("key", "type", "what"), rows)]
    if product.table:
        rows = [(f"`{each.name}`", f"`{each.type}`", _meaning(each)) for each in schema_of(product.table)]
        return [f"`{product.file}`:\n", _table(("column", "type", "what"), rows)]
    if product.columns:
        rows = [(f"`{name}`", what) for name, what in product.columns.items()]
        return [f"`{product.file}`:\n", _table(("column", "what"), rows)]
    return []


def schema_of(name: str) -> pa.Schema:
    """Return an Arrow schema by its name; one that depends on a size or width is shown for a common one."""
    found: pa.Schema | Callable[..., pa.Schema] = getattr(schemas, name)
    if isinstance(found, pa.Schema):
        return found
    return found(_WIDTH, _WIDTH) if name == "features" else found(_SIDE)


def _meaning(field: pa.Field) -> str:
    metadata = field.metadata or {}
    return "; ".join(value.decode() for value in metadata.values())


def _record_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        yield prefix + name, _type(field.annotation), field.description or ""
        nested = _nested(field.annotation)
        if nested is not None and issubclass(nested, Record):
            inside = {dict: ".*.", list: "[].", tuple: "[]."}.get(_container(field.annotation), ".")
            yield from _record_keys(nested, f"{prefix}{name}{inside}")


# ---- commands


def commands_page() -> str:
    """Describe the options of every command of every stage."""
    parts = [
        "# Commands\n",
        "Each stage runs alone, without Snakemake: `mlip <stage>`, or `python -m stages.<stage>` in a checkout. "
        "All take `--settings` (YAML or JSON, or a file with it), `--journal` (where to write the record of the run), "
        "`--name` and `--image`.\n",
        "Commands of a model, a table or the pipeline (`mlip predict`, `embed`, `split-report`, `new-dataset`, "
        "`rejects`, `doctor`, `estimate`, `why`, `images`, `audit`) are listed by `mlip --help`, and described by "
        "`mlip COMMAND --help`.\n",
    ]
    for job in JOBS:
        title = " ".join(filter(None, ("mlip", job.stage.replace("_", "-"), job.command)))
        rows = []
        for each in arguments_of(job):
            value = "required" if each.required else f"`{_yaml(each.default)}`"
            choices = f" ({', '.join(each.choices)})" if each.choices else ""
            rows.append((f"`{each.flag}`", value, each.help + choices + each.bound))
        parts += [f"## {title}\n", _summary(job), _table(("option", "default", "meaning"), rows)]
    return _page(parts)


# ---- distributions


def distributions_page() -> str:
    """Describe every public data set that is read by name."""
    parts = [
        "# Public data sets\n",
        "`datasets.NAME: {distribution: nih, root: FOLDER}` reads a public data set as its owners distribute it. The "
        "blocks below are laid under those of the data set, so that any key of them can be overridden there. Get each "
        "set from its owners, under their terms.\n",
    ]
    rows = []
    for name in distributions():
        each = read_distribution(name)
        counts = each.published
        patients = "not stated" if counts.patients is None else f"{counts.patients:,}"
        link = f"[`{name}`](#{name})"
        rows.append(
            (link, each.title, f"{counts.images:,}", patients, f"{counts.reports:,}" if counts.reports else "-")
        )
    parts.append(_table(("distribution", "data set", "images", "patients", "reports"), rows))
    for name in distributions():
        each = read_distribution(name)
        blocks = yaml.safe_dump(each.blocks, sort_keys=False, allow_unicode=True, width=_LINE, default_flow_style=None)
        parts += [f"## {name}\n", f"{each.title} ({each.citation}). From {each.access}.\n", f"```yaml\n{blocks}```\n"]
    return _page(parts)


# ---- what all pages share


def _summary(job: type[Job]) -> str:
    return (job.__doc__ or "").partition("\n")[0] + "\n"


def _type(annotation: Any) -> str:
    """Return a type in words for a reader of YAML and JSON."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{_yaml(each)}`" for each in inner)
    if origin in (Union, UnionType):
        return " or ".join("null" if each is type(None) else _type(each) for each in inner)
    if origin in (list, tuple):
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"mapping of {_type(inner[0])} to {_type(inner[1])}"
    if hasattr(annotation, "__metadata__"):
        return _type(inner[0])
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or is_typeddict(annotation)):
        return "block"
    names = {str: "text", int: "integer", float: "number", bool: "boolean", Any: "any"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _nested(annotation: Any) -> type[BaseModel] | None:
    """Return the model inside a type, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _nested(each)) is not None), None)


def _container(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        return next((get_origin(each) for each in get_args(annotation) if get_origin(each)), None)
    return get_origin(annotation)


def _table(headers: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [headers, ("---",) * len(headers), *rows]
    cells = [[" ".join(str(cell).split()).replace("|", "\\|") for cell in row] for row in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells) + "\n"


def _page(parts: list[str]) -> str:
    return GENERATED + "\n".join(parts)


def stale() -> list[Path]:
    """Return the pages whose text is not what would be written now."""
    texts = {FOLDER / name: text for name, text in pages().items()}
    return [path for path, text in texts.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


def main() -> None:
    """Write the pages, or check them."""
    options = ArgumentParser(prog="python -m workflow.reference", description=__doc__)
    options.add_argument("--check", action="store_true", help="write nothing; fail if a page is stale")
    if options.parse_args().check:
        found = stale()
        for path in found:
            print(f"{path}: stale; run `make reference`", file=sys.stderr)
        raise SystemExit(bool(found))
    for name, text in pages().items():
        write_text(FOLDER / name, text, output=False)


if __name__ == "__main__":
    main()
