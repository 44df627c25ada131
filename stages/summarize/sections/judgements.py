"""For readers of radiographs: operating points with their curves, subgroups, and classified radiographs."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import matplotlib as mpl
import numpy as np

from ...common.metrics.ranking import precision_recall_curve
from ...common.pictures.overlays import jpeg_uri
from ...common.records import OUTCOMES
from ...zero_shot_classification.contract import NetBenefit
from ..drawing import INK, STYLE, Style, axes_of, data_uri, svg
from ..naming import replicate_label, short_id
from ..numbers import decimal, percent, words
from ..readers.evaluation import Judged, ZeroShot
from ..tables.operating_points import described
from .evaluation import curve_names
from .report import Names, Report

_REFERENCE: dict[str, Any] = {"color": INK, "linewidth": 1.0, "linestyle": (0, (1, 1.5))}  # no variant is dotted so
THUMBNAIL = 192  # pixels, as a page has many


def operating_points_names(report: Report) -> Names | None:
    """Return the names for operating points and their curves, or None without zero-shot results."""
    tables = report.tables_of("operating_points")
    if not tables:
        return None
    by_dataset: dict[str, list[ZeroShot]] = {}
    for each in report.inputs.shown(report.inputs.zero_shot):
        by_dataset.setdefault(each.dataset, []).append(each)
    places = [(curves, finding) for curves in by_dataset.values() for finding in curves[0].result.findings]
    benefits = [_decision(report, *place) for place in places]
    calibrated = any(own.calibration for each in report.inputs.zero_shot for own in each.result.findings.values())
    return {
        "tables": tables,
        "precision_recall": [_precision_recall(report, *place) for place in places],
        "decision_curves": [each for each in benefits if each],
        "calibrated": calibrated,
    }


def _precision_recall(report: Report, curves: Sequence[ZeroShot], finding: str) -> Names:
    own = curves[0].result.findings[finding]
    prevalence = own.test_positives / own.test_images
    names, said = curve_names(curves, finding, "average_precision")
    return names | {
        "prevalence": prevalence,
        "src": data_uri(precision_recall_figure(curves, report.styles, finding, prevalence)),
        "alt": f"Precision against recall of {words(finding)} in {names['dataset']}, prevalence {percent(prevalence)}; "
        f"average precision: {said}.",
    }


def precision_recall_figure(
    curves: Sequence[ZeroShot], styles: Mapping[str, Style], finding: str, prevalence: float
) -> str:
    """Draw precision against recall of the variants, in steps, over the prevalence: that of calling all positive."""
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(3.3, 3.3)
        axes.axhline(prevalence, **_REFERENCE)
        for each in curves:
            recall, precision = precision_recall_curve(each.scores[finding], each.targets[finding])
            axes.plot(recall, precision, drawstyle="steps-pre", linewidth=1.6, **styles[each.variant].line())
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="recall (sensitivity)", ylabel="precision (PPV)")
        axes.set_aspect("equal")
        axes.set_xticks(np.linspace(0, 1, 6))
        axes.set_yticks(np.linspace(0, 1, 6))
        return svg(figure)


def _decision(report: Report, curves: Sequence[ZeroShot], finding: str) -> Names | None:
    found = {each.variant: own for each in curves
             if (own := each.result.findings[finding].net_benefit) is not None}  # fmt: skip
    if not found:
        return None
    first = next(iter(found))
    dataset, ranges = curves[0].dataset, useful_range(found[first])
    where = f"from {100 * ranges[0]:.0f} % to {100 * ranges[1]:.0f} %" if ranges else "at no threshold probability"
    said = f"above both {where} (pointwise 95 %)"
    return {
        "dataset": dataset,
        "finding": finding,
        "variants": list(found),
        "first": report.shown_labels[first],
        "said": said,
        "src": data_uri(decision_figure(found, report.styles)),
        "alt": f"Net benefit for {words(finding)} in {dataset} over the threshold probability, beside treat all and "
        f"treat none; {first} is {said}.",
    }


def useful_range(found: NetBenefit) -> tuple[float, float] | None:
    """Return the ends of the longest run of threshold probabilities at which the interval of the gain is above 0.

    Every interval has 95 % by itself; the whole run has less.
    """
    better = [gain.low > 0 for gain in found.gain]
    runs = [list(places) for is_better, places in groupby(range(len(better)), better.__getitem__) if is_better]
    longest = max(runs, key=len, default=[])
    return (found.thresholds[longest[0]], found.thresholds[longest[-1]]) if longest else None


def decision_figure(found: Mapping[str, NetBenefit], styles: Mapping[str, Style]) -> str:
    """Draw the net benefit of the variants, with the interval of the first one, and of treat all and treat none."""
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(3.6, 3.0)
        first = next(iter(found.values()))
        treat_all = [each.value for each in first.treat_all]
        axes.plot(first.thresholds, treat_all, **_REFERENCE)
        axes.axhline(0, color=INK, linewidth=0.8)
        low, high = ([getattr(each, end) for each in first.model] for end in ("low", "high"))
        colour = styles[next(iter(found))].colour
        axes.fill_between(first.thresholds, low, high, color=colour, alpha=0.15, linewidth=0)
        for variant, each in found.items():
            axes.plot(each.thresholds, [own.value for own in each.model], linewidth=1.6, **styles[variant].line())
        top = max(0.02, *treat_all, *high)
        axes.set(xlim=(0, 1), ylim=(-0.35 * top, 1.08 * top), xlabel="threshold probability", ylabel="net benefit")
        return svg(figure)


def subgroups_names(report: Report) -> Names | None:
    """Return the names for the subgroups, or None without zero-shot results."""
    if not report.inputs.zero_shot:
        return None
    tables = report.tables_of("subgroups")
    drawn = {table.name.removeprefix("subgroups_") for table in tables}
    return {
        "tables": tables,
        "without": [each.dataset for each in described(report.inputs) if each.dataset not in drawn],
    }


def judged_images_names(report: Report) -> Names | None:
    """Return the names for classified radiographs, or None without zero-shot results."""
    groups = [_group(report, each, finding) for each in described(report.inputs) for finding in each.result.findings]
    return {"groups": groups} if groups else None


def _group(report: Report, each: ZeroShot, finding: str) -> Names:
    run = report.provenance.run("zero_shot_classification", f"{each.replicate.name}/{each.dataset}")
    point = each.result.findings[finding].operating_points["youden"]
    own = [sample for sample in each.samples if sample.finding == finding]
    return {
        "dataset": each.dataset,
        "finding": finding,
        "label": replicate_label(report.inputs, each.replicate),
        "threshold": point.threshold,
        "absent": None if own else run.without_samples(),
        "outcomes": [
            {"name": name, "count": getattr(point, f"{outcome}s"),
             "pictures": [_picture(sample, name) for sample in own if sample.outcome == outcome]}
            for outcome in OUTCOMES for name in [words(outcome)]
        ],
    }  # fmt: skip


def _picture(sample: Judged, name: str) -> Names:
    return {
        "image_id": sample.image_id,
        "short_id": short_id(sample.image_id),
        "score": decimal(sample.score),
        "src": jpeg_uri(sample.pixels, THUMBNAIL),
        "alt": f"Radiograph {sample.image_id}, a {name} of {words(sample.finding)}.",
    }
