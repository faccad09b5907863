"""Polygons of pixels: what they contain, have in common, and lose at the rim."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcoadd.inputs.polygons import (
    Polygon,
    PolygonError,
    box_polygon,
    common_polygon,
    grow_polygon,
    intersect_polygons,
    pad_vertices,
    transform_polygon,
    unite_polygons,
    unpad_vertices,
)
from tests.inputs import SEEDS, star_polygon

SQUARE = [(0, 0), (4, 0), (4, 4), (0, 4)]
NOTCHED = [(0, 0), (12, 0), (12, 3), (4, 3), (4, 7), (12, 7), (12, 10), (0, 10)]


def points_around(seed, number=200):
    return np.random.default_rng(seed + 1).uniform(20, 100, (2, number))


@pytest.mark.parametrize(
    ("vertices", "message"),
    [
        ([(0, 0), (1, 1)], "needs 3 vertices or more, not 2"),
        ([(0, 0), (1, 1), (0, 0)], "needs 3 vertices or more, not 2"),
        ([(0, 0), (4, 4), (4, 0), (0, 4)], "must not touch or cross itself"),
        ([(0, 0), (1, 1), (2, 2)], "must not touch or cross itself"),
        ([(0, 0), (np.nan, 1), (2, 2)], r"vertex 1 of a polygon is \(nan, 1.0\)"),
        ([(0, 0), (1, 1), (np.inf, 2)], "vertex 2 of a polygon .* finite"),
        ([(0, 0, 0), (1, 1, 1), (2, 0, 0)], r"shape \(3, 3\); expected one row"),
    ],
)
def test_what_is_no_polygon_is_refused(vertices, message):
    with pytest.raises(PolygonError, match=message):
        Polygon(vertices)


@given(seed=SEEDS)
def test_orientation_and_a_closing_vertex_do_not_matter(seed):
    polygon = star_polygon(seed)
    x, y = points_around(seed)
    corners = polygon.vertices
    for same in (corners[::-1], np.concatenate([corners, corners[:1]])):
        other = Polygon(same)
        assert len(other.vertices) == len(corners)
        # The same sum in another order: a few roundings of 1e4 pixels.
        np.testing.assert_allclose(other.area, polygon.area, rtol=1e-12)
        np.testing.assert_array_equal(other.contains(x, y), polygon.contains(x, y))


def test_points_on_the_outline_are_outside():
    square = Polygon(SQUARE)
    x, y = [0, 2, 4, 2, 2, np.nan], [0, 0, 2, 4, 2, 2]
    expected = [False, False, False, False, True, False]
    np.testing.assert_array_equal(square.contains(x, y), expected)
    assert square.contains(2.0, [[1.0], [9.0]]).shape == (2, 1)


def test_the_empty_polygon_contains_nothing():
    empty = Polygon([])
    assert empty.is_empty and empty.area == 0 and empty.perimeter == 0
    assert np.isnan(empty.centre).all() and np.isnan(empty.bounds).all()
    assert not empty.contains([0.0, 1.0], [0.0, 1.0]).any()
    assert intersect_polygons(empty, Polygon(SQUARE)) == ()
    assert transform_polygon(empty, lambda x, y: (x + 1, y)).is_empty
    assert grow_polygon(empty, (0, 0, 9, 9), -1) is empty


def test_a_box_reaches_half_a_pixel_beyond_its_centres():
    polygon = box_polygon((2, 3, 5, 9))
    assert polygon.bounds == (1.5, 2.5, 5.5, 9.5)
    assert polygon.area == 28 and polygon.centre == (3.5, 6.0)
    assert box_polygon((2, 3, 1, 9)).is_empty


@given(seed=SEEDS)
def test_the_common_part_contains_what_both_contain(seed):
    first, second = star_polygon(seed), star_polygon(seed + 1, centre=(75, 55))
    pieces, x_y = intersect_polygons(first, second), points_around(seed)
    inside = np.any([piece.contains(*x_y) for piece in pieces] or [[False]], axis=0)
    both = first.contains(*x_y) & second.contains(*x_y)
    np.testing.assert_array_equal(np.broadcast_to(inside, both.shape), both)
    common = sum(piece.area for piece in pieces)
    union = sum(piece.area for piece in unite_polygons(first, second))
    np.testing.assert_allclose(union + common, first.area + second.area, rtol=1e-12)


def test_more_or_less_than_one_common_piece_is_an_error():
    with pytest.raises(PolygonError, match="2 pieces in common; expected one"):
        common_polygon(Polygon(NOTCHED), box_polygon((6, -2, 9, 12)))
    for far in ((4, 0), (4, 4), (9, 9)):
        with pytest.raises(PolygonError, match="no area in common"):
            moved = transform_polygon(
                Polygon(SQUARE), lambda x, y, d=far: (x + d[0], y + d[1])
            )
            common_polygon(Polygon(SQUARE), moved)


def test_a_union_may_have_a_hole():
    (ring,) = unite_polygons(Polygon(NOTCHED), box_polygon((7, -2, 8, 12)))
    assert ring.area == 88 + 30 - 12 and len(ring.holes) == 1
    assert not ring.contains(5, 5) and ring.contains(8, 5)
    moved = transform_polygon(ring, lambda x, y: (2 * x, y))
    assert moved.area == 2 * ring.area
    with pytest.raises(PolygonError, match="holes is not one list"):
        pad_vertices([ring])
    with pytest.raises(PolygonError, match="must not touch or cross"):
        Polygon(SQUARE, holes=[np.add(SQUARE, 9)])


@given(seed=SEEDS, by=st.integers(-8, 8))
def test_growing_never_adds_to_a_polygon(seed, by):
    polygon, box = star_polygon(seed), (0, 0, 119, 99)
    try:
        grown = grow_polygon(polygon, box, by)
    except PolygonError:
        return
    x, y = points_around(seed)
    x0, y0, x1, y1 = polygon.bounds
    within = (x > x0 - by) & (x < x1 + by) & (y > y0 - by) & (y < y1 + by)
    expected = polygon.contains(x, y) & within
    np.testing.assert_array_equal(grown.contains(x, y), expected)


@given(by=st.integers(-60, 20))
def test_without_a_polygon_the_box_grows(by):
    grown = grow_polygon(None, (0, 10, 119, 109), by)
    assert grown.area == max(120 + 2 * by, 0) * max(100 + 2 * by, 0)
    if by <= -50:
        assert grown.is_empty


def test_a_polygon_of_which_nothing_is_left_is_an_error():
    with pytest.raises(PolygonError, match=r"nothing is left .* grows by -2"):
        grow_polygon(Polygon(SQUARE), (0, 0, 9, 9), -2)
    thin_spine = [(1 if x == 4 else x, y) for x, y in NOTCHED]
    with pytest.raises(PolygonError, match="2 pieces"):
        grow_polygon(Polygon(thin_spine), (0, 0, 9, 9), -2)


@given(seed=SEEDS)
def test_a_shift_keeps_the_area_and_moves_what_is_inside(seed):
    polygon, (x, y) = star_polygon(seed), points_around(seed)
    moved = transform_polygon(polygon, lambda x, y: (y + 8, x - 16))
    np.testing.assert_allclose(moved.area, polygon.area, rtol=1e-12)
    np.testing.assert_array_equal(moved.contains(y + 8, x - 16), polygon.contains(x, y))


def test_a_vertex_that_has_no_position_is_an_error():
    with pytest.raises(PolygonError, match="expected finite numbers"):
        transform_polygon(Polygon(SQUARE), lambda x, y: (np.full_like(x, np.nan), y))


def test_vertices_come_back_from_arrays():
    polygons = (None, Polygon(SQUARE), Polygon([]), star_polygon(3))
    vertices, counts = pad_vertices(polygons)
    for before, after in zip(polygons, unpad_vertices(vertices, counts), strict=True):
        assert (before is None) == (after is None)
        if before is not None and after is not None:
            np.testing.assert_array_equal(before.vertices, after.vertices)
    assert pad_vertices([])[0].shape == (0, 0, 2)


def test_a_polygon_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        Polygon(SQUARE).vertices[0] = 1


def test_without_shapely_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "shapely", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxcoadd\[sky\]'"):
        Polygon(SQUARE)
