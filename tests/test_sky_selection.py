"""Overlap on the sphere, and the selection of detectors and visits."""

import dataclasses
import math

import numpy as np
import pytest
import shapely
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from jaxcoadd import sky
from jaxcoadd.sky.sphere import points_around, sky_positions, unit_vectors

PATCH = sky.named_sky_map("lsst_cells_v1").tract(9813).patch(36)
GOOD_ROW = {
    "band": "r",
    "psfSigma": 2.0,
    "pixelScale": 0.2,
    "psfStarDeltaE1Median": 0.001,
    "psfStarDeltaE2Median": 0.001,
    "psfStarDeltaSizeScatter": 0.01,
    "psfStarScaledDeltaSizeScatter": 0.01,
    "psfTraceRadiusDelta": 0.1,
    "psfApFluxDelta": 0.1,
    "psfApCorrSigmaScaledDelta": 0.1,
    "nPsfStar": 50,
    "starEMedian": 0.1,
    "starUnNormalizedEMedian": 1.0,
}

angles = st.tuples(st.floats(0, 360), st.floats(-90, 90))


def quadrilateral(place, size, turn):
    """Return four points around a position, not all at one distance."""
    reach = size * np.array([1.0, 0.6, 0.9, 0.7])
    return np.concatenate(
        [points_around(*place, r, [turn + 90 * n]) for n, r in enumerate(reach)]
    )


def moved(polygon, ra, dec):
    """Return a polygon at other angles."""
    return polygon + np.array((ra, dec))


quadrilaterals = st.builds(
    quadrilateral, angles, st.floats(0.01, 20), st.floats(0, 360)
)


def visit(number, fwhm=1.0, *, on=True, mjd=60000.0, **columns):
    """Return a visit of two detectors, the second one without a WCS."""
    corners = PATCH.corners if on else moved(PATCH.corners, 0, 3)
    return sky.VisitSummary(
        number,
        mjd,
        np.array([fwhm / 0.2 / math.sqrt(8 * math.log(2)), 99.0]),
        np.array([0.2, 0.2]),
        np.array([True, False]),
        np.stack([corners, np.full((4, 2), np.nan)]),
        {name: np.array(column) for name, column in columns.items()},
    )


# Overlap on the sphere


@given(first=quadrilaterals, second=quadrilaterals)
def test_overlap_is_mutual(first, second):
    assert sky.hulls_overlap(first, second) == sky.hulls_overlap(second, first)


@given(one=quadrilaterals, weights=st.lists(st.floats(0.01, 1), min_size=4, max_size=4))
def test_a_polygon_overlaps_what_is_around_a_point_of_it(one, weights):
    inside = sky_positions(np.array(weights) @ unit_vectors(*one.T))
    assert sky.hulls_overlap(one, one)
    assert sky.hulls_overlap(one, quadrilateral(inside, 0.001, 10.0))


@given(place=angles, size=st.floats(0.01, 5), turn=st.floats(0, 360))
def test_polygons_farther_apart_than_they_reach_do_not_overlap(place, size, turn):
    one = quadrilateral(place, size, turn)
    (far,) = points_around(*place, 2 * size + 0.001, [turn + 17])
    assert not sky.hulls_overlap(one, quadrilateral(far, size, 0.0))
    (opposite,) = points_around(*place, 180, [0.0])
    assert not sky.hulls_overlap(one, quadrilateral(opposite, size, turn))


@given(
    place=angles,
    bearing=st.floats(0, 360),
    far=st.floats(0, 3),
    sizes=st.tuples(st.floats(0.5, 2), st.floats(0.5, 2)),
)
def test_overlap_is_that_of_the_projection_that_keeps_great_circles(
    place, bearing, far, sizes
):
    (other,) = points_around(*place, far, [bearing])
    polygons = [
        quadrilateral(place, sizes[0], 20.0),
        quadrilateral(other, sizes[1], 3.0),
    ]
    projection = WCS(naxis=2)
    projection.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    projection.wcs.crval = place
    one, two = (
        shapely.convex_hull(shapely.MultiPoint(projection.wcs_world2pix(points, 0)))
        for points in polygons
    )
    # What touches to rounding may be told either way: 1e-9 degrees are thousands of it.
    if abs(one.distance(two)) > 1e-9 or one.intersection(two).area > 1e-9:
        assert sky.hulls_overlap(*polygons) == one.intersects(two)


def test_polygons_that_touch_overlap():
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
    assert sky.hulls_overlap(square, moved(square, 1, 0))
    assert sky.hulls_overlap(square, moved(square, -1, -1))
    assert not sky.hulls_overlap(square, moved(square, 1 + 1e-9, 0))


def test_overlap_knows_poles_and_the_end_of_right_ascension():
    around_pole = np.array([(0, 89), (90, 89), (180, 89), (270, 89)], float)
    at_pole = np.array([(10, 89.9), (11, 89.9), (11, 89.95), (10, 89.95)])
    assert sky.hulls_overlap(around_pole, at_pole)
    end = np.array([(359.9, -1), (0.1, -1), (0.1, 1), (359.9, 1)])
    assert sky.hulls_overlap(end, moved(end, 0.15, 0))
    assert not sky.hulls_overlap(end, moved(end, 180, 0))
    assert not sky.hulls_overlap(end, moved(end, 0.3, 0))


def test_points_inside_of_a_hull_do_not_matter():
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
    more = np.concatenate([[(0.5, 0.5)], square, [(0.2, 0.3)], square[:1]])
    for other in (moved(square, 0.9, 0.9), moved(square, 1.1, 0)):
        expected = sky.hulls_overlap(square, other)
        assert sky.hulls_overlap(more, other) == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_corners_that_are_not_finite_overlap_nothing(bad):
    corners = PATCH.corners.copy()
    corners[2, 1] = bad
    assert not sky.hulls_overlap(corners, PATCH.corners)


def test_polygons_over_half_of_the_sky_are_refused():
    half = np.array([(0, 0), (100, 0), (200, 0)], float)
    with pytest.raises(sky.SkyMapError, match="reaches over more than 45 degrees"):
        sky.hulls_overlap(half, PATCH.corners)


# Detectors


def test_images_are_selected_in_their_order_and_without_those_excluded():
    corners = [
        PATCH.corners,
        None,
        moved(PATCH.corners, 0, 9),
        moved(PATCH.corners, 0, 0.01),
    ]
    assert sky.select_overlapping(corners, PATCH.corners) == [0, 3]
    found = sky.select_overlapping(
        corners, PATCH.corners, detectors=[7, 8, 9, 10], exclude_detectors=[7]
    )
    assert found == [3]


def test_excluding_needs_the_detectors():
    with pytest.raises(ValueError, match="give the detector of each image"):
        sky.select_overlapping([None], PATCH.corners, exclude_detectors=[1])


def test_corners_of_an_image_are_half_a_pixel_outside():
    grid = PATCH.grid()
    rows, columns = grid.shape
    corners = sky.image_corners(grid.wcs, sky.Box(0, 0, columns - 1, rows - 1))
    # Some ten roundings of angles below 180 degrees.
    np.testing.assert_allclose(corners, PATCH.corners, rtol=0, atol=3e-13)


@pytest.mark.parametrize(
    ("column", "value", "name"),
    [
        ("psfSigma", 4.0, "max_fwhm"),
        ("psfStarDeltaE1Median", -0.008, "max_ellipticity_residual"),
        ("psfStarScaledDeltaSizeScatter", 0.02, "max_scaled_size_scatter"),
        ("psfTraceRadiusDelta", 0.71, "max_trace_radius_delta"),
        ("psfApFluxDelta", 0.25, "max_aperture_flux_delta"),
        ("psfApCorrSigmaScaledDelta", 0.23, "max_aperture_correction_delta"),
        ("nPsfStar", 5, "min_stars"),
        ("starEMedian", 0.41, "max_star_ellipticity"),
        ("starUnNormalizedEMedian", 2.9, "max_star_unnormalized_ellipticity"),
    ],
)
def test_each_limit_is_named_and_nan_fails_it(column, value, name):
    assert sky.failed_psf_cut(GOOD_ROW) is None
    assert sky.failed_psf_cut(GOOD_ROW | {column: value}) == name
    failed = sky.failed_psf_cut(GOOD_ROW | {column: math.nan})
    assert failed == (None if name == "min_stars" else name)


def test_a_value_at_its_limit_passes():
    at_limits = {"psfTraceRadiusDelta": 0.7, "nPsfStar": 6, "starEMedian": 0.4}
    assert sky.failed_psf_cut(GOOD_ROW | at_limits) is None


def test_the_first_limit_that_fails_is_named():
    row = GOOD_ROW | {"starEMedian": 9.0, "psfApFluxDelta": 9.0, "nPsfStar": 0}
    assert sky.failed_psf_cut(row) == "max_aperture_flux_delta"


def test_a_detector_without_a_row_fails():
    assert sky.failed_psf_cut(None) == "row"


def test_limits_of_none_are_off_and_those_of_0_but_for_deltas():
    bad = GOOD_ROW | {"psfSigma": math.nan, "starEMedian": 9.0}
    table = {"fallback": 0.0}
    for off in (None, 0.0):
        cuts = sky.PsfCuts(max_fwhm=off, max_star_ellipticity=table)
        assert sky.failed_psf_cut(bad, cuts) is None
    delta = sky.PsfCuts(max_trace_radius_delta=0.0)
    assert sky.failed_psf_cut(GOOD_ROW, delta) == "max_trace_radius_delta"
    delta = sky.PsfCuts(max_trace_radius_delta=None)
    assert sky.failed_psf_cut(GOOD_ROW, delta) is None


def test_bands_without_a_limit_have_that_of_the_fallback():
    cuts = sky.PsfCuts(min_stars={"g": 10, "fallback": 60})
    assert sky.failed_psf_cut(GOOD_ROW | {"band": "g"}, cuts) is None
    assert sky.failed_psf_cut(GOOD_ROW, cuts) == "min_stars"
    with pytest.raises(ValueError, match="min_stars has no entry 'fallback'"):
        sky.PsfCuts(min_stars={"g": 10})


def test_columns_are_needed_by_limits_that_are_on_alone():
    row = {"psfSigma": 2.0, "pixelScale": 0.2, "band": "r"}
    by_band = {"min_stars", "max_star_ellipticity", "max_star_unnormalized_ellipticity"}
    names = sky.PsfCuts.__dataclass_fields__.keys()
    off = {name: {"fallback": 0.0} if name in by_band else None for name in names}
    for limit, failed in ((1.0, None), (0.9, "max_fwhm")):
        assert (
            sky.failed_psf_cut(row, sky.PsfCuts(**off | {"max_fwhm": limit})) == failed
        )
    with pytest.raises(ValueError, match="no column 'psfStarDeltaE1Median', which a"):
        sky.failed_psf_cut(row)


# Visits


def test_the_row_of_a_detector_is_that_of_the_limits():
    columns = {name: [value, math.nan] for name, value in GOOD_ROW.items()}
    one = dataclasses.replace(visit(7, **columns), detectors=np.array([40, 3]))
    assert sky.failed_psf_cut(one.row(40)) is None
    assert one.row(3)["psfSigma"] == 99 and sky.failed_psf_cut(one.row(5)) == "row"
    with pytest.raises(ValueError, match="visit 7 have no numbers; give `detectors`"):
        visit(7).row(40)


def test_visits_come_by_seeing_and_then_by_number():
    visits = [visit(5, 1.0), visit(3, 1.0), visit(9, 0.8), visit(1, 1.2)]
    assert sky.select_best_seeing(visits, PATCH.corners) == [9, 3, 5, 1]
    two = sky.BestSeeing(max_visits=2)
    assert sky.select_best_seeing(visits, PATCH.corners, two) == [9, 3]
    none = sky.BestSeeing(max_visits=0)
    assert sky.select_best_seeing(visits, PATCH.corners, none) == []


def test_visits_beyond_a_limit_are_left_out():
    visits = [visit(1, 0.7), visit(2, 1.0), visit(3, 1.6), visit(4, 0.9, on=False)]
    assert sky.select_best_seeing(visits, PATCH.corners) == [1, 2]
    config = sky.BestSeeing(min_fwhm=0.8, max_fwhm=None, confirm_overlap=False)
    assert sky.select_best_seeing(visits, PATCH.corners, config) == [4, 2, 3]


def test_dates_at_a_limit_pass_only_for_the_best_seeing():
    visits = [visit(n, 1.0, mjd=n) for n in range(5)]
    best = sky.BestSeeing(min_mjd=1, max_mjd=3)
    assert sky.select_best_seeing(visits, PATCH.corners, best) == [1, 2, 3]
    part = sky.SeeingQuantile(min_mjd=1, max_mjd=3)
    assert sky.select_seeing_quantile(visits, PATCH.corners, part) == [2]


def test_a_visit_needs_the_least_mean_of_its_detectors_with_a_wcs():
    visits = [visit(1, depth=[0.5, 99.0]), visit(2, depth=[0.6, -99.0])]
    visits.append(visit(3, depth=[np.nan, 0.0]))
    config = sky.BestSeeing(min_values={"depth": 0.6})
    assert sky.select_best_seeing(visits, PATCH.corners, config) == [2, 3]


def test_a_visit_without_seeing_passes_and_comes_last():
    visits = [visit(1, math.nan), visit(2, 1.0)]
    assert sky.select_best_seeing(visits, PATCH.corners) == [2, 1]
    assert math.isnan(sky.visit_fwhm(visits[0]))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, range(6)),
        ({"min_visits": 0}, range(3)),  # round(3.3)
        ({"min_quantile": 0.25, "max_quantile": 0.55, "min_visits": 0}, range(2, 6)),
        ({"min_quantile": 0.7, "max_quantile": 0.9, "min_visits": 5}, range(5, 9)),
        ({"min_quantile": 0.5, "max_quantile": 0.5, "min_visits": 0}, ()),
        ({"min_visits": 99}, range(10)),
        ({"max_fwhm": 1.025, "min_visits": 0, "max_quantile": 0.9}, range(3)),
    ],
)
def test_a_quantile_is_a_part_of_the_visits_in_order(config, expected):
    # 5.5 becomes 6, and 2.5 becomes 2: half goes to the even number.
    visits = [visit(n, 1.0 + n / 100) for n in reversed(range(10))]
    found = sky.select_seeing_quantile(
        visits, PATCH.corners, sky.SeeingQuantile(**config)
    )
    assert found == list(expected)


@pytest.mark.parametrize("quantile", [-0.1, 1.0, math.nan])
def test_a_quantile_is_less_than_1(quantile):
    with pytest.raises(ValueError, match="a quantile of visits is from 0 to less"):
        sky.SeeingQuantile(max_quantile=quantile)


@given(seed=st.integers(0, 99))
def test_the_order_of_visits_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    visits = [visit(n, round(rng.uniform(0.5, 2), 1)) for n in range(20)]
    for select in (sky.select_best_seeing, sky.select_seeing_quantile):
        expected = select(visits, PATCH.corners)
        mixed = [visits[n] for n in rng.permutation(20)]
        assert select(mixed, PATCH.corners) == expected
