"""What the page says of the pre-training data: the fingerprint and the quality of the sentences, with figures."""

from typing import Any

from stages.summarize.figures import bins_figure, data_uri, grey_values_figure, lengths_figure
from stages.summarize.numbers import count, decimal
from stages.summarize.records import Bins, Distribution, Fingerprint, Quality


def fingerprint_section(fingerprint: Fingerprint) -> dict[str, Any]:
    """Names that the section `fingerprint` of the template uses."""
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
    }


def quality_section(quality: Quality) -> dict[str, Any]:
    """Names that the section `quality` of the template uses."""
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


def _lengths(title: str, lengths: Distribution, unit: str, items: str) -> dict[str, Any]:
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
