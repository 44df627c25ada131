"""Base of every stage's settings: unknown keys are errors, values are frozen, all errors come at once."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from .digests import digest_of
from .errors import InputError, InputErrors

Model = TypeVar("Model", bound=BaseModel)  # not typing.Self: jaxtyping's import hook decorates functions, not classes


class Settings(BaseModel):
    """One block of config.yaml. Subclasses live in `stages/<stage>/contract.py`."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    def digest(self) -> str:
        """Digest of every value, defaults included."""
        return digest_of(self.model_dump(mode="json"))

    @classmethod
    def from_text(cls: type[Model], text: str) -> Model:
        """Parse what `--settings` holds: a YAML or JSON mapping, or the path of a file with one."""
        source = "--settings"
        if text.strip() and not text.lstrip().startswith("{"):
            source = text
            try:
                text = Path(text).read_text(encoding="utf-8")
            except OSError as error:
                raise InputError(
                    f"{source}: cannot be read ({error.strerror})", remedy="give a YAML file or '{...}'"
                ) from None
        try:
            value = yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise InputError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from None
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise InputErrors(validation_errors(error, source)) from None


def validation_errors(error: ValidationError, source: str) -> list[InputError]:
    """List every wrong key or value: where it stands, what is wrong, what was given, what to do."""
    return [_as_input_error(item, f"{source}: {_place(item['loc'])}") for item in error.errors()]


def outdated_record(error: ValidationError, path: Path, remedy: str) -> InputError:
    """Return the one line for a record on disk that this version cannot read: the file, each wrong key, the remedy."""
    wrong = ", ".join(dict.fromkeys(each.what for each in (_as_input_error(item, _place(item["loc"]))
                                                           for item in error.errors())))  # fmt: skip
    return InputError(f"{path}: {wrong} (written by another version)", remedy)


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "(top level)"


def _as_input_error(item: Any, place: str) -> InputError:
    if item["type"] == "extra_forbidden":
        return InputError(f"{place}: unknown key", remedy="remove it or correct its spelling")
    if item["type"] == "missing":
        return InputError(f"{place}: missing key", remedy="add it")
    return InputError(f"{place}: {item['msg']} (given: {item['input']!r})")
