"""Learning curves and the choice of the checkpoint."""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ...select_checkpoint.contract import Selection
from ..drawing import COLOURS, INK, STYLE, Style, axes_of, data_uri, svg
from ..inputs import Inputs
from ..naming import replicate_label
from ..readers.training import Training
from .report import Names, Report

LOSSES = ("loss/total", "loss/contrastive", "loss/local", "loss/reconstruction")
DIAGNOSTICS = {  # column of the learning curve -> its title
    "gradient_norm": "gradient norm",
    "temperature/global": "temperature",
    "batch/accuracy": "batch accuracy",
    "integrity/mean": "mean semantic integrity",
    "transport/gain_over_mean_cosine": "transport over mean cosine",
    "transport/plan_entropy": "entropy of the plan",
}
# Terms are drawn in this order, so that the finer dashes of a later one show where it lies on an earlier one.
LOSS_STYLES = dict(
    zip(LOSSES, (Style(INK), Style(COLOURS[0]), Style(COLOURS[1], "6 3"), Style(COLOURS[2], "2 2")), strict=True)
)
NAMED = 2  # variants whose chosen candidate is named in the figure
FEW_POINTS = 20  # so many are marked each: a single one would else be a line without length


def training_names(report: Report) -> Names:
    """Return the names for the training section."""
    shown = report.inputs.shown(report.inputs.training)
    return {
        "training": shown,
        "trainings": report.inputs.training,
        "replicate_labels": {each.replicate: replicate_label(report.inputs, each.replicate)
                             for each in report.inputs.training},
        "losses": _losses(report.inputs, shown),
        "loss_styles": LOSS_STYLES,
        "diagnostics": _diagnostics(report),
        "selection": data_uri(selection_figure(shown, report.styles)),
    }  # fmt: skip


def _losses(inputs: Inputs, shown: Sequence[Training]) -> list[Names]:
    losses = []
    for each in shown:
        if each.trained:
            label = replicate_label(inputs, each.replicate)
            last = {name: each.curve[name][-1] for name in shown_losses(each)}
            values = ", ".join(f"{name.removeprefix('loss/')} {value:.2f}" for name, value in last.items())
            losses.append(
                {
                    "variant": label,
                    "studies": each.studies,
                    "last": last,
                    "src": data_uri(loss_figure(each)),
                    "alt": f"Loss terms of {label} over the steps; at the last one: {values}.",
                }
            )
    return losses


def _diagnostics(report: Report) -> list[Names]:
    """Return one figure per quantity that some variant logged, with all variants in it."""
    trained = [each for each in report.inputs.shown(report.inputs.training) if each.trained]
    shown = []
    for column, title in DIAGNOSTICS.items():
        having = [each for each in trained if column in each.curve]
        if having:
            last = ", ".join(f"{each.variant} {each.curve[column][-1]:.3g}" for each in having)
            src = data_uri(diagnostic_figure(having, column, title, report.styles))
            alt = f"{title} over the steps; at the last one: {last}."
            variants = [each.variant for each in having]
            shown.append({"title": title, "variants": variants, "src": src, "alt": alt})
    return shown


def diagnostic_figure(training: Sequence[Training], column: str, title: str, styles: Mapping[str, Style]) -> str:
    """Draw one logged quantity of several variants over the steps."""
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(3.2, 2.1)
        for each in training:
            _curve(axes, each, column, styles[each.variant], 1.3)
        axes.set(xlabel="step", ylabel=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        _widen(axes, (float(step) for each in training for step in each.curve["step"]))
        return svg(figure)


def loss_figure(training: Training) -> str:
    """Draw the loss terms of one variant over the steps."""
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(4.6, 2.7)
        for name in shown_losses(training):
            _curve(axes, training, name, LOSS_STYLES[name], 1.6)
        axes.set(xlabel="step", ylabel="loss", xlim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        _widen(axes, map(float, training.curve["step"]))
        return svg(figure)


def _curve(axes: Axes, training: Training, column: str, style: Style, width: float) -> None:
    """Draw a column of a learning curve, with a marker at each of few logged steps."""
    steps = training.curve["step"]
    marker = "o" if len(steps) <= FEW_POINTS else None
    axes.plot(steps, training.curve[column], linewidth=width, marker=marker, markersize=4.5, **style.line())


def _widen(axes: Axes, steps: Iterable[float]) -> None:
    """Give an axis of a single step room on both sides, with a tick at that step alone."""
    different = set(map(float, steps))
    if len(different) == 1:
        step = different.pop()
        axes.set(xlim=(min(0.0, step - 1), max(2 * step, step + 1)))
        axes.set_xticks([step], labels=[f"{step:,.0f}"])


def shown_losses(training: Training) -> list[str]:
    """Return the loss terms that this variant has."""
    return [name for name in LOSSES if name in training.curve]


def _criterion(selection: Selection) -> str:
    """Return what the score of a candidate is, and in which direction it is better."""
    name, _, rest = selection.criterion.partition(" of ")
    return f"{name}, {'lower' if 'lower is better' in rest else 'higher'} is better"


def selection_figure(training: Sequence[Training], styles: Mapping[str, Style]) -> str:
    """Draw the validation score of every candidate, the chosen one filled; an untrained variant is a level line.

    The chosen steps are named in the figure where few variants leave room, and always in the key below it.
    """
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(4.6, 2.7)
        for each in training:
            steps = sorted(each.selection.candidates)
            scores = [each.selection.candidates[step] for step in steps]
            line, chosen = styles[each.variant].line(), each.selection.chosen_step
            if not each.trained:
                axes.axhline(scores[0], linewidth=1.2, **line)
                continue
            axes.plot(steps, scores, linewidth=1.4, marker="o", markersize=5, markerfacecolor="white", **line)
            point = chosen, each.selection.candidates[chosen]
            axes.plot(*point, "o", markersize=9, color=line["color"])
            if sum(other.trained for other in training) <= NAMED:
                lower = "lower is better" in each.selection.criterion  # the line comes from above
                axes.annotate(f"kept: step {chosen:,}", point, xytext=(0, -10 if lower else 10), annotation_clip=False,
                              textcoords="offset points", va="top" if lower else "bottom",
                              ha="right" if chosen == steps[-1] else "center")  # fmt: skip
        axes.margins(y=0.2)
        axes.set(xlabel="step of the candidate", xlim=(0, None), ylabel=_criterion(training[0].selection))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        _widen(axes, (float(step) for each in training if each.trained for step in each.selection.candidates))
        return svg(figure)
