"""Settings of the summary."""

from pydantic import Field

from ..common.settings import Settings


class SummarizeSettings(Settings):
    title: str = Field("MLIP", min_length=1, description="heading of the report")
    comparison_draws: int = Field(
        5000,
        gt=0,
        description="bootstrap draws of the paired comparisons; p is at least 2 / (draws + 1), before Holm: with 5,000 "
        "fifteen rows of a table (9 variants and what they must beat) can still be told apart",
    )
    seed: int = Field(0, description="of those draws")
    note: str = Field("", description="a sentence under the heading, e.g. what the run is for; empty: none")
