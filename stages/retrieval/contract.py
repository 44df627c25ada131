"""Settings of retrieval."""

from pydantic import Field

from ..common.settings import Settings


class RetrievalSettings(Settings):
    recall_at: list[int] = Field([1, 5, 10], min_length=1, description="k of recall@k, each at least 1")
    batch_size: int = Field(128, gt=0, description="images or reports embedded at once; 8 times as many queries ranked")
    draws: int = Field(1000, gt=0, description="bootstrap draws of the 95 % intervals, by patient")
    seed: int = Field(0, description="of the bootstrap")
