"""Table 1 with its ROC curves."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Int

from ..drawing import STYLE, Style, axes_of, data_uri, svg
from ..numbers import interval, words
from ..readers.record import METRICS
from ..readers.zero_shot_classification import ZeroShot
from .interval_bars import axis_of
from .section import Names, Report


def names(report: Report) -> Names:
    inputs = report.inputs
    return {
        "zero_shot": inputs.zero_shot,
        "best": report.comparisons.is_best,
        "metrics": METRICS,
        "auc_axis": axis_of([each.result.metrics["auc"] for each in inputs.zero_shot], reference=0.5),
        "fixed_prompts": [_fixed(inputs.zero_shot, dataset) for dataset in inputs.tree.evaluate_on],
        "roc_curves": [_roc(report, dataset) for dataset in inputs.tree.evaluate_on],
    }


def _fixed(cells: Sequence[ZeroShot], dataset: str) -> Names:
    """Every set of prompts of one data set with the test AUC of each variant; no set where no result has them."""
    rows = [each for each in cells if each.dataset == dataset]
    return {"dataset": dataset, "sets": list(rows[0].result.test_auc), "rows": rows}


def _roc(report: Report, dataset: str) -> Names:
    curves: list[ZeroShot] = [each for each in report.inputs.zero_shot if each.dataset == dataset]
    values = ", ".join(f"{each.variant} {interval(each.result.metrics['auc'])}" for each in curves)
    return {
        "dataset": dataset,
        "finding": curves[0].result.finding,
        "curves": curves,
        "src": data_uri(roc_figure(curves, report.styles)),
        "alt": f"ROC curves for {words(curves[0].result.finding)} in {dataset}; area under the curve: {values}.",
    }


def roc_figure(curves: Sequence[ZeroShot], styles: Mapping[str, Style]) -> str:
    """ROC curves of the variants on the test part of one data set."""
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(3.3, 3.3)
        axes.plot([0, 1], [0, 1], color="#b6bec4", linewidth=0.8)
        for each in curves:
            axes.plot(*roc_curve(each.scores, each.targets), linewidth=1.6, **styles[each.variant].line())
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="false positive rate", ylabel="true positive rate")
        axes.set_aspect("equal")
        axes.set_xticks(np.linspace(0, 1, 6))
        axes.set_yticks(np.linspace(0, 1, 6))
        return svg(figure)


def roc_curve(
    scores: Float[np.ndarray, "images"], targets: Int[np.ndarray, "images"]
) -> tuple[Float[np.ndarray, "points"], Float[np.ndarray, "points"]]:
    """False and true positive rates from (0, 0) to (1, 1); equal scores are one point, so ties are a diagonal."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    positive = np.append(0, np.cumsum(targets[order] == 1)[last])
    negative = np.append(0, np.cumsum(targets[order] == 0)[last])
    return negative / negative[-1], positive / positive[-1]
