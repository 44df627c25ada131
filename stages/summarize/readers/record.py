"""What all readers share: the base of the records, and how one is read from a JSON file."""

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...common.files.atomic_files import read_json, verify
from ...common.settings import outdated_record

Record = TypeVar("Record", bound=BaseModel)
Count = Annotated[int, Field(ge=0)]

METRICS = ("auc", "average_precision", "f1", "accuracy")


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)  # keys that the summary does not read are let through


class Estimate(Part):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def read_record(path: Path, model: type[Record]) -> Record:
    """Verify the side-car and parse; an InputError names every wrong key in one line."""
    verify(path)
    try:
        return model.model_validate(read_json(path))
    except ValidationError as error:
        raise outdated_record(error, path, "run its stage again") from None
