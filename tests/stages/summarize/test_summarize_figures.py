"""Figures: the ROC curve against the AUC of the other stages, equal bytes for equal numbers."""

import dataclasses
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes

from stages.common.metrics.ranking import auc, roc_curve
from stages.common.pictures.overlays import overlay_svg
from stages.common.replicates import Replicate
from stages.pair_images_reports.contract import Distribution, GreyValues
from stages.split_reports.contract import Bins
from stages.summarize.drawing import variant_styles
from stages.summarize.sections.data import bins_figure, grey_values_figure, lengths_figure
from stages.summarize.sections.evaluation import roc_figure
from stages.summarize.sections.localisation import integrity_figure, outline_figure, over_mean_figure
from stages.summarize.sections.training import LOSS_STYLES, LOSSES, diagnostic_figure, loss_figure, selection_figure

LENGTHS = Distribution(mean=1.6, median=1, percentile_95=3, largest=900, counts={1: 600, 2: 300, 3: 99, 900: 1})
GREY = GreyValues(images=2, pixels=512, mean=0.5, standard_deviation=0.29, histogram=[2] * 256)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=60).filter(
        lambda rows: len({target for _, target in rows}) == 2
    )
)
def test_the_area_under_the_roc_curve_is_the_auc_ties_included(rows):
    scores, targets = np.array([row[0] for row in rows], float), np.array([row[1] for row in rows], int)
    false, true = roc_curve(scores, targets)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert (np.diff(false) >= 0).all()
    assert (np.diff(true) >= 0).all()
    assert np.trapezoid(true, false) == pytest.approx(float(auc(scores, targets, np.ones((1, len(rows))))[0]))


def test_the_curves_on_the_page_have_the_area_that_table_1_says(read):
    for each in read.zero_shot:
        [(scores, targets)] = zip(each.scores.values(), each.targets.values(), strict=True)
        false, true = roc_curve(scores, targets)
        assert np.trapezoid(true, false) == pytest.approx(each.result.metrics["auc"].value, abs=1e-6)  # float32 scores


def test_every_figure_is_svg_and_has_the_same_bytes_twice(read):
    styles = variant_styles(read.training)
    sample, integrity = read.grounding[0].samples[0], read.integrity[0]
    makers = [
        lambda: roc_figure(read.zero_shot[:2], styles, "lung_opacity"),
        lambda: loss_figure(read.training[0]),
        lambda: selection_figure(read.training, styles),
        lambda: integrity_figure(integrity.phi),
        lambda: over_mean_figure(integrity.phi, integrity.mean),
        lambda: lengths_figure(LENGTHS, "words", "sentences"),
        lambda: bins_figure(Bins(edges=[1, 2, 4], counts=[0, 7, 1]), "words", "sentences"),
        lambda: grey_values_figure(GREY),
        lambda: outline_figure(sample),
        lambda: overlay_svg(sample.overlay),
    ]
    for make in makers:
        first = make()
        assert first == make()
        assert ElementTree.fromstring(first).tag.endswith("svg")


def test_flat_maps_and_empty_regions_are_drawn_too(read):
    sample = read.grounding[0].samples[0]
    nothing = np.zeros_like(sample.overlay.content)
    flat = dataclasses.replace(sample.overlay, values=np.zeros_like(sample.overlay.values), region=nothing)
    assert "<svg" in overlay_svg(flat)
    assert "<svg" in outline_figure(dataclasses.replace(sample, overlay=flat))
    assert "<svg" in integrity_figure(np.zeros((2, 2)))
    assert "<svg" in over_mean_figure(np.zeros((2, 2)), np.zeros((4, 4)))


def drawn(monkeypatch, make):
    """What a figure hands to matplotlib: heights, places and labels of its bars."""
    bars = []
    original = Axes.bar
    monkeypatch.setattr(Axes, "bar", lambda self, *given, **more: bars.append(given) or original(self, *given, **more))
    svg = make()
    return bars[0][0], bars[0][1], svg


def test_bars_of_lengths_hold_every_item_but_the_few_longest(monkeypatch):
    places, heights, _ = drawn(monkeypatch, lambda: lengths_figure(LENGTHS, "words", "sentences"))
    assert dict(zip(places, heights, strict=True)) == {0: 0, 1: 600, 2: 300, 3: 99}
    wide = Distribution(mean=50, median=50, percentile_95=95, largest=99, counts=dict.fromkeys(range(100), 3))
    places, heights, _ = drawn(monkeypatch, lambda: lengths_figure(wide, "words", "sentences"))
    assert len(heights) <= 41
    assert sum(heights) == 300
    assert places[0] == 1  # the middle of the whole numbers 0, 1, 2


def test_bins_are_named_by_the_numbers_in_them(monkeypatch):
    bins = Bins(edges=[1, 2, 4, 8, 16], counts=[5, 0, 7, 0, 0])
    _, heights, svg = drawn(monkeypatch, lambda: bins_figure(bins, "words", "sentences"))
    assert heights == [5, 0, 7]
    for name in (">1<", ">2\u20133<", ">4\u20137<"):
        assert name in svg
    assert "8\u2013" not in svg
    for counts in ([0, 0, 0, 0, 2], [0, 0, 0, 0, 0]):
        svg = bins_figure(Bins(edges=[1, 2, 4, 8, 16], counts=counts), "words", "sentences")
        assert (">16+<" in svg) == any(counts)


def test_variants_are_told_apart_and_untrained_ones_are_grey(read):
    trained, untrained = read.training
    names = [f"v{number}" for number in range(20)]
    many = [dataclasses.replace(trained, replicate=Replicate(name)) for name in names] + [untrained]
    styles = variant_styles(many)
    assert len(set(styles.values())) == 21
    assert styles["random"].colour == "#767676"


def plotted(monkeypatch, make):
    """The lines that a figure plots: steps, marker, and the axis at the end."""
    found, plot = [], Axes.plot

    def recorded(self, *values, **style):
        found.append((self, np.asarray(values[0]), style.get("marker")))
        return plot(self, *values, **style)

    with monkeypatch.context() as patched:
        patched.setattr(Axes, "plot", recorded)
        make()
    return found


@pytest.mark.parametrize(("points", "marker"), [(1, "o"), (2, "o"), (20, "o"), (21, None)])
def test_few_logged_points_are_marked_and_lie_inside_the_axis(read, monkeypatch, points, marker):
    training = read.training[0]
    short = dataclasses.replace(training, curve={name: each[:points] for name, each in training.curve.items()})
    styles = variant_styles(read.training)
    lines = plotted(monkeypatch, lambda: loss_figure(short))
    lines += plotted(monkeypatch, lambda: diagnostic_figure([short], "loss/total", "loss", styles))
    assert len(lines) == len(LOSSES) + 1
    for axes, steps, mark in lines:
        assert mark == marker
        low, high = axes.get_xlim()
        assert low <= steps.min() <= steps.max() <= high
        assert low < high
        if points == 1:
            assert [each.get_text() for each in axes.get_xticklabels()] == ["20"]


def test_each_loss_has_a_line_of_its_own_even_where_two_agree():
    dashes = [LOSS_STYLES[name].dashes for name in ("loss/contrastive", "loss/local", "loss/reconstruction")]
    assert len(set(dashes)) == 3
    assert len({style.colour for style in LOSS_STYLES.values()}) == len(LOSSES)
