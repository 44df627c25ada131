"""Settings, inputs and outputs of the summary."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from ..common.contract import Job, option, product, source
from ..common.settings import Settings

HEADLINE = "headline.txt"  # among the tables: the last words of a run


class SummarizeSettings(Settings):
    """Settings of the summary."""

    title: str = Field("MLIP", min_length=1, description="heading of the report")
    comparison_draws: int = Field(
        5000,
        gt=0,
        description="bootstrap draws of the paired comparisons; p is at least 2 / (draws + 1), before Holm: with "
        "5,000, fifteen rows of a table (9 variants and the baselines) can still be distinguished",
    )
    seed: int = Field(0, description="of those draws")
    study_axis: str | None = Field(
        None,
        description="key of `pretrain` with a number in which the variants differ, e.g. local.epsilon: the page draws "
        "the figures over it; null: no such section",
    )
    note: str = Field("", description="a sentence under the heading, e.g. what the run is for; empty: none")


@dataclass(frozen=True, kw_only=True)
class SummarizeJob(Job):
    """Put everything that was measured on one self-contained HTML page, in Tables 1-4, and in a short text.

    The results of the other stages, with their journals, are read below --results. The page loads nothing from
    elsewhere. Tables 1-4 are CSV, Markdown, LaTeX and HTML; further CSV files hold every figure.
    """

    stage = "summarize"

    settings: SummarizeSettings
    results: Path = source(tracked=False, help="results folder of the workspace")
    pretrain_on: str = option("data set of the pre-training")
    datasets: tuple[str, ...] = option("data sets of the evaluation", default=())
    variants: tuple[str, ...] = option(
        "VARIANT or VARIANT=SEED,SEED: variants to compare; the first trained one with text is described"
    )
    image_only: tuple[str, ...] = option("variants without text: no zero-shot, grounding, retrieval", default=())
    few_shot: tuple[str, ...] = option("DATASET/PROTOCOL/FRACTION: jobs of few_shot_classification", default=())
    segmentation: tuple[str, ...] = option("DATASET/PROTOCOL/FRACTION: jobs of few_shot_segmentation", default=())
    not_measured: tuple[str, ...] = option("DATASET/STAGE=REASON: evaluations that were left out, and why", default=())
    template: Path = source(tracked=False, help="Jinja template of the page")
    quoted: Path = source(help="YAML of figures that others published")
    report: Path = product("report.html", publish=True)
    tables: Path = product("tables", stands="*", publish=True)
