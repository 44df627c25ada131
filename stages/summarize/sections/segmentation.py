"""Table 3, and radiographs with both outlines where they may be published."""

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from ..drawing import STYLE, data_uri, svg
from ..numbers import decimal
from ..protocols import always_note, protocol_name, protocol_note
from ..readers.few_shot_segmentation import OutlinedSample, Segmentation
from ..results_tree import FewShotJob
from .section import Names, Report

TRUTH, PREDICTED = "#56B4E9", "#E69F00"


def names(report: Report) -> Names | None:
    cells = report.inputs.segmentation
    if not cells:
        return None
    jobs = list(dict.fromkeys(cell.job for cell in cells))
    return {
        "segmentation": [_table(job, [cell for cell in cells if cell.job == job]) for job in jobs],
        "best": report.comparisons.is_best,
        "outlined": [_pictures(report, cell) for cell in cells if cell.samples],
    }


def _table(job: FewShotJob, cells: list[Segmentation]) -> Names:
    results = [cell.result for cell in cells]
    protocol, note = protocol_name(job.protocol, results), protocol_note(job.protocol, results)
    return {"job": job, "cells": cells, "protocol": protocol, "note": note, "always": always_note(results)}


def _pictures(report: Report, cell: Segmentation) -> Names:
    label = f"{report.labels[cell.variant]}, {cell.job.dataset}, {protocol_name(cell.job.protocol, [cell.result])}, "
    label += f"{cell.job.fraction} % of the labels"
    pictures = [
        {
            "caption": f"{sample.image_id}: Dice {decimal(sample.dice)}",
            "src": data_uri(outlines_figure(sample)),
            "alt": f"Radiograph {sample.image_id} with the true outline and the one of {cell.variant}.",
        }
        for sample in cell.samples
    ]
    return {"label": label, "pictures": pictures}


def outlines_figure(sample: OutlinedSample) -> str:
    """Truth in blue, prediction in orange, dashed."""
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(2.0, 2.0), layout="none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.imshow(sample.pixels, cmap="gray", vmin=0, vmax=255, interpolation="none")
        limits = axes.get_xlim(), axes.get_ylim()
        places = np.arange(-1, len(sample.pixels) + 1)
        for mask, colour, line in ((sample.truth, TRUTH, "solid"), (sample.predicted, PREDICTED, "dashed")):
            if mask.any():
                padded = np.pad(mask, 1).astype(float)  # so that an outline at the edge is closed
                axes.contour(places, places, padded, levels=[0.5], colors=[colour], linestyles=[line])
        axes.set(xlim=limits[0], ylim=limits[1])
        return svg(figure)
