"""The sentences that reports were cut into."""

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import MaxNLocator

from ...split_reports.contract import Bins
from ..drawing import COLOURS, STYLE, axes_of, data_uri, svg
from ..numbers import count
from .section import Names, Report


def names(report: Report) -> Names | None:
    quality = report.inputs.reports.quality
    if quality is None:
        return None
    kinds = dict.fromkeys(each.kind for each in quality.worst)
    return {
        "record": quality,
        "lengths": [
            _bins("Words a sentence", quality.words_a_sentence, "words"),
            _bins("Word pieces a sentence", quality.pieces_a_sentence, "word pieces"),
        ],
        "worst": {kind: [each for each in quality.worst if each.kind == kind] for kind in kinds},
        "texts_are_published": any(each.text is not None for each in quality.worst),
    }


def _bins(title: str, bins: Bins, unit: str) -> dict[str, str]:
    fullest = bins.edges[bins.counts.index(max(bins.counts))]
    alt = f"Histogram of {unit} over {count(sum(bins.counts))} sentences; the fullest bin begins at {fullest}."
    return {"title": title, "src": data_uri(bins_figure(bins, unit, "sentences")), "alt": alt}


def bins_figure(bins: Bins, label: str, items: str) -> str:
    """How many `items` are in each bin, every bin as wide as the next, up to the last one that is not empty."""
    last = int(np.flatnonzero([*bins.counts, 1])[:-1].max(initial=0))
    ends = [edge - 1 for edge in bins.edges[1:]] + [None]
    names = [
        f"{edge}+" if end is None else str(edge) if end == edge else f"{edge}\u2013{end}"
        for edge, end in zip(bins.edges, ends, strict=True)
    ]
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(4.6, 2.4)
        axes.bar(range(last + 1), bins.counts[: last + 1], width=0.86, color=COLOURS[0])
        axes.set(xlabel=label, ylabel=items)
        axes.set_xticks(range(last + 1), names[: last + 1], rotation=45, ha="right", rotation_mode="anchor")
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        return svg(figure)
