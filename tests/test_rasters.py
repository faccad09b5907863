"""Polygons as images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcoadd.inputs.boxes import box_contains
from jaxcoadd.inputs.polygons import (
    Polygon,
    box_polygon,
    intersect_polygons,
    transform_polygon,
)
from jaxcoadd.inputs.rasters import polygon_fractions, polygon_pixels
from tests.inputs import SEEDS, star_polygon

BOX = (0, 0, 119, 99)
CUTTING_BOX = (40, 45, 70, 60)

# Positions below 200 are rounded by 3e-14, in a dozen of terms a pixel and in the sum
# along a row.
ROUNDING = 1e-11


def crop(image, box):
    x0, y0, x1, y1 = box
    return image[y0 : y1 + 1, x0 : x1 + 1]


@given(seed=SEEDS)
def test_fractions_sum_to_the_area(seed):
    polygon = star_polygon(seed)
    fractions = polygon_fractions(polygon, BOX)
    assert fractions.min() >= 0 and fractions.max() <= 1
    np.testing.assert_allclose(fractions.sum(), polygon.area, rtol=0, atol=1e-9)


@given(seed=SEEDS)
def test_fractions_of_a_polygon_and_of_its_complement_sum_to_one(seed):
    polygon = star_polygon(seed)
    complement = Polygon(box_polygon(BOX).vertices, holes=[polygon.vertices])
    total = polygon_fractions(polygon, BOX) + polygon_fractions(complement, BOX)
    np.testing.assert_allclose(total, 1, rtol=0, atol=ROUNDING)


@given(seed=SEEDS)
def test_the_fraction_of_a_pixel_is_the_area_in_common_with_it(seed):
    polygon, fractions = star_polygon(seed), polygon_fractions(star_polygon(seed), BOX)
    for x, y in np.random.default_rng(seed).integers(20, 90, (25, 2)).tolist():
        pieces = intersect_polygons(polygon, box_polygon((x, y, x, y)))
        area = sum(piece.area for piece in pieces)
        np.testing.assert_allclose(fractions[y, x], area, rtol=0, atol=ROUNDING)


@given(seed=SEEDS, raster=st.sampled_from([polygon_fractions, polygon_pixels]))
def test_a_box_that_cuts_a_polygon_changes_no_pixel(seed, raster):
    polygon = star_polygon(seed)
    part, whole = raster(polygon, CUTTING_BOX), crop(raster(polygon, BOX), CUTTING_BOX)
    np.testing.assert_allclose(part, whole, rtol=0, atol=ROUNDING)


@given(seed=SEEDS)
def test_negative_coordinates_change_nothing(seed):
    polygon = star_polygon(seed)
    moved = transform_polygon(polygon, lambda x, y: (x - 128, y - 64))
    box = (-128, -64, BOX[2] - 128, BOX[3] - 64)
    for raster in (polygon_fractions, polygon_pixels):
        np.testing.assert_allclose(
            raster(moved, box), raster(polygon, BOX), rtol=0, atol=ROUNDING
        )


@given(seed=SEEDS)
def test_pixels_are_those_with_their_centre_inside(seed):
    polygon = star_polygon(seed)
    y, x = np.indices((100, 120))
    # No centre lies on the outline of such a polygon.
    np.testing.assert_array_equal(polygon_pixels(polygon, BOX), polygon.contains(x, y))


def test_of_a_box_the_left_and_lower_edges_belong_to_it():
    square = Polygon([(2, 3), (6, 3), (6, 8), (2, 8)])
    y, x = np.indices((12, 10))
    expected = box_contains((2, 3, 5, 7), x + 0.0, y + 0.0)
    np.testing.assert_array_equal(polygon_pixels(square, (0, 0, 9, 11)), expected)
    assert box_contains((0, 0, 1, 1), np.array([-0.5, 1.5]), np.zeros(2)).tolist() == [
        True,
        False,
    ]


@given(seed=SEEDS)
def test_polygons_that_share_an_edge_share_no_pixel(seed):
    cut = np.random.default_rng(seed).integers(10, 110, 2)
    left = Polygon([(0, 0), (0, 99), (cut[0], 99), (cut[1], 0)])
    right = Polygon([(cut[1], 0), (cut[0], 99), (119, 99), (119, 0)])
    counts = polygon_pixels(left, BOX).astype(int) + polygon_pixels(right, BOX)
    np.testing.assert_array_equal(counts[:99, :119], 1)


def test_whole_pixels_are_exactly_one():
    fractions = polygon_fractions(star_polygon(5, radius=45), BOX)
    assert np.count_nonzero(fractions == 1) > 100
    assert set(np.unique(polygon_fractions(box_polygon((3, 4, 9, 9)), BOX))) == {0, 1}


def test_slivers_within_a_pixel_count_with_their_area():
    thin = Polygon([(3.1, 2.2), (3.3, 2.2), (3.2, 2.45)])
    fractions = polygon_fractions(thin, (0, 0, 5, 5))
    np.testing.assert_allclose(fractions[2, 3], thin.area, rtol=1e-12)
    assert np.count_nonzero(fractions) == 1 and not polygon_pixels(thin, BOX).any()


def test_the_empty_polygon_and_those_elsewhere_leave_zeros():
    for polygon in (Polygon([]), star_polygon(1, centre=(500, 50))):
        assert not polygon_fractions(polygon, BOX).any()
        assert not polygon_pixels(polygon, BOX).any()
    around = box_polygon((-50, -50, 300, 300))
    assert (polygon_fractions(around, BOX) == 1).all()


def test_a_box_without_pixels_is_refused():
    for raster in (polygon_fractions, polygon_pixels):
        with pytest.raises(ValueError, match=r"box \(5, 0, 4, 3\) has no pixels"):
            raster(star_polygon(1), (5, 0, 4, 3))
