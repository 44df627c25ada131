"""Settings of the summary."""

from pydantic import Field

from stages.common.settings import Settings


class SummarizeSettings(Settings):
    title: str = Field("MLIP", min_length=1, description="heading of the report")
    note: str = Field("", description="a sentence under the heading, e.g. what the run is for; empty: none")
