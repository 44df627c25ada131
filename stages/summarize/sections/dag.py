"""The stages as they ran and what each read of the others, as inline SVG: it takes the colours of the page."""

from ..layered_drawing import HEIGHT, WIDTH, drawn
from ..numbers import duration
from ..provenance import Provenance
from .provenance import stage_costs
from .section import Names, Report


def names(report: Report) -> Names:
    return {"dag": dag(report.provenance)}


def dag(provenance: Provenance) -> Names:
    """Boxes in the order of the DAG, curves, and the same in words."""
    costs = {cost["stage"]: cost for cost in stage_costs(provenance.runs)}
    drawing = drawn(list(costs), provenance.links)
    unfinished = {run.stage for run in provenance.runs if run.status != "FINISHED"}
    boxes = [
        {
            "stage": stage, "left": drawing.boxes[stage][0], "top": drawing.boxes[stage][1],
            "work": f"{cost['jobs']} {'job' if cost['jobs'] == 1 else 'jobs'}, {duration(cost['milliseconds'])}",
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
