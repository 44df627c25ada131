"""The drawing of a graph: every way stays, nothing overlaps, curves go down from box to box."""

import re
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.summarize.layered_drawing import HEIGHT, WIDTH, drawn, without_implied

NODES = "abcdefgh"
graphs = st.sets(st.sampled_from(list(combinations(NODES, 2))))


def reached(edges):
    """Every pair of nodes with a way between them, by Warshall."""
    found = set(edges)
    for middle in NODES:
        found |= {(a, d) for a, b in found if b == middle for c, d in found if c == middle}
    return found


def test_an_edge_that_others_imply_is_left_out():
    assert without_implied("abcd", [("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")]) == [
        ("a", "b"), ("a", "d"), ("b", "c")
    ]  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(graphs)
def test_the_ways_are_the_same_and_no_edge_is_one_too_many(edges):
    kept = without_implied(NODES, edges)
    assert reached(kept) == reached(edges)
    assert all(reached(set(kept) - {edge}) != reached(edges) for edge in kept)


@settings(deadline=None, max_examples=40)
@given(graphs)
def test_boxes_lie_apart_inside_the_drawing(edges):
    drawing = drawn(NODES, edges)
    assert set(drawing.boxes) == set(NODES)
    for left, top in drawing.boxes.values():
        assert 0 <= left <= drawing.width - WIDTH + 1
        assert 0 <= top <= drawing.height - HEIGHT
    for (left, top), (other, lower) in combinations(drawing.boxes.values(), 2):
        assert abs(left - other) >= WIDTH or abs(top - lower) >= HEIGHT


@settings(deadline=None, max_examples=40)
@given(graphs)
def test_curves_go_down_from_the_first_box_to_the_second_and_through_none(edges):
    drawing = drawn(NODES, edges)
    assert list(drawing.curves) == without_implied(NODES, edges)
    for (start, end), path in drawing.curves.items():
        steps = re.findall(r"([MCV])([^MCV]+)", path)
        x, y = map(float, steps[0][1].split())
        left, top = drawing.boxes[start]
        assert (x, y) == (left + WIDTH / 2, top + HEIGHT)
        for command, numbers in steps[1:]:
            values = list(map(float, numbers.split()))
            if command == "V":
                inside = [box for box, (left, top) in drawing.boxes.items() if left <= x <= left + WIDTH and y == top]
                assert inside == []
            else:
                x = values[-2]
            assert values[-1] > y
            y = values[-1]
        left, top = drawing.boxes[end]
        assert (x, y) == (left + WIDTH / 2, top)


def test_an_edge_backwards_is_refused():
    with pytest.raises(ValueError, match="b -> a goes back"):
        without_implied("ab", [("b", "a")])


def test_nothing_is_drawn_of_nothing():
    assert (drawn([], []).width, drawn([], []).height) == (0, 0)
