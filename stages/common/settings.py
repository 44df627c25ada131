"""Base class of every stage's settings: unknown keys are errors, values are frozen, all errors are reported at once."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from reprlib import Repr
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, field_validator

from .digests import digest_of
from .errors import InputError, InputErrors
from .yaml_files import parse_yaml, read_yaml

Model = TypeVar("Model", bound=BaseModel)  # not typing.Self: jaxtyping's import hook decorates functions, not classes


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise ValueError(f"{name!r} is no name: use A-Z, a-z, 0-9, `_`, `.` and `-`, a letter or digit first")
    return name


def checked_path(path: str) -> str:
    """Return a path that shells, Snakemake and MLflow take as it stands, blanks and accents included.

    Raises:
        ValueError: it holds what one of them gives a meaning: quotes, `$`, `;`, `{}`, `*`, `~` and the like.
    """
    if found := re.search(r"[^\w .@+=:/-]", path):
        raise ValueError(f"a path with {found[0]!r} cannot be used here: write it out, or rename the folder")
    return path


def _begins_with_no_dot(path: str) -> str:
    if path.startswith("."):
        raise ValueError("begins with a dot: write an absolute path, or a folder below the checkout")
    return path


def _without_repeats(values: list[Any]) -> list[Any]:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{value!r} stands there twice: remove one")
    return values


Device = Literal["auto", "cuda", "cpu"]
DEVICES: tuple[Device, ...] = get_args(Device)
DEVICE_HELP = "auto: a GPU if present"
Precision = Literal["fp32", "tf32", "bf16"]

Item = TypeVar("Item")
Name = Annotated[str, AfterValidator(_checked_name)]  # it becomes a folder, a wildcard and a word of a command line
FolderPath = Annotated[str, AfterValidator(checked_path)]
WorkspacePath = Annotated[FolderPath, AfterValidator(_begins_with_no_dot)]
UniqueList = Annotated[list[Item], AfterValidator(_without_repeats)]  # a set whose order is that of tables


def no_boolean(value: Any) -> Any:
    """Return a value that is to be a number. Raises ValueError for a boolean, which pydantic takes for 0 or 1."""
    if isinstance(value, bool):
        raise ValueError(f"{value} is no number (YAML reads yes, no, on and off as true and false)")
    return value


def plain_number(value: Any) -> Any:
    """Return a value that is to be a number. Raises ValueError for a boolean, and for text with leading zeros."""
    if isinstance(value, str) and re.match(r"\s*[-+]?0[\d_]", value):
        raise ValueError(f"{value!r}: write the number without leading zeros")
    return no_boolean(value)


class Settings(BaseModel):
    """One block of config.yaml. Subclasses live in `stages/<stage>/contract.py`."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_written_as_such(
        cls, value: Any, info: Any
    ) -> Any:  # pydantic's type of it cannot be checked at runtime
        kinds = _kinds_in(cls.model_fields[str(info.field_name)].annotation)
        if kinds & {int, float} and kinds <= {int, float, str, NoneType}:
            for each in _single_values(value):
                plain_number(each) if str not in kinds else no_boolean(each)
        return value

    def digest(self) -> str:
        """Return the digest of all values, defaults included."""
        return digest_of(self.model_dump(mode="json"))

    @classmethod
    def from_text(cls: type[Model], text: str) -> Model:
        """Parse the value of `--settings`: a YAML or JSON mapping, or the path of a file that holds one."""
        is_file = bool(text.strip()) and not text.lstrip().startswith("{")
        source = text if is_file else "--settings"
        value = read_yaml(Path(text), "give a YAML file or '{...}'") if is_file else parse_yaml(text, source)
        with validating(source, cls):
            return cls.model_validate(value or {})


def _kinds_in(annotation: Any) -> set[Any]:
    """Return the types of single values that an annotation allows, within lists, mappings' values and unions, too."""
    if get_origin(annotation) is Literal:
        return {bool} & {type(value) for value in get_args(annotation)}
    parts = [part for part in get_args(annotation) if part is not Ellipsis]
    if get_origin(annotation) is Annotated:
        parts = parts[:1]
    elif isinstance(get_origin(annotation), type) and issubclass(get_origin(annotation), Mapping):
        parts = parts[1:]
    return {kind for part in parts for kind in _kinds_in(part)} if parts else {annotation}


def _single_values(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _single_values(each)
    else:
        yield value


@contextmanager
def validating(source: str, model: type[BaseModel] | None = None) -> Iterator[None]:
    """Turn pydantic's ValidationError into one line that names `source` and every wrong key or value."""
    try:
        yield
    except ValidationError as error:
        raise InputErrors(validation_errors(error, source, model), "; ") from None


def validation_errors(error: ValidationError, source: str, model: type[BaseModel] | None = None) -> list[InputError]:
    """Return one error per wrong key or value: where it is, what is wrong, what was given, what to do.

    With the validated `model`, an unknown key comes with the nearest known one.
    """
    return [wrong_value(item, f"{source}: {place_of(item['loc'])}", model) for item in wrong_parts(error)]


# What pydantic puts into the location of an error for the member of a union that did not fit.
_UNION_MEMBER = re.compile(r"function-|constrained-|(list|literal|tuple|dict|set|nullable)\W|(str|int|float|bool)$")


def wrong_parts(error: ValidationError) -> list[Any]:
    """Return pydantic's errors, their locations without names of a union's members.

    A value that fits no form of a union is one error. Where a form fits but for a part, the error is that of the part.
    """
    by_place: dict[tuple[int | str, ...], list[Any]] = {}
    for item in error.errors():
        by_place.setdefault(tuple(part for part in item["loc"] if not _UNION_MEMBER.match(str(part))), []).append(item)
    found = []
    for place, items in by_place.items():
        is_form = any(len(item["loc"]) > len(place) for item in items)
        if is_form and any(len(other) > len(place) and other[: len(place)] == place for other in by_place):
            continue
        fitting = [item for item in items if item["type"] == "value_error"] or items  # a check of the form refused it
        said = " or ".join(dict.fromkeys(item["msg"] for item in fitting)).replace(" or Input should be", " or")
        found.append(fitting[0] | {"loc": place, "msg": said})
    return found


def outdated_record(error: ValidationError, path: Path, remedy: str) -> InputError:
    """Return a one-line error for a record that this version cannot read: the file, each wrong key, the remedy."""
    wrong = ", ".join(dict.fromkeys(each.what for each in (wrong_value(item, place_of(item["loc"]))
                                                           for item in wrong_parts(error))))  # fmt: skip
    return InputError(f"{path}: {wrong} (written by another version)", remedy)


def place_of(location: tuple[int | str, ...]) -> str:
    """Return a location as keys joined by dots."""
    parts = [str(part) for part in location if part != "[key]"]
    return ".".join(part if part.isprintable() else repr(part) for part in parts) or "(top level)"


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one mapping, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def dotted_fields(block: BaseModel, prefix: str = "") -> dict[str, Any]:
    """Return the value of every key of a block under its dotted name, those that its dump leaves out, too."""
    flat: dict[str, Any] = {}
    for name in type(block).model_fields:
        value = getattr(block, name)
        flat |= dotted_fields(value, f"{prefix}{name}.") if isinstance(value, BaseModel) else {prefix + name: value}
    return flat


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return " (did you mean `...`?)" for the nearest known name, or "" where none is near."""
    near = get_close_matches(str(name), list(known), n=1)
    return f" (did you mean `{near[0]}`?)" if near else ""


def wrong_value(item: Any, place: str, model: type[BaseModel] | None = None) -> InputError:
    """Return what one of pydantic's errors means, and what to do, in one line."""
    if item["type"] == "extra_forbidden":
        *parents, key = item["loc"]
        hint = did_you_mean(key, _known_keys(model, parents)) if model else ""
        return InputError(f"{place}: unknown key", remedy=f"remove it or correct its spelling{hint}")
    if item["type"] == "missing":
        return InputError(f"{place}: missing key", remedy="add it")
    what = item["msg"].removeprefix("Value error, ")
    what = re.sub(r"a valid dictionary or instance of \w+", "a block of keys", what)
    is_block = isinstance(item["input"], Mapping | BaseModel)  # what it holds says nothing that the message does not
    given = _shown(item["input"])
    said = is_block or re.search(rf"(?<!\w){re.escape(given)}(?!\w)", what)
    # YAML reads yes, no, on and off as true and false, and 1 or 2024-01-01 as no text
    unquoted = item["type"] == "string_type" and isinstance(item["input"], bool | int | float | date)
    return InputError(
        f"{place}: {what}" if said else f"{place}: {what} (given: {given})", "quote it" if unquoted else ""
    )


def _shown(value: object) -> str:
    """Return a value as Python writes it, in one line, and shortened: a caller may pass a whole report or an array."""
    shortened = Repr()
    shortened.maxstring = shortened.maxother = shortened.maxlong = 100
    return " ".join(shortened.repr(value).split())


def _known_keys(model: type[BaseModel], parents: Iterable[int | str]) -> list[str]:
    """Return the keys of the block that `parents` lead to, through lists, mappings and unions."""
    models = [model]
    for part in parents:
        fields = [each.model_fields[str(part)].annotation for each in models if str(part) in each.model_fields]
        if fields:  # else an index, a mapping's key or a union member's name, which leads to the same models
            models = [found for annotation in fields for found in _models_in(annotation)]
    return [name for each in models for name in each.model_fields]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
