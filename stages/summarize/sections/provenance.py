"""When and how long the stages ran, and what each read from the others (inline SVG, in the colours of the page)."""

from collections.abc import Sequence
from itertools import groupby
from urllib.parse import quote, urlsplit

import matplotlib as mpl

from ...common.wording import counted
from ..drawing import COLOURS, STYLE, axes_of, data_uri, svg
from ..layered_drawing import HEIGHT, WIDTH, drawn
from ..numbers import duration
from ..provenance import Provenance, StageRun
from .report import Names, Report

MOST_RUNS = 40  # on the page, beside what failed


def provenance_names(report: Report) -> Names:
    """Return the names for the provenance."""
    runs = report.provenance.runs
    costs = stage_costs(runs)
    longest = max(costs, key=lambda each: each["milliseconds"])
    alt = f"When each stage ran; the longest work was {longest['stage']}, {duration(longest['milliseconds'])}."
    calls = list(dict.fromkeys(call for run in runs if (call := run.tags.get("invocation"))))
    links = links_of(runs)
    return {
        "runs": [run for place, run in enumerate(runs) if place < MOST_RUNS or run.status != "FINISHED"],
        "run_count": len(runs),
        "costs": costs,
        "timeline": data_uri(timeline_figure(runs)),
        "timeline_alt": alt,
        "total": sum(each["milliseconds"] for each in costs) or 1,
        "calls": calls,
        "server": next((link.partition("/#/")[0] for link in links.values() if link), None),
        "links": links,
    }


def links_of(runs: Sequence[StageRun]) -> dict[str, str | None]:
    """Return key of each run -> its page in MLflow: where it was shown while it ran, else a search in that experiment.

    None without a server: the address of a store on disk says nothing on another machine.
    """
    pages = {run.key: run.page for run in runs if run.key and run.page and _is_public(run.page)}
    experiment = next((page.rpartition("/runs/")[0] for page in reversed(pages.values())), None)
    return {run.key: pages.get(run.key) or (experiment and _search(experiment, run.key)) for run in runs if run.key}


def _is_public(address: str) -> bool:
    """Return whether an address may stand on a page: http or https, without a name or password."""
    parts = urlsplit(address)
    return parts.scheme in ("http", "https") and "@" not in parts.netloc and not parts.query


def _search(experiment: str, key: str) -> str:
    wanted = quote(f"tags.`mlip.key` = '{key}'", safe="")
    sorted_by = "orderByKey=tags.%60mlip.stage%60&orderByAsc=true"  # MLflow folds what is not sorted below its parent
    return f"{experiment}/runs?workflowType=machine_learning&{sorted_by}&searchFilter={wanted}"


def stage_costs(runs: Sequence[StageRun]) -> list[Names]:
    """Return the work of each stage, summed over its runs, in the order of the DAG."""
    costs = []
    for stage, group in groupby(runs, key=lambda run: run.stage):
        of_stage = list(group)
        costs.append({"stage": stage, "jobs": sum(run.executions for run in of_stage),
                      "milliseconds": sum(run.milliseconds or 0 for run in of_stage)})  # fmt: skip
    return costs


def timeline_figure(runs: Sequence[StageRun]) -> str:
    """Draw one line per stage and one bar per run, from the first start to the last end, in minutes."""
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


def dag_names(report: Report) -> Names:
    """Return the names for the DAG."""
    return {"dag": dag(report.provenance)}


def dag(provenance: Provenance) -> Names:
    """Return boxes in the order of the DAG, curves, and a description in words."""
    costs = {cost["stage"]: cost for cost in stage_costs(provenance.runs)}
    drawing = drawn(list(costs), provenance.links)
    unfinished = {run.stage for run in provenance.runs if run.status != "FINISHED"}
    boxes = [
        {
            "stage": stage, "left": drawing.boxes[stage][0], "top": drawing.boxes[stage][1],
            "work": f"{counted(cost['jobs'], 'job')}, {duration(cost['milliseconds'])}",
            "finished": stage not in unfinished,
        }
        for stage, cost in costs.items()
    ]  # fmt: skip
    readers = {stage: [end for start, end in drawing.curves if start == stage] for stage in costs}
    words = [f"{stage} is read by {', '.join(ends)}" for stage, ends in readers.items() if ends]
    return {
        "width": drawing.width, "height": drawing.height, "box_width": WIDTH, "box_height": HEIGHT,
        "boxes": boxes, "curves": list(drawing.curves.values()), "words": "; ".join(words) + "." if words else "",
    }  # fmt: skip
