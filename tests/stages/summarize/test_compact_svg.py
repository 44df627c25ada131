"""Figures in fewer bytes: the picture stays, and so does every word."""

import base64
import io
import re
from urllib.parse import unquote

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from stages.summarize.compact_svg import compact
from stages.summarize.drawing import STYLE, data_uri, svg


def drawn(pixels, **options):
    with mpl.rc_context(STYLE | {"figure.constrained_layout.use": False}):
        figure = Figure(figsize=(2, 2))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.imshow(pixels, interpolation="none", **options)
        axes.set_axis_off()
        return svg(figure)


def pictures(text):
    """Each picture of an SVG, as the format that it names and its pixels."""
    found = re.findall(r"data:image/(\w+);base64,([A-Za-z0-9+/=\s]+)", text)
    return [(kind, np.asarray(Image.open(io.BytesIO(base64.b64decode(each))).convert("RGBA"))) for kind, each in found]


@pytest.fixture
def radiograph():
    """Smooth, with noise, as a detector has it."""
    rows, columns = np.mgrid[0:96, 0:96] / 96
    noise = np.random.default_rng(0).normal(0, 4, (96, 96))
    return np.clip(60 + 120 * np.hypot(rows - 0.5, columns - 0.5) + noise, 0, 255).astype(np.uint8)


def test_a_radiograph_takes_a_third_and_looks_the_same(radiograph):
    before = drawn(radiograph, cmap="gray", vmin=0, vmax=255)
    after = compact(before)
    assert len(after) < len(before) / 3
    ((_, old),), ((kind, new),) = pictures(before), pictures(after)
    assert kind == "jpeg"
    assert np.abs(old.astype(int) - new.astype(int)).mean() < 3  # grey levels of 255


def test_colours_and_transparency_are_kept_exactly(radiograph):
    overlay = np.stack([radiograph, radiograph // 2, 255 - radiograph, radiograph], axis=-1)
    before = drawn(overlay)
    ((_, old),), ((kind, new),) = pictures(before), pictures(compact(before))
    assert kind == "png"
    np.testing.assert_array_equal(old, new)


def test_words_are_kept_and_paths_lose_what_nobody_sees():
    text = '<svg><path d="M 1.23456 7.5L 2 3.99999"/><text x="1.23456">0.12345 "it\'s"\n is</text></svg>'
    assert compact(text) == text.replace("1.23456 7.5", "1.23 7.5").replace("3.99999", "3.99").replace("\n ", " ")


def test_an_address_holds_the_whole_drawing(radiograph):
    address = data_uri(drawn(radiograph, cmap="gray"))
    head, _, quoted = address.partition(",")
    assert head == "data:image/svg+xml"
    assert not set('<>"#\n') & set(quoted)
    assert unquote(quoted) == compact(drawn(radiograph, cmap="gray"))
