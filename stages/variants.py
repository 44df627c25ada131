"""Variants of pre-training: named overrides of its block, or a published encoder, each with one seed or several."""

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic refuses typing's before Python 3.12

from .common.settings import UniqueList, plain_number
from .config_layers import KeyPath, holds, merged
from .pretrain.ready_made import ReadyMadeVariant

# `--config seeds=[0,1]` of snakemake gives the numbers as text
Seeds = Annotated[UniqueList[Annotated[int, Field(ge=0), BeforeValidator(plain_number)]], Field(min_length=1)]


@with_config(ConfigDict(extra="allow"))
class Variant(TypedDict, total=False):
    """Overrides of `pretrain`, or `encoder`, and the seeds with which the variant is trained."""

    seeds: Seeds | None


def seeds_of(variant: Variant, default: list[int] | None) -> list[int] | None:
    """Return the seeds that a variant is trained with; None: one training, with the seed of its settings."""
    return variant.get("seeds") if {"encoder", "seed", "seeds"} & variant.keys() else default


def overrides_of(variant: Variant, seed: int | None = None) -> dict[str, Any]:
    """Return a variant's overrides of `pretrain`, with one of its seeds.

    A ready-made encoder is expanded; other keys of the variant override it.
    """
    block = {key: value for key, value in variant.items() if key != "seeds"}
    if seed is not None:
        block["seed"] = seed
    if "encoder" not in block:
        return block
    ready = ReadyMadeVariant.model_validate({"encoder": block.pop("encoder")}).encoder.pretrain_block()
    return merged(ready, block)


def is_written_by_encoder(variant: Variant, location: KeyPath) -> bool:
    """Return whether a key of `pretrain` gets its value from a variant's `encoder`, not from the variant itself."""
    if "encoder" not in variant or location[:1] == ("encoder",):
        return False
    return holds(overrides_of(variant), location) and not holds(variant, location)
