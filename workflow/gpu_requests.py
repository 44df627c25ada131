"""GPUs that a profile asks for: by `gpu`, which counts those of all nodes, or by a site's `gres`, which is per node."""

import re
from collections.abc import Mapping
from typing import Any

from stages.common.errors import InputError

# A model of digits alone needs a number behind it: `gpu:2` are two GPUs of any model.
_GRES = re.compile(r"gpu(?::(?!\d+$)(?P<model>[^:]+))?(?::(?P<number>\d+))?")


def gpus_of_gres(gres: Any) -> int | None:
    """Return the GPUs of a node that `gpu`, `gpu:2` or `gpu:a100:2` asks for; None where it asks for none."""
    found = _GRES.fullmatch(text_of(gres))
    return int(found["number"] or 1) if found else None


def asked_model(resources: Mapping[str, Any]) -> str | None:
    """Return the GPU model that a job asks for, by `gpu_model` or in its `gres`."""
    found = _GRES.fullmatch(text_of(asked(resources, "gres")))
    return text_of(asked(resources, "gpu_model")) or (found and found["model"]) or None


def asked_gpus(rule: str, resources: Mapping[str, Any], default: int) -> int:
    """Return the GPUs of all nodes that a rule's job gets by `set-resources`; `default` is what the rule asks for.

    Raises:
        InputError: a number is not whole, or `gpu` and `gres` would both ask for GPUs.
    """
    gpus = whole_number(rule, "gpu", asked(resources, "gpu", default))
    by_gres = gpus_of_gres(asked(resources, "gres"))
    if by_gres is None:
        return gpus
    if gpus:
        raise InputError(
            f"set-resources: {rule}: gres={text_of(resources['gres'])} and gpu={gpus} both ask for GPUs",
            remedy="set gpu: 0 beside gres",
        )
    return by_gres * whole_number(rule, "nodes", asked(resources, "nodes", 1))


def whole_number(rule: str, name: str, value: Any) -> int:
    """Return a resource as a number. Raises InputError for one that is not whole, or for no nodes."""
    text = text_of(value)
    if not text.isdecimal() or (name == "nodes" and not int(text)):
        raise InputError(f"set-resources: {rule}: {name}={text} is no whole number", remedy="correct the profile")
    return int(text)


def asked(resources: Mapping[str, Any], name: str, default: Any = "") -> Any:
    """Return a resource or the default, also of Snakemake's own mapping, whose `get` is another."""
    return resources[name] if name in resources else default  # noqa: SIM401


def text_of(value: Any) -> str:
    """Return a resource as it is written: Snakemake keeps the text in `.raw`."""
    return str(getattr(value, "raw", value))
