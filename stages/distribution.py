"""Public data sets by name: the blocks with which each is read as its owners distribute it, and its published counts.

A distribution is one YAML file of stages/distributions. `datasets.NAME.distribution` lays its blocks below those of the
data set, so that a user writes only what differs. Stages see its settings, and the name by which methods cite it.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field

from .common.settings import Settings, did_you_mean, validating
from .common.yaml_files import read_yaml

_FOLDER = Path(__file__).parent / "distributions"


class Published(Settings):
    """Counts that the owners of a data set state."""

    images: int = Field(gt=0, description="images in the table that is read")
    patients: int | None = Field(None, description="null: not stated")
    reports: int = Field(0, description="0: without reports")
    file_bytes: float = Field(gt=0, description="mean size of an image file, rounded")


class Distribution(Settings):
    """Contents of a file of stages/distributions."""

    title: str
    citation: str = Field(description="where it was published")
    access: str = Field(description="where to get it, and under which terms")
    published: Published
    blocks: dict[str, dict[str, Any]] = Field(description="blocks of stages, as under `datasets.NAME`")


def distributions() -> list[str]:
    """Return the names of the distributions."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


@lru_cache  # a data set asks for its own several times, and every start of Snakemake asks anew
def read_distribution(name: str) -> Distribution:
    """Return a distribution. Raises ValueError, which names those that there are."""
    known = distributions()
    if name not in known:
        raise ValueError(
            f"{name!r} is no distribution{did_you_mean(name.lower(), known)}: name any of {', '.join(known)}"
        )
    path = _FOLDER / f"{name}.yaml"
    with validating(str(path), Distribution):
        return Distribution.model_validate(read_yaml(path, "restore the file"))


def laid_over(name: str, distribution: Distribution, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a data set's keys with the blocks of its distribution below them.

    A key that is null takes the distribution's away. Findings may be given as text or with keys, here and there.
    """
    named = {"index_inputs": {"distribution": name}}  # by which the methods cite it
    return _laid_over(_laid_over(named, distribution.blocks), own)


def _laid_over(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in own.items():
        below = result.get(key)
        if value is None and key in result:
            del result[key]
        elif key == "findings" and isinstance(value, Mapping) and isinstance(below, Mapping):
            result[key] = _laid_over(_with_keys(below), _with_keys(value))
        elif isinstance(value, Mapping) and isinstance(below, Mapping):
            result[key] = _laid_over(below, value)
        else:
            result[key] = value
    return result


def _with_keys(findings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"target": each} if isinstance(each, str) else each for name, each in findings.items()}
