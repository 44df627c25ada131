"""Label efficiency: what a classifier reaches with a share of the labels, a figure for each data set and protocol."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.ticker import NullLocator

from ..drawing import STYLE, Style, axes_of, data_uri, svg
from ..numbers import decimal
from ..readers.evaluation import FewShot
from .report import Names, Report

WIDTHS = 1.04  # factor between variants along the axis of shares, so that intervals do not hide each other


def efficiency_groups(report: Report) -> dict[tuple[str, str], list[FewShot]]:
    """Return the median replicates' cells by data set and protocol, where several shares were measured."""
    groups: dict[tuple[str, str], list[FewShot]] = {}
    for each in report.inputs.shown(report.inputs.few_shot):
        if "auc" in each.result.metrics:
            groups.setdefault((each.job.dataset, each.job.protocol), []).append(each)
    return {key: own for key, own in groups.items() if len({each.job.fraction for each in own}) > 1}


def efficiency_names(report: Report) -> list[Names]:
    """Return the figures with their words."""
    found = []
    for (dataset, protocol), cells in efficiency_groups(report).items():
        largest = max(each.job.fraction for each in cells)
        last = {each.variant: each.result.metrics["auc"].value for each in cells if each.job.fraction == largest}
        values = ", ".join(f"{variant} {decimal(value)}" for variant, value in last.items())
        found.append(
            {
                "dataset": dataset,
                "protocol": protocol,
                "variants": list(last),
                "src": data_uri(efficiency_figure(cells, report.styles)),
                "alt": f"AUC in {dataset} by {protocol} against the share of the labels; with {largest} %: {values}.",
            }
        )
    return found


def efficiency_figure(cells: Sequence[FewShot], styles: Mapping[str, Style], background: str = "none") -> str:
    """Draw the AUC of every variant with its 95 % interval against the share of the labels, on a logarithmic axis."""
    variants = list(dict.fromkeys(each.variant for each in cells))
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(4.6, 2.7)
        for number, variant in enumerate(variants):
            own = sorted((each for each in cells if each.variant == variant), key=lambda each: each.job.fraction)
            auc = [each.result.metrics["auc"] for each in own]
            places = [each.job.fraction * WIDTHS ** (number - (len(variants) - 1) / 2) for each in own]
            below = [each.value - each.low for each in auc]
            above = [each.high - each.value for each in auc]
            axes.errorbar(places, [each.value for each in auc], (below, above), label=variant, marker="o",
                          markersize=5, linewidth=1.5, elinewidth=1, **styles[variant].line())  # fmt: skip
        shares = sorted({each.job.fraction for each in cells})
        axes.set(xscale="log", xlabel="share of the labels", ylabel="AUC on the test part")
        axes.set_xticks(shares, [f"{share} %" for share in shares])
        axes.xaxis.set_minor_locator(NullLocator())
        if background != "none":
            figure.legend(loc="outside lower center", ncols=2, frameon=False)  # the page has its own key
        return svg(figure, background)
