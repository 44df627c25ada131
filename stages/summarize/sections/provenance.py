"""Every run behind the page: when it ran, for how long, from what."""

from collections.abc import Sequence
from itertools import groupby

import matplotlib as mpl

from stages.summarize.drawing import COLOURS, STYLE, axes_of, data_uri, svg
from stages.summarize.numbers import duration
from stages.summarize.provenance import StageRun
from stages.summarize.sections.section import Names, Report


def names(report: Report) -> Names:
    runs = report.provenance.runs
    costs = stage_costs(runs)
    longest = max(costs, key=lambda each: each["milliseconds"])
    alt = f"When each stage ran; the longest work was {longest['stage']}, {duration(longest['milliseconds'])}."
    return {"runs": runs, "costs": costs, "timeline": data_uri(timeline_figure(runs)), "timeline_alt": alt,
            "total": sum(each["milliseconds"] for each in costs) or 1}  # fmt: skip


def stage_costs(runs: Sequence[StageRun]) -> list[Names]:
    """Work of each stage, summed over its runs, in the order of the DAG."""
    costs = []
    for stage, group in groupby(runs, key=lambda run: run.stage):
        of_stage = list(group)
        costs.append({"stage": stage, "jobs": sum(run.executions for run in of_stage),
                      "milliseconds": sum(run.milliseconds or 0 for run in of_stage)})  # fmt: skip
    return costs


def timeline_figure(runs: Sequence[StageRun]) -> str:
    """A line a stage, a bar a run, from the first start to the last end; minutes."""
    stages = list(dict.fromkeys(run.stage for run in runs))
    first = min(run.started for run in runs)
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(9.0, 0.6 + 0.26 * len(stages))
        for run in runs:
            start, end = ((moment - first) / 60_000 for moment in (run.started, run.ended or run.started))
            axes.barh(stages.index(run.stage), max(end - start, 0.01), left=start, height=0.6, color=COLOURS[0])
        axes.set_yticks(range(len(stages)), stages)
        axes.invert_yaxis()
        axes.set(xlabel="minutes since the first start", xlim=(0, None))
        axes.grid(visible=False, axis="y")
        return svg(figure)
