"""What each task measures: Tables 1 to 4 and retrieval, with ROC curves and outlines."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from ...common.metrics.ranking import roc_curve
from ...common.pictures.drawing import PLAIN, PREDICTED, TRUTH, outline
from ...common.pictures.overlays import jpeg_uri
from ...common.records import MetricName
from ...zero_shot_classification.contract import Calibration
from ..drawing import STYLE, Style, axes_of, data_uri, svg
from ..naming import protocol_name, replicate_label, short_id
from ..numbers import decimal, interval, words
from ..readers.evaluation import OutlinedSample, Segmentation, ZeroShot
from ..tables.ablation import compared_with
from ..tables.classification import prompts_table
from .label_efficiency import efficiency_names
from .report import Names, Report


def coverage_names(report: Report) -> Names | None:
    """Return the names for what is measured, or None where nothing is left out."""
    tables = report.tables_of("coverage")
    return {"tables": tables} if tables else None


def zero_shot_names(report: Report) -> Names | None:
    """Return the names for Table 1, or None without such results."""
    tables = report.tables_of("zero_shot")
    if not tables:
        return None
    datasets = dict.fromkeys(each.dataset for each in report.inputs.zero_shot)
    shown = report.inputs.shown(report.inputs.zero_shot)
    by_dataset = {dataset: [each for each in shown if each.dataset == dataset] for dataset in datasets}
    only = [table for table in tables if any(column.key == "prompts" for column in table.columns)]
    return {
        "tables": tables,
        "prompts_chosen": any(len(own.validation_auc) > 1 for each in report.inputs.zero_shot
                              for own in each.result.findings.values()),
        "findings": report.tables_of("zero_shot_findings"),
        "prompts": [prompts_table(table) for table in only],
        "roc_curves": [_roc(report, curves, finding) for curves in by_dataset.values()
                       for finding in curves[0].result.findings],
        "calibration": report.tables_of("calibration"),
        "reliability": [_reliability(report, curves, finding) for curves in by_dataset.values()
                        for finding, own in curves[0].result.findings.items() if own.calibration is not None],
    }  # fmt: skip


def _reliability(report: Report, curves: Sequence[ZeroShot], finding: str) -> Names:
    dataset = curves[0].dataset
    found = {each.variant: own for each in curves
             if (own := each.result.findings[finding].calibration) is not None}  # fmt: skip
    errors = {variant: each.after.calibration_error for variant, each in found.items()}
    values = ", ".join(f"{variant} {decimal(error)}" for variant, error in errors.items())
    return {
        "dataset": dataset,
        "finding": finding,
        "figures": errors,
        "src": data_uri(reliability_figure(found, report.styles)),
        "alt": f"Share of positives against the mean probability of {words(finding)} in {dataset}, before (faint) and "
        f"after the calibration; expected calibration error after it: {values}.",
    }


def reliability_figure(found: Mapping[str, Calibration], styles: Mapping[str, Style]) -> str:
    """Draw the reliability curves of the variants after the calibration, and faintly those before it."""
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(3.3, 3.3)
        axes.plot([0, 1], [0, 1], color="#b6bec4", linewidth=0.8)
        for variant, each in found.items():
            for part, strength in ((each.before, 0.35), (each.after, 1.0)):
                known = [own for own in part.bins if own.images]
                points = np.array([(own.probability, own.positives) for own in known], dtype=float).T
                sizes = np.array([own.images for own in known])
                line = styles[variant].line()
                axes.plot(*points, linewidth=1.4, alpha=strength, **line)
                axes.scatter(points[0], points[1], s=3 + 60 * sizes / sizes.sum(), alpha=strength, color=line["color"])
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="mean probability", ylabel="share of positives")
        axes.set_aspect("equal")
        return svg(figure)


def multi_class_names(report: Report) -> Names | None:
    """Return the names for multi-class classification, or None without such results."""
    tables = report.tables_of("multi_class")
    return {"tables": tables, "classes": report.tables_of("multi_class_classes")} if tables else None


def _roc(report: Report, curves: Sequence[ZeroShot], finding: str) -> Names:
    names, said = curve_names(curves, finding, "auc")
    return names | {
        "src": data_uri(roc_figure(curves, report.styles, finding)),
        "alt": f"ROC curves for {words(finding)} in {names['dataset']}; area under the curve: {said}.",
    }


def curve_names(curves: Sequence[ZeroShot], finding: str, metric: MetricName) -> tuple[Names, str]:
    """Return the names of a figure with a curve for each variant, and in words the metric that sums each of them up."""
    figures = {each.variant: each.result.findings[finding].metrics[metric] for each in curves}
    said = ", ".join(f"{variant} {interval(figure)}" for variant, figure in figures.items())
    return {"dataset": curves[0].dataset, "finding": finding, "figures": figures}, said


def roc_figure(curves: Sequence[ZeroShot], styles: Mapping[str, Style], finding: str) -> str:
    """Draw ROC curves of the variants on the test part of one data set, for one finding."""
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(3.3, 3.3)
        axes.plot([0, 1], [0, 1], color="#b6bec4", linewidth=0.8)
        for each in curves:
            points = roc_curve(each.scores[finding], each.targets[finding])
            axes.plot(*points, linewidth=1.6, **styles[each.variant].line())
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="false positive rate", ylabel="true positive rate")
        axes.set_aspect("equal")
        axes.set_xticks(np.linspace(0, 1, 6))
        axes.set_yticks(np.linspace(0, 1, 6))
        return svg(figure)


def few_shot_names(report: Report) -> Names | None:
    """Return the names for Table 2, or None without such results."""
    tables = report.tables_of("few_shot")
    return {"tables": tables, "efficiency": efficiency_names(report)} if tables else None


def segmentation_names(report: Report) -> Names | None:
    """Return the names for Table 3, or None without such results."""
    tables, cells = report.tables_of("segmentation"), report.inputs.shown(report.inputs.segmentation)
    outlined = [_pictures(report, cell) for cell in cells if cell.samples]
    return {"tables": tables, "outlined": outlined} if tables else None


def _pictures(report: Report, cell: Segmentation) -> Names:
    label = f"{replicate_label(report.inputs, cell.replicate)}, {cell.job.dataset}, "
    label += f"{protocol_name(cell.job.protocol, [cell.result])}, {cell.job.fraction} % of the labels"
    pictures = [
        {
            "image_id": sample.image_id,
            "short_id": short_id(sample.image_id),
            "dice": decimal(sample.dice),
            "radiograph": jpeg_uri(sample.pixels),
            "src": data_uri(outlines_figure(sample)),
            "alt": f"Radiograph {sample.image_id} with the true outline and the one of {cell.variant}.",
        }
        for sample in cell.samples
    ]
    return {"label": label, "pictures": pictures}


def outlines_figure(sample: OutlinedSample) -> str:
    """Draw the true outline in blue and the predicted one in orange, dashed, to be laid over the radiograph."""
    rows, columns = sample.pixels.shape
    with mpl.rc_context(PLAIN):
        figure = Figure(figsize=(2.0, 2.0 * rows / columns))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
        axes.set_axis_off()
        outline(axes, sample.truth, TRUTH)
        outline(axes, sample.predicted, PREDICTED, "dashed")
        return svg(figure)


def ablation_names(report: Report) -> Names | None:
    """Return the names for Table 4, or None with a single variant."""
    tables = report.tables_of("ablation")
    return {"tables": tables, "first": report.labels[compared_with(report.inputs.tree)]} if tables else None


def retrieval_names(report: Report) -> Names | None:
    """Return the names for retrieval, or None where no variant has text."""
    if not report.inputs.retrieval:
        return None
    by_class = report.tables_of("retrieval_classes")
    return {
        "tables": report.tables_of("retrieval"),
        "by_class": by_class,
        "retrieval": report.inputs.retrieval[0].result,
    }
