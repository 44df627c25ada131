"""Shape of config.yaml: the blocks that stages have at the top level and below a data set, from the contracts."""

from collections.abc import Iterable
from typing import Any

from pydantic import Field, create_model, field_validator

from .common.settings import Settings
from .common.templates import slots_in
from .contracts import BLOCKS, JOBS

Block = dict[str, Any]


def _with_blocks(name: str, stages: Iterable[str]) -> type[Settings]:
    """Create a model that has a block, empty by default, for each stage."""
    blocks: dict[str, Any] = {stage: (Block, Field(default_factory=dict)) for stage in stages}
    return create_model(name, __base__=Settings, **blocks)


_PER_DATASET = dict.fromkeys(job.stage for job in JOBS if "{dataset}" in job.place)
StageBlocks = _with_blocks("StageBlocks", BLOCKS)
_DatasetBlocks = _with_blocks("_DatasetBlocks", _PER_DATASET)


class Dataset(_DatasetBlocks):  # type: ignore[valid-type, misc]  # its fields follow from the contracts
    """A data set: its folder, and overrides of stages' settings for it."""

    root: str = Field(
        min_length=1,
        description="folder of the data set, absolute or relative to the folder where snakemake is called; {workspace} "
        "and {sample_root} are filled in. Tables are relative to it, `prompts` to the checkout",
    )
    index_inputs: Block

    @field_validator("root")
    @classmethod
    def _knows_its_slots(cls, root: str) -> str:
        slots_in(root, ("workspace", "sample_root"))
        return root
