"""The data of the run: fingerprint of the pre-training, quality of the sentences, ledger, data cards."""

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import MaxNLocator

from ...common.wording import counted
from ...pair_images_reports.contract import Distribution, GreyValues, TrainingReports
from ...split_reports.contract import Bins
from ..drawing import COLOURS, INK, STYLE, axes_of, data_uri, svg
from ..numbers import count, decimal, percent
from .report import Names, Report

_MOST_BARS = 40


def fingerprint_names(report: Report) -> Names:
    """Return the names for the fingerprint."""
    fingerprint = report.inputs.pairs.fingerprint
    grey, reports = fingerprint.intensity, fingerprint.reports
    views = dict.fromkeys(view for counts in fingerprint.views.values() for view in counts)
    share_black, share_white = (grey.histogram[level] / grey.pixels for level in (0, -1))
    alt = f"Histogram of grey values; mean {decimal(grey.mean)}, standard deviation {decimal(grey.standard_deviation)}."
    return {
        "views": {view: [counts.get(view, 0) for counts in fingerprint.views.values()] for view in views},
        "parts": list(fingerprint.views),
        "grey": grey,
        "grey_src": data_uri(grey_values_figure(grey)),
        "grey_alt": alt,
        "share_black": share_black,
        "share_white": share_white,
        "reports": reports,
        "lengths": [
            _lengths("Sentences a report", reports.sentences_a_report, "sentences", "reports"),
            _lengths("Words a sentence", reports.words_a_sentence, "words", "sentences"),
            _lengths("Word pieces a report", reports.pieces_a_report, "word pieces", "reports"),
        ],
        "texts_are_published": any(each.text is not None for each in reports.most_frequent),
        "frequent": _frequent(reports),
    }


def _frequent(reports: TrainingReports) -> str:
    """Return in how many reports the most frequent sentences stand, for where their text is not published."""
    numbers = [each.reports for each in reports.most_frequent]
    if not numbers:
        return ""
    first = f"The most frequent sentence stands in {counted(numbers[0], 'report')} ({_share(numbers[0], reports)})"
    if len(numbers) == 1:
        return f"{first}."
    return f"{first}, the {len(numbers)}th in {counted(numbers[-1], 'report')} ({_share(numbers[-1], reports)})."


def _share(number: int, reports: TrainingReports) -> str:
    return percent(number / reports.reports)


def _lengths(title: str, lengths: Distribution, unit: str, items: str) -> Names:
    words = (
        f"mean {decimal(lengths.mean, 1)}, median {count(lengths.median)}, 95\u00a0% have at most "
        f"{count(lengths.percentile_95)}, the longest has {count(lengths.largest)}"
    )
    return {
        "title": title,
        "words": words,
        "src": data_uri(lengths_figure(lengths, unit, items)),
        "alt": f"Histogram of {unit} over {items}: {words}.",
    }


def lengths_figure(lengths: Distribution, label: str, items: str) -> str:
    """Draw how many `items` have each length, up to the 99.5th percentile; a few outliers would hide the others."""
    values, counts = (np.array(each) for each in zip(*sorted(lengths.counts.items()), strict=True))
    shown = values <= values[np.searchsorted(counts.cumsum(), 0.995 * counts.sum())]
    width = max(1, -(-int(values[shown][-1]) // _MOST_BARS))  # bars of whole numbers, so that none is empty by rounding
    edges = np.arange(0, values[shown][-1] + width + 1, width)
    heights, _ = np.histogram(values[shown], edges, weights=counts[shown])
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(3.1, 2.2)
        axes.bar(edges[:-1] + (width - 1) / 2, heights, width=0.9 * width, color=COLOURS[0])
        axes.set(xlabel=label, ylabel=items)
        axes.grid(visible=False, axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        return svg(figure)


def grey_values_figure(grey: GreyValues) -> str:
    """Draw the share of the pixels per grey level, with the mean and one standard deviation to both sides.

    The axis is scaled to the levels in between: black and white, where windows clip, may have far larger shares.
    """
    shares = np.array(grey.histogram) / grey.pixels
    mean, deviation = grey.mean, grey.standard_deviation
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(3.1, 2.2)
        axes.axvspan(max(0, mean - deviation), min(1, mean + deviation), color=COLOURS[5], alpha=0.18, linewidth=0)
        axes.stairs(shares, np.arange(-0.5, len(shares)) / (len(shares) - 1), fill=True, color=COLOURS[0])
        axes.axvline(mean, color=INK, linewidth=1)
        top = float(shares[1:-1].max()) or float(shares.max())
        axes.set(xlabel="grey value", ylabel="share of pixels", xlim=(-0.01, 1.01), ylim=(0, 1.1 * top))
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        return svg(figure)


def quality_names(report: Report) -> Names:
    """Return the names for the quality of sentences."""
    quality = report.inputs.reports.quality
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
    alt = f"Histogram of {unit} over {counted(sum(bins.counts), 'sentence')}; the fullest bin begins at {fullest}."
    return {"title": title, "src": data_uri(bins_figure(bins, unit, "sentences")), "alt": alt}


def bins_figure(bins: Bins, label: str, items: str) -> str:
    """Draw how many `items` are in each bin, with bins of equal width, up to the last non-empty one."""
    named = bins.named
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(4.6, 2.4)
        axes.bar(range(len(named)), list(named.values()), width=0.86, color=COLOURS[0])
        axes.set(xlabel=label, ylabel=items)
        axes.set_xticks(range(len(named)), list(named), rotation=45, ha="right", rotation_mode="anchor")
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        return svg(figure)


def ledger_names(report: Report) -> Names:
    """Return the names for the ledger."""
    inputs, provenance = report.inputs, report.provenance
    return {
        "ledger": report.ledger,
        "doubtful": [
            each for each in inputs.manifests if each.without_view + each.nearly_black + each.voi_lut_unusable
        ],
        "reports": inputs.reports,
        "pairs": inputs.pairs,
        "copies": inputs.copies,
        "license": provenance.run("index_inputs", inputs.tree.pretrain_on).tags.get("licenses"),
    }


def cards_names(report: Report) -> Names:
    """Return the names for the data cards."""
    inputs = report.inputs
    return {"cards": list(zip(inputs.tree.evaluate_on, inputs.cards, strict=True))}
