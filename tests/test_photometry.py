import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcoadd.photometry import AB_ZERO_FLUX, ChebyshevField, PhotoCalib

EPS = np.finfo(np.float64).eps
FIELD = ChebyshevField([[2.0, 0.3, 0.1], [0.2, -0.1, 0.05]], box=(10, 20, 29, 35))
POSITIVE = st.floats(1e-6, 1e9)


def planes(shape=(8, 9), dtype=np.float32):
    rng = np.random.default_rng(3)
    image = rng.normal(0, 100, shape).astype(dtype)
    return image, rng.uniform(1, 50, shape).astype(dtype)


def test_one_nanojansky_has_magnitude_31_4():
    # Zero has 3631 Jy, up to the definition's rounding to 48.60.
    np.testing.assert_allclose(AB_ZERO_FLUX, 3.630780547701014e12, rtol=1e-14)
    np.testing.assert_allclose(PhotoCalib(1.0).magnitude(1.0), 31.4, rtol=4 * EPS)


def test_zero_point_27_is_57_544_nanojansky_per_count():
    calib = PhotoCalib.from_zero_point(27.0)
    np.testing.assert_allclose(calib.mean, 57.543993733715, rtol=1e-13)
    np.testing.assert_allclose(calib.magnitude(1.0), 27.0, rtol=1e-14)
    np.testing.assert_allclose(
        calib.inst_flux_at_zero_magnitude, 6.309573444801943e10, rtol=1e-14
    )


@given(mean=POSITIVE, magnitude=st.floats(-5, 40))
def test_magnitudes_to_counts_to_magnitudes(mean, magnitude):
    calib = PhotoCalib(mean)
    counts = calib.magnitude_to_inst_flux(magnitude)
    # The logarithm is that of a number of up to 1e28 with a few eps.
    np.testing.assert_allclose(calib.magnitude(counts), magnitude, atol=60 * EPS)


@given(mean=POSITIVE, flux=st.floats(-1e9, 1e9))
def test_counts_to_nanojansky_to_counts(mean, flux):
    calib = PhotoCalib(mean)
    there = calib.nanojansky(flux)
    np.testing.assert_allclose(calib.nanojansky_to_inst_flux(there), flux, rtol=2 * EPS)


def test_error_of_a_magnitude_is_its_slope_times_the_error_of_the_flux():
    calib, flux, step = PhotoCalib(3.0), np.array([10.0, 1e4]), 1e-4
    slope = (calib.magnitude(flux + step) - calib.magnitude(flux - step)) / (2 * step)
    # The third derivative leaves (step / flux)^2 / 3, the rounding eps * mag / step.
    np.testing.assert_allclose(
        calib.magnitude_error(flux, 0.5), -0.5 * slope, rtol=1e-6
    )


def test_flux_mag0_and_its_error():
    calib = PhotoCalib.from_flux_mag0(2e10, 3e6)
    np.testing.assert_allclose(calib.mean * 2e10, AB_ZERO_FLUX, rtol=2 * EPS)
    np.testing.assert_allclose(calib.error / calib.mean, 3e6 / 2e10, rtol=4 * EPS)


def test_fluxes_of_zero_and_less_have_no_magnitude():
    magnitudes = PhotoCalib(1.0).magnitude([0.0, -1.0, 1.0])
    assert magnitudes[0] == np.inf
    assert np.isnan(magnitudes[1])
    assert np.isfinite(magnitudes[2])
    assert PhotoCalib(0.0).inst_flux_at_zero_magnitude == np.inf


@pytest.mark.parametrize("arguments", [(-1.0,), (1.0, -0.5)])
def test_negative_calibrations_are_refused(arguments):
    with pytest.raises(ValueError, match="must be 0 or more, not -"):
        PhotoCalib(*arguments)


@pytest.mark.parametrize("flux", [0.0, -3.0, np.nan])
def test_flux_mag0_must_be_positive(flux):
    with pytest.raises(ValueError, match="must be more than 0 counts"):
        PhotoCalib.from_flux_mag0(flux)


def test_field_follows_the_definition_of_chebyshev_polynomials():
    x, y = np.array([10.0, 21.5, 29.0]), np.array([20.0, 33.0, 35.0])
    angle_x = np.arccos((x - 19.5) / 10)
    angle_y = np.arccos((y - 27.5) / 8)
    expected = sum(
        value * np.cos(i * angle_y) * np.cos(j * angle_x)
        for (i, j), value in np.ndenumerate(FIELD.coefficients)
    )
    np.testing.assert_allclose(FIELD(x, y), expected, rtol=1e-14)
    np.testing.assert_allclose(FIELD.grid(x, y), FIELD(x, y[:, None]), rtol=1e-14)


def test_mean_of_a_field_is_its_integral_over_the_box():
    nodes, weights = np.polynomial.legendre.leggauss(5)
    values = FIELD.grid(19.5 + 10 * nodes, 27.5 + 8 * nodes)
    integral = weights @ values @ weights / 4
    np.testing.assert_allclose(FIELD.mean, integral, rtol=1e-14)
    assert PhotoCalib.from_field(FIELD).mean == FIELD.mean
    assert PhotoCalib.from_field(FIELD, mean=7.0).mean == 7.0


def test_bad_fields_are_refused():
    with pytest.raises(ValueError, match="has no pixels"):
        ChebyshevField([[1.0]], box=(3, 0, 2, 5))
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        ChebyshevField([1.0, 2.0], box=(0, 0, 1, 1))


def test_coefficients_cannot_be_changed():
    given_values = np.ones((1, 2))
    field = ChebyshevField(given_values, box=(0, 0, 9, 9))
    given_values[:] = 7
    assert field.mean == 1
    with pytest.raises(ValueError, match="read-only"):
        field.coefficients[0, 0] = 2.0


def test_position_decides_where_there_is_a_field_and_only_there():
    varying, constant = PhotoCalib.from_field(FIELD), PhotoCalib(FIELD.mean)
    x, y = np.array([11.0, 28.0]), np.array([22.0, 31.0])
    np.testing.assert_array_equal(varying.nanojansky(2.0, at=(x, y)), 2 * FIELD(x, y))
    np.testing.assert_array_equal(varying.nanojansky(2.0), 2 * FIELD.mean)
    np.testing.assert_array_equal(constant.nanojansky(2.0, at=(x, y)), 2 * FIELD.mean)
    counts = varying.magnitude_to_inst_flux(25.0, at=(x, y))
    np.testing.assert_allclose(varying.magnitude(counts, at=(x, y)), 25, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("calib", [PhotoCalib(4.7), PhotoCalib.from_field(FIELD)])
def test_uncalibrating_a_calibrated_image_gives_it_back(calib, dtype):
    image, variance = planes(dtype=dtype)
    there = calib.calibrate_image(image, variance, origin=(12, 22))
    back = calib.uncalibrate_image(*there, origin=(12, 22))
    eps = np.finfo(dtype).eps
    # Up to four roundings of half an eps for the image, and six for the variance.
    np.testing.assert_allclose(back[0], image, rtol=2 * eps)
    np.testing.assert_allclose(back[1], variance, rtol=3 * eps)
    assert there[0].dtype == there[1].dtype == dtype


def test_pixels_outside_of_the_field_stay_as_they_are():
    image, variance = planes((30, 40))
    calib, origin = PhotoCalib.from_field(FIELD), (0, 10)
    for method in (calib.calibrate_image, calib.uncalibrate_image):
        changed = method(image, variance, origin=origin)
        for before, after in zip((image, variance), changed, strict=True):
            inside = np.zeros(before.shape, bool)
            inside[10:26, 10:30] = True
            np.testing.assert_array_equal((before != after), inside)


@pytest.mark.parametrize("origin", [(500, 500), (-500, 20), (10, -500)])
def test_an_image_away_from_the_field_stays_as_it_is(origin):
    image, variance = planes()
    calib = PhotoCalib.from_field(FIELD)
    same = calib.calibrate_image(image, variance, origin=origin)
    np.testing.assert_array_equal(same[0], image)
    np.testing.assert_array_equal(same[1], variance)


def test_calibration_leaves_its_input_alone():
    image, variance = planes()
    copies = image.copy(), variance.copy()
    for calib in (PhotoCalib(3.0), PhotoCalib.from_field(FIELD)):
        calib.calibrate_image(image, variance, origin=(12, 22))
        np.testing.assert_array_equal(image, copies[0])
        np.testing.assert_array_equal(variance, copies[1])


def test_a_constant_field_is_the_constant():
    image, variance = planes(dtype=np.float64)
    field = ChebyshevField([[4.7]], box=(0, 0, 8, 7))
    one = PhotoCalib.from_field(field).calibrate_image(image, variance)
    other = PhotoCalib(4.7).calibrate_image(image, variance)
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_allclose(one[1], other[1], rtol=2 * EPS)


def test_planes_of_different_shape_are_refused():
    with pytest.raises(ValueError, match=r"not \(2, 2\) and \(2, 3\)"):
        PhotoCalib(1.0).calibrate_image(np.ones((2, 2)), np.ones((2, 3)))
