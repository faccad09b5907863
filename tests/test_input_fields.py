"""Fields, aperture corrections and throughput of coadds: means over the inputs."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcoadd.inputs.aperture_corrections import (
    cell_aperture_correction,
    coadd_aperture_corrections,
    correction_names,
)
from jaxcoadd.inputs.fields import (
    NotCoveredError,
    combine_fields,
    place_on_inputs,
    weighted_mean,
)
from jaxcoadd.inputs.polygons import Polygon
from jaxcoadd.inputs.records import DetectorInput
from jaxcoadd.inputs.transmission import ThroughputCurve, coadd_throughput
from jaxcoadd.photometry import ChebyshevField
from tests.inputs import (
    COADD_WCS,
    DETECTOR_BOX,
    SEEDS,
    draw_detectors,
    make_wcs,
)

POSITIONS = np.random.default_rng(0).uniform(0, 100, (2, 60))

# A mean of five numbers near 1, with weights near 1.
ROUNDING = 1e-14


def draw_fields(seed, number=5):
    rng = np.random.default_rng(seed)
    return [
        ChebyshevField(np.eye(3) + 0.1 * rng.normal(size=(3, 3)), DETECTOR_BOX)
        for _ in range(number)
    ]


def combine(rows, fields, at=POSITIONS):
    return combine_fields(rows, fields, COADD_WCS, *at, default=np.nan)


def reweighted(rows, factor):
    return [dataclasses.replace(row, weight=row.weight * factor) for row in rows]


@given(seed=SEEDS)
def test_the_mean_is_the_sum_by_weight_over_those_that_contain_the_position(seed):
    rows, fields = draw_detectors(seed), draw_fields(seed)
    found = combine(rows, fields)
    assert np.isfinite(found).any()
    for value, x, y in zip(found, *POSITIONS, strict=True):
        total = weight = 0.0
        for row, field in zip(rows, fields, strict=True):
            sky = COADD_WCS.pixel_to_world_values(x, y)
            u, v = row.wcs.world_to_pixel_values(*sky)
            x0, y0, x1, y1 = field.box
            inside = x0 - 0.5 <= u < x1 + 0.5 and y0 - 0.5 <= v < y1 + 0.5
            if inside and (row.polygon is None or row.polygon.contains(u, v)):
                total += row.weight * float(field(u, v))
                weight += row.weight
        expected = total / weight if weight else np.nan
        np.testing.assert_allclose(value, expected, ROUNDING, ROUNDING)


@given(seed=SEEDS, exponent=st.integers(-40, 40))
def test_the_scale_of_the_weights_does_not_matter(seed, exponent):
    rows, fields = draw_detectors(seed), draw_fields(seed)
    scaled = combine(reweighted(rows, 2.0**exponent), fields)
    np.testing.assert_array_equal(scaled, combine(rows, fields))


@given(seed=SEEDS)
def test_the_order_of_rows_does_not_matter(seed):
    rows, fields = draw_detectors(seed), draw_fields(seed)
    order = np.random.default_rng(seed).permutation(5)
    other = combine([rows[k] for k in order], [fields[k] for k in order])
    np.testing.assert_allclose(other, combine(rows, fields), ROUNDING, ROUNDING)


@given(seed=SEEDS)
def test_one_input_gives_its_own_value(seed):
    (row,), (field,) = draw_detectors(seed, 1), draw_fields(seed, 1)
    ((u, v),) = place_on_inputs([row], COADD_WCS, *POSITIONS)
    expected = np.where(row.contains(u, v), field(u, v), np.nan)
    np.testing.assert_allclose(combine([row], [field]), expected, ROUNDING, ROUNDING)


def test_the_box_is_half_open_and_the_polygon_is_not():
    row = DetectorInput(1, 1, 1, (0, 0, 9, 4), wcs=COADD_WCS)
    x, y = np.array([-0.5, 9.5, 4, 4, 9.4]), np.array([2, 2, -0.5, 4.5, 4.4])
    expected = [True, False, True, False, True]
    np.testing.assert_array_equal(row.contains(x, y), expected)
    corners = [(-0.5, -0.5), (9.5, -0.5), (9.5, 4.5), (-0.5, 4.5)]
    row = dataclasses.replace(row, polygon=Polygon(corners))
    expected = [False, False, False, False, True]
    np.testing.assert_array_equal(row.contains(x, y), expected)


def test_the_box_of_the_field_counts_and_not_that_of_the_detector():
    row = DetectorInput(1, 1, 1, DETECTOR_BOX, wcs=COADD_WCS)
    field = ChebyshevField([[2.0]], (10, 10, 200, 20))
    x, y = np.array([5.0, 150.0]), np.array([15.0, 15.0])
    np.testing.assert_array_equal(combine([row], [field], (x, y)), [np.nan, 2])


def test_a_position_without_input_is_an_error_or_a_default():
    row = DetectorInput(1, 1, 1, DETECTOR_BOX, wcs=COADD_WCS)
    field = ChebyshevField([[2.0]], DETECTOR_BOX)
    with pytest.raises(NotCoveredError, match=r"position \(300.00, 5.00\)"):
        combine_fields([row], [field], COADD_WCS, [3.0, 300.0], 5.0)
    found = combine_fields([row], [field], COADD_WCS, [3.0, 300.0], 5.0, default=-1)
    np.testing.assert_array_equal(found, [2, -1])
    assert combine_fields([row], [field], COADD_WCS, 3.0, 5.0).shape == ()
    assert combine_fields([], [], COADD_WCS, 3.0, 5.0, default=7.0) == 7


def test_weights_that_sum_to_zero_are_as_no_input():
    rows = [
        DetectorInput(k, 1, k, DETECTOR_BOX, wcs=COADD_WCS, weight=weight)
        for k, weight in enumerate([1.5, -1.5])
    ]
    fields = [ChebyshevField([[value]], DETECTOR_BOX) for value in (1.0, 3.0)]
    with pytest.raises(NotCoveredError, match="weights sum to 0"):
        combine_fields(rows, fields, COADD_WCS, 3.0, 5.0)


def test_a_position_on_the_other_side_of_the_sky_is_outside():
    far = make_wcs((5, 5), crval=(210.0, 20.0))
    row = DetectorInput(1, 1, 1, DETECTOR_BOX, wcs=far)
    field = ChebyshevField([[2.0]], DETECTOR_BOX)
    assert combine_fields([row], [field], COADD_WCS, 3.0, 5.0, default=-1) == -1


def test_what_does_not_count_may_be_anything():
    inside = np.array([[True, False], [False, False]])
    values = np.array([[2.0, np.nan], [np.inf, np.nan]])
    mean, found = weighted_mean([3.0, 1.0], inside, values)
    np.testing.assert_array_equal(mean, [2, np.nan])
    np.testing.assert_array_equal(found, [True, False])


def test_a_detector_without_a_wcs_is_refused():
    row = DetectorInput(77, 1, 1, DETECTOR_BOX)
    with pytest.raises(ValueError, match="id 77 has no WCS; give it one"):
        combine_fields([row], draw_fields(0, 1), COADD_WCS, 1.0, 1.0)


def test_every_name_of_any_row_is_combined_over_those_that_have_it():
    values = [{"a": 1.0, "aErr": 0.1}, None, {"a": 3.0, "b": 5.0, "aErr": 0.3}]
    rows = [
        DetectorInput(
            k,
            1,
            k,
            DETECTOR_BOX,
            wcs=COADD_WCS,
            aperture_corrections=fields
            and {n: ChebyshevField([[v]], DETECTOR_BOX) for n, v in fields.items()},
        )
        for k, fields in enumerate(values)
    ]
    assert correction_names(rows) == ("a", "aErr", "b")
    found = coadd_aperture_corrections(rows, COADD_WCS, [3.0, 9.0], [5.0, 9.0])
    # Errors are averaged as values are.
    expected = {"a": 2.0, "aErr": 0.2, "b": 5.0}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], [value, value], rtol=1e-15)
    with pytest.raises(NotCoveredError, match="no input covers"):
        coadd_aperture_corrections(rows, COADD_WCS, 300.0, 5.0)
    found = coadd_aperture_corrections(rows, COADD_WCS, 300.0, 5.0, default=1.0)
    assert {float(value) for value in found.values()} == {1.0}


@given(seed=SEEDS, inverse=st.booleans(), exponent=st.integers(-9, 9))
def test_the_correction_of_a_cell_does_not_know_the_scale_of_weights(
    seed, inverse, exponent
):
    values, errors, weights = np.random.default_rng(seed).uniform(0.5, 1.5, (3, 4, 6))
    found = cell_aperture_correction(values, errors, weights, average_inverse=inverse)
    scaled = cell_aperture_correction(
        values, errors, weights * 2.0**exponent, average_inverse=inverse
    )
    np.testing.assert_array_equal(scaled, found)
    assert found[0].shape == (6,)
    one = cell_aperture_correction(
        values[:1], errors[:1], weights[:1], average_inverse=inverse
    )
    np.testing.assert_allclose(one, [values[0], errors[0]], rtol=1e-14)


def test_the_correction_of_a_cell_as_worked_out_by_hand():
    values, errors, weights = np.array([[1.0, 2.0], [0.3, 0.8], [3.0, 1.0]])
    mean, error = cell_aperture_correction(values, errors, weights)
    np.testing.assert_allclose(mean, 5 / 4)
    np.testing.assert_allclose(error, np.hypot(0.9, 0.8) / 4)
    mean, error = cell_aperture_correction(
        values, errors, weights, average_inverse=True
    )
    np.testing.assert_allclose(mean, 4 / 3.5)
    np.testing.assert_allclose(error, (4 / 3.5) ** 2 * np.hypot(0.9, 0.8 / 4) / 4)


def test_the_correction_of_a_cell_refuses_what_has_no_mean():
    one = np.ones(2)
    with pytest.raises(ValueError, match=r"one shape, not \(2,\), \(3,\) and \(2,\)"):
        cell_aperture_correction(one, np.ones(3), one)
    with pytest.raises(ValueError, match="weights of a cell's inputs sum to 0"):
        cell_aperture_correction(one, one, np.array([1.0, -1.0]))


def draw_curves(seed, number=5):
    rng = np.random.default_rng(seed)
    return [
        ThroughputCurve(
            np.sort(rng.uniform(400, 700, 4)) + 20 * np.arange(4), rng.random(4)
        )
        for _ in range(number)
    ]


@given(seed=SEEDS)
def test_throughput_is_the_mean_of_the_fields_at_each_wavelength(seed):
    curves = draw_curves(seed)
    rows = draw_detectors(seed, throughput=curves)
    fields = draw_fields(seed)
    at = POSITIONS[:, np.isfinite(combine(rows, fields))]
    wavelengths = np.array([560.0, 600.0])
    bounds = np.array([curve.wavelength_bounds for curve in curves])
    lowest, highest = bounds[:, 0].min(), bounds[:, 1].max()
    found = coadd_throughput(rows, COADD_WCS, *at, [*wavelengths, lowest - 1, highest])
    assert found.shape == (at.shape[1], 4)
    for k, wavelength in enumerate(wavelengths):
        if not lowest < wavelength < highest:
            continue
        constant = [
            ChebyshevField([[np.interp(wavelength, c.wavelengths, c.values)]], row.box)
            for c, row in zip(curves, rows, strict=True)
        ]
        expected = combine(rows, constant, at)
        np.testing.assert_allclose(found[:, k], expected, ROUNDING, ROUNDING)
    weights = [row.weight for row in rows]
    for k, end in ((2, 0), (3, 1)):
        ends = [curve.at_bounds[end] for curve in curves]
        np.testing.assert_allclose(found[:, k], np.average(ends, weights=weights))


def test_throughput_without_a_curve_or_an_input_is_an_error():
    rows = draw_detectors(3)
    with pytest.raises(ValueError, match="id 3 has no transmission curve"):
        coadd_throughput(rows, COADD_WCS, 1.0, 1.0, 500.0)
    rows = draw_detectors(3, throughput=draw_curves(3))
    with pytest.raises(NotCoveredError, match=r"position \(900.00, 1.00\)"):
        coadd_throughput(rows, COADD_WCS, [60.0, 900.0], [50.0, 1.0], 500.0)
    with pytest.raises(NotCoveredError, match="no input covers"):
        coadd_throughput([], COADD_WCS, 1.0, 1.0, 500.0)


@pytest.mark.parametrize(
    ("wavelengths", "values", "message"),
    [
        ([1.0, 2.0], [1.0], r"found \(2,\) wavelengths and \(1,\) values"),
        ([2.0, 1.0], [1.0, 1.0], "must increase"),
        ([], [], "from 1 or more"),
    ],
)
def test_what_is_no_curve_is_refused(wavelengths, values, message):
    with pytest.raises(ValueError, match=message):
        ThroughputCurve(wavelengths, values)
