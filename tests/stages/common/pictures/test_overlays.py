"""Heatmaps over radiographs, by planted maps: where the contour, the colours and the peak are."""

import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from stages.common.pictures.overlays import (
    OPACITY,
    TOP,
    Overlay,
    colour_layer,
    colours,
    css_scale,
    jpeg_uri,
    overlay_svg,
    overlays_png,
    radiograph_jpeg,
)

SIZE, CENTRE = 96, (30, 60)  # pixels; row, column
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def planted() -> Overlay:
    """Values that fall with the distance from a place, higher still in the padding at the left and the right."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    values = -np.hypot(rows - CENTRE[0], columns - CENTRE[1])
    content = np.ones((SIZE, SIZE), dtype=bool)
    content[:, :8] = content[:, -8:] = False
    values[~content] = 1.0
    region = np.hypot(rows - CENTRE[0], columns - CENTRE[1]) < 5
    return Overlay(np.full((SIZE, SIZE), 90, dtype=np.uint8), values, content, region)


def missed(overlay: Overlay) -> Overlay:
    return Overlay(overlay.pixels, overlay.values, overlay.content, np.roll(overlay.region, 40, axis=0))


def test_peak_range_and_top_share_are_those_of_the_content(planted) -> None:
    assert planted.peak == CENTRE
    assert planted.range[1] == 0  # not 1, the value of the padding
    assert planted.hit is True
    assert missed(planted).hit is False
    assert Overlay(planted.pixels, planted.values, planted.content).hit is None
    assert planted.top.sum() == pytest.approx(TOP * planted.content.sum(), rel=0.02)
    assert not planted.top[~planted.content].any()
    rows, columns = np.nonzero(planted.top)
    radius = np.hypot(rows - CENTRE[0], columns - CENTRE[1]).max()
    assert np.pi * radius**2 == pytest.approx(TOP * planted.content.sum(), rel=0.1)  # the disc round the place


def test_opacity_grows_with_the_value_and_the_lowest_leaves_the_radiograph_as_it_is(planted) -> None:
    layer = colour_layer(planted)
    alpha, values = layer[..., 3].astype(int), planted.values
    order = np.argsort(values[planted.content])
    assert (np.diff(alpha[planted.content][order]) >= 0).all()
    assert alpha[~planted.content].max() == 0
    assert alpha[planted.peak] == round(255 * OPACITY)
    assert np.median(alpha[planted.content]) < 255 * OPACITY / 2  # most of the image stays as it is


def test_lightness_grows_with_the_value_so_that_no_hue_has_to_be_told_apart() -> None:
    """WCAG's relative luminance of the colours alone, which also an eye without one cone type sees."""
    linear = ((colours(np.linspace(0, 1, 33))[:, :3] / 255 + 0.055) / 1.055) ** 2.4
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > 0).all()
    assert luminance[-1] > 5 * luminance[0]


def points_of(svg: str) -> list[np.ndarray]:
    """The corners of every path of a contour, in pixels of the radiograph."""
    root = ElementTree.fromstring(svg)
    scale = SIZE / float(root.attrib["viewBox"].split()[2])
    groups = [each for each in root.iter(f"{SVG}g") if each.attrib.get("id", "").startswith("QuadContourSet")]
    numbers = [[float(each) for each in re.findall(r"-?\d+(?:\.\d+)?", path.attrib["d"])]
               for group in groups for path in group.iter(f"{SVG}path")]  # fmt: skip
    return [np.array(each).reshape(-1, 2) * scale - 0.5 for each in numbers]


def test_the_drawn_contours_are_those_of_the_top_share_and_of_the_truth(planted) -> None:
    drawn = points_of(overlay_svg(planted))
    assert len(drawn) == 4  # the top share and the truth, each on a black edge
    reach = np.sqrt(TOP * planted.content.sum() / np.pi)
    for corners, radius in zip(drawn, (reach, reach, 4.5, 4.5), strict=True):
        distance = np.hypot(corners[:, 1] - CENTRE[0], corners[:, 0] - CENTRE[1])
        assert np.abs(distance - radius).max() < 1.5


def test_the_cross_stands_at_the_peak_and_says_without_colour_whether_it_hits(planted) -> None:
    def cross(svg: str) -> tuple[np.ndarray, str]:
        root = ElementTree.fromstring(svg)
        scale = SIZE / float(root.attrib["viewBox"].split()[2])
        place = next(root.iter(f"{SVG}use")).attrib
        line = next(each for each in root.iter(f"{SVG}g") if each.attrib.get("id", "").startswith("line2d"))
        return np.array([float(place["y"]), float(place["x"])]) * scale - 0.5, next(line.iter(f"{SVG}path")).attrib["d"]

    place, hit = cross(overlay_svg(planted))
    assert np.abs(place - CENTRE).max() < 0.01
    assert cross(overlay_svg(missed(planted)))[1] != hit


def test_pictures_have_equal_bytes_for_equal_values_and_the_overlay_stands_beside_the_plain_radiograph(planted) -> None:
    png = overlays_png({"one": planted, "two": missed(planted)}, "cosine")
    assert png == overlays_png({"one": planted, "two": missed(planted)}, "cosine")
    assert overlay_svg(planted) == overlay_svg(planted)
    assert jpeg_uri(planted.pixels).startswith("data:image/jpeg;base64,")
    large = np.arange(512 * 512, dtype=np.uint32).astype(np.uint8).reshape(512, 512)
    assert Image.open(io.BytesIO(radiograph_jpeg(large, 192))).size == (192, 192)
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    coloured = (picture.max(axis=2) - picture.min(axis=2)) > 60
    upper = coloured[: len(coloured) // 2]
    middle = upper.shape[1] // 2
    assert upper[:, middle:].sum() > 5 * upper[:, :middle].sum()  # on the left the outline of the truth alone


def test_the_bar_has_the_colours_of_the_overlay() -> None:
    stops = re.findall(r"rgb\((\d+) (\d+) (\d+) / ([\d.]+)\)", css_scale())
    first, last = colours(np.array([0.0, 1.0])).tolist()
    assert [int(each) for each in stops[0][:3]] == first[:3]
    assert [int(each) for each in stops[-1][:3]] == last[:3]
    assert (float(stops[0][3]), float(stops[-1][3])) == (0, pytest.approx(OPACITY, abs=0.01))


def test_a_flat_map_has_no_contour_and_no_colour(planted) -> None:
    flat = Overlay(planted.pixels, np.zeros((SIZE, SIZE)), planted.content, np.zeros((SIZE, SIZE), dtype=bool))
    assert not flat.top.any()
    assert colour_layer(flat)[..., 3].max() == 0
    assert points_of(overlay_svg(flat)) == []
