"""PSF matching: the model, the basis, the fit, the convolution and their quality."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxcoadd.matching import (
    KernelModel,
    check_psf_stamps,
    fit_kernel,
    gaussian_model_psf,
    kernels_at,
    match_psf,
    matched_stamps,
    matching_basis,
    matching_positions,
    matching_residuals,
    matching_stamp_size,
    model_psf_size,
    noise_correlation,
)
from jaxcoadd.reference import matching as reference

# Each kernel and size compiles anew.
pytestmark = pytest.mark.slow

NO_DATA = 256
STAMP = 31
REGION = (300, 400)
CENTRES = matching_positions(REGION)

match = jax.jit(match_psf, static_argnames="no_data")


@functools.partial(jax.jit, static_argnames=("shape", "order"))
def fit(stamps, model, positions=CENTRES, shape=REGION, order=2):
    basis = matching_basis()
    return fit_kernel(
        stamps, model, basis, positions=positions, shape=shape, order=order
    )


def gaussian(sigma, size=STAMP, shift=(0.0, 0.0)):
    """Make a Gaussian PSF of sum 1."""
    y, x = np.mgrid[:size, :size] - size // 2
    profile = np.exp(-((y - shift[0]) ** 2 + (x - shift[1]) ** 2) / (2 * sigma**2))
    return jnp.asarray(profile / profile.sum(), float)


def draw_planes(seed, shape):
    """Draw an image, its variance and its mask."""
    draw = np.random.default_rng(seed)
    image, variance = draw.normal(5, 10, shape), draw.uniform(1, 2, shape)
    mask = np.where(draw.random(shape) < 0.01, 1 << draw.integers(0, 32, shape), 0)
    return (
        jnp.asarray(image, float),
        jnp.asarray(variance, float),
        jnp.asarray(mask.astype(np.uint32)),
    )


def draw_kernel(seed, size=7, shape=(60, 70)):
    """Draw a kernel that varies a lot."""
    basis = matching_basis(size, sigmas=(1.0, 2.0), degrees=(2, 1))
    coefficients = np.random.default_rng(seed).normal(0, 0.05, (len(basis), 6))
    coefficients[0] = np.arange(6) == 0
    return KernelModel(basis, jnp.asarray(coefficients, float), shape, 2)


# The model and the basis.


def test_model_has_the_printed_numbers(precision):
    model = np.asarray(gaussian_model_psf())
    assert model.shape == (23, 23)
    radius = np.arange(12)
    core, wing = (np.exp(-(radius**2) / (2 * s**2)) for s in (3.26989, 8.17472))
    expected = (core + 0.1 * wing) / 1.1
    # Sigmas are printed to 3e-6, and count twice at up to 11 / 3.27 of them.
    rounding = 2e-5 + 10 * float(np.finfo(model.dtype).eps)
    np.testing.assert_allclose(model[11, 11:] / model[11, 11], expected, rtol=rounding)
    assert model.sum() == pytest.approx(1, abs=rounding)


@pytest.mark.parametrize("fwhm, size", [(7.7, 23), (3.0, 9), (1.0, 5), (8.0, 25)])
def test_model_size_is_three_widths_and_odd(fwhm, size):
    assert model_psf_size(fwhm) == size


@pytest.mark.parametrize(
    "sizes, expected", [((25, 23, 21), 31), ((41, 23, 21), 41), ((5, 5, 15), 21)]
)
def test_stamps_have_room_for_the_kernel(sizes, expected):
    assert matching_stamp_size(*sizes) == expected


def test_only_the_first_function_carries_flux(precision):
    basis = matching_basis()
    assert basis.shape == (27, 21, 21)
    sums = np.asarray(basis, float).sum(axis=(1, 2))
    # 441 pixels, the absolute sum of which is at most 21 for squares that sum to 1.
    rounding = 21 * float(np.finfo(basis.dtype).eps)
    np.testing.assert_allclose(sums, np.arange(27) == 0, atol=rounding)


def test_functions_are_gaussians_times_monomials():
    basis = np.asarray(matching_basis(21, sigmas=(2.0,), degrees=(2,)), float)
    y, x = (np.mgrid[:21, :21] - 10) / 10
    profile = np.exp(-(x**2 + y**2) * 100 / 8)
    products = [profile * x**i * y**j for i in range(3) for j in range(3 - i)]
    both = np.concatenate([basis, products]).reshape(12, -1)
    assert np.linalg.matrix_rank(both, tol=1e-5) == 6


def test_cells_cover_the_region_and_one_cell_beyond():
    centres = matching_positions((200, 100), cell_size=50)
    assert len(centres) == 6 * 4
    np.testing.assert_array_equal(centres[0], [-25.5, -25.5])
    np.testing.assert_array_equal(centres[-1], [224.5, 124.5])


# The fit.


@pytest.mark.slow
@settings(max_examples=6)
@given(sigma=st.floats(1.6, 2.6), model_sigma=st.floats(2.9, 3.2))
def test_gaussian_psfs_become_a_wider_gaussian(sigma, model_sigma):
    stamps = jnp.tile(gaussian(sigma), (len(CENTRES), 1, 1))
    model = gaussian(model_sigma)
    kernel = fit(stamps, model)
    found = matched_stamps(stamps, kernel, positions=CENTRES, size=STAMP)
    # The best kernel, a Gaussian of sigma at most 2.8, is 1.7e-3 at its edge.
    assert np.max(np.abs(found - model[None])) < 1e-3 * np.max(model)


def test_psfs_that_are_the_model_stay(precision):
    model = gaussian(2.5)
    kernel = fit(jnp.tile(model, (len(CENTRES), 1, 1)), model)
    found = matching_residuals(model[None], model, kernel, positions=CENTRES[:1])
    # The narrowest function is not a point, but a sharper one than the PSF.
    assert found.peak[0] < 1e-4
    assert abs(found.sigma[0]) < 1e-4
    assert np.max(np.abs(found.ellipticity)) < 1e-4
    assert not found.deconvolves[0]


def test_psfs_that_are_the_model_need_a_point_if_the_basis_has_one(precision):
    model = gaussian(2.5)
    basis = matching_basis(9, sigmas=(0.1, 2.0), degrees=(0, 2))
    stamps = jnp.tile(model, (len(CENTRES), 1, 1))
    kernel = fit_kernel(stamps, model, basis, positions=CENTRES, shape=REGION)
    found = np.asarray(kernels_at(kernel, jnp.array([[0.0, 0.0]])))[0]
    point = np.zeros((9, 9))
    point[4, 4] = 1
    # A rounding error of the model, times a condition number below 1e3.
    rounding = 1e3 * float(np.finfo(found.dtype).eps)
    np.testing.assert_allclose(found, point, atol=rounding)


@functools.cache
def widening():
    """Make PSFs that widen along x, their model and its kernel."""
    sigmas = 1.8 + 0.5 * CENTRES[:, 1] / REGION[1]
    stamps = jnp.stack([gaussian(sigma) for sigma in sigmas])
    model = gaussian(3.2)
    return stamps, model, fit(stamps, model)


def test_psfs_that_vary_come_out_uniform():
    stamps, model, kernel = widening()
    found = matching_residuals(stamps, model, kernel, positions=CENTRES)
    # The kernel's second moments, those of the model less those of the PSF, are of
    # order 2 in x, but its profile is not: a hundredth of the variation may be left.
    before = np.ptp(1.8 + 0.5 * CENTRES[:, 1] / REGION[1])
    assert np.max(np.abs(found.sigma)) < before / 100
    assert np.max(np.abs(found.ellipticity)) < before / 100
    assert np.max(found.peak) < before / 100
    assert not np.any(found.deconvolves)
    assert np.all(found.noise_gain < 0.1)


def test_residuals_are_differences_of_weighted_moments():
    basis = matching_basis(3, sigmas=(0.1,), degrees=(1,))
    point = jnp.zeros((3, 6)).at[0, 0].set(1)
    kernel = KernelModel(basis, point, REGION, 2)
    y, x = np.mgrid[:STAMP, :STAMP] - STAMP // 2
    stamp = jnp.asarray(np.exp(-(y**2) / (2 * 2.0**2) - x**2 / (2 * 2.5**2)), float)
    model = gaussian(3.0)
    found = matching_residuals(stamp[None], model, kernel, positions=CENTRES[:1])
    # A product of Gaussians is one, whose inverse moments are the sums of theirs.
    yy, xx = (1 / (1 / sigma**2 + 1 / 9) for sigma in (2.0, 2.5))
    expected = np.sqrt((xx + yy) / 2) - np.sqrt(9 / 2)
    # The model ends at 5 sigma, 7 of its own square.
    np.testing.assert_allclose(found.sigma, [expected], atol=1e-5)
    ellipticity = [[(xx - yy) / (xx + yy), 0]]
    np.testing.assert_allclose(found.ellipticity, ellipticity, atol=1e-5)


@pytest.mark.slow
def test_wings_that_a_kernel_cannot_make_are_told():
    stamps = jnp.tile(gaussian(2.0, 41), (len(CENTRES), 1, 1))
    model = gaussian_model_psf(7.7, size=41)
    kernel = fit(stamps, model)
    found = matching_residuals(stamps, model, kernel, positions=CENTRES)
    # Computed apart: the wings have 0.38 of the flux, half of it beyond 10 pixels.
    np.testing.assert_allclose(found.peak, 0.036, atol=1e-3)
    assert np.all(np.abs(found.sigma) < 0.02)
    assert not np.any(found.deconvolves)


def test_flux_of_a_star_is_kept():
    _, _, kernel = widening()
    image = 1e4 * gaussian(2.0, 81, (0.3, -0.2))
    nothing = jnp.zeros(image.shape, jnp.uint32)
    matched, _, _ = match(image, image, nothing, kernel, origin=(100.0, 150.0))
    assert np.nansum(matched) == pytest.approx(1e4, rel=1e-4)


@pytest.mark.parametrize("fill", [np.nan, 0.0])
def test_cells_without_a_psf_are_left_out(fill):
    stamps, model, _ = widening()
    kept = np.arange(len(CENTRES)) % 7 != 3
    # Any order of rows gives the same least squares.
    holes = jnp.where(kept[:, None, None], stamps, fill)
    found = kernels_at(fit(holes, model), jnp.array([[20.0, 30.0]]))
    few = fit(stamps[kept], model, CENTRES[kept])
    expected = kernels_at(few, jnp.array([[20.0, 30.0]]))
    # Rounding times a condition number of 1e4, of a kernel whose peak is 0.04.
    np.testing.assert_allclose(found, expected, atol=0.04 * 1e4 * 2.0**-24)
    residuals = matching_residuals(holes, model, few, positions=CENTRES)
    np.testing.assert_array_equal(np.isnan(residuals.peak), ~kept)
    assert not np.any(residuals.deconvolves)


@pytest.mark.slow
def test_without_any_psf_nothing_is_matched():
    model = gaussian(3.0)
    kernel = fit(jnp.full((len(CENTRES), STAMP, STAMP), jnp.nan), model)
    image, variance, mask = draw_planes(1, (40, 40))
    matched, matched_variance, bits = match(image, variance, mask, kernel)
    assert np.all(np.isnan(matched)) and np.all(np.isinf(matched_variance))
    assert np.all(bits & NO_DATA)


# The convolution.


@pytest.mark.parametrize("seed", [1, 2])
def test_convolution_is_that_of_the_reference(seed, precision):
    kernel = draw_kernel(seed)
    planes = image, variance, mask = draw_planes(seed, (29, 36))
    image = image.at[12, 20].set(jnp.nan).at[0, 0].set(jnp.inf)
    variance = variance.at[20, 5].set(jnp.inf)
    planes = image, variance, mask
    found = match(*planes, kernel, origin=(3.0, 20.0))
    expected = reference.match_psf(
        *(np.asarray(plane) for plane in planes),
        basis=np.asarray(kernel.basis, np.float64),
        coefficients=np.asarray(kernel.coefficients, np.float64),
        shape=kernel.shape,
        order=2,
        origin=(3, 20),
    )
    # 49 products of up to 60, of taps below 1.
    rounding = 49 * 60 * float(np.finfo(image.dtype).eps)
    for plane, right in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_allclose(plane, right, rtol=0, atol=rounding)
    np.testing.assert_array_equal(found[2], expected[2])


def test_interpolation_of_the_kernel_errs_as_little_as_it_says():
    with jax.enable_x64(True):
        kernel = draw_kernel(3)
        image, variance, mask = draw_planes(3, (29, 36))
        options = {
            "basis": np.asarray(kernel.basis),
            "coefficients": np.asarray(kernel.coefficients),
            "shape": kernel.shape,
            "order": 2,
        }
        planes = [np.asarray(plane) for plane in (image, variance, mask)]
        exact = reference.match_psf(*planes, **options, step=1)[0]
        found = match(image, variance, mask, kernel)[0]
    # Of each function 200 / (L - 1)**2 of the coefficients of order 2 in one axis;
    # those of the mixed term are interpolated exactly.
    second = np.abs(options["coefficients"])
    bound = 200 * (second[:, 2] / 69**2 + second[:, 5] / 59**2)
    taps = np.abs(options["basis"]).sum(axis=(1, 2))
    error = np.nanmax(np.abs(np.asarray(found) - exact))
    assert 0 < error < np.sum(bound * taps) * np.abs(planes[0]).max()


def test_a_point_becomes_the_kernel(precision):
    kernel = draw_kernel(4)
    kernel = KernelModel(
        kernel.basis, kernel.coefficients.at[:, 1:].set(0), kernel.shape, kernel.order
    )
    image = jnp.zeros((21, 23), float).at[10, 11].set(1)
    matched, variance, _ = match(image, image, jnp.zeros((21, 23), jnp.uint32), kernel)
    expected = kernels_at(kernel, jnp.array([[10.0, 11.0]]))[0]
    rounding = 8 * float(np.finfo(image.dtype).eps)
    np.testing.assert_allclose(matched[7:14, 8:15], expected, atol=rounding)
    np.testing.assert_allclose(variance[7:14, 8:15], expected**2, atol=rounding)


def test_planes_keep_their_precision():
    with jax.enable_x64(True):
        kernel = draw_kernel(4)
        narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), kernel)
        image, variance, mask = draw_planes(4, (20, 20))
        wide = match(image, variance, mask, narrow)
        assert wide[0].dtype == wide[1].dtype == jnp.float64
        image, variance = image.astype(jnp.float32), variance.astype(jnp.float32)
        found = match(image, variance, mask, kernel)
        assert found[0].dtype == found[1].dtype == jnp.float32


def test_a_constant_stays_constant(precision):
    kernel = draw_kernel(5)
    image = jnp.full((40, 41), 7.0)
    matched, _, _ = match(image, image, jnp.zeros(image.shape, jnp.uint32), kernel)
    inner = matched[3:-3, 3:-3]
    assert np.all(np.isfinite(inner))
    # 49 taps whose absolute sum is at most 4.
    rounding = 49 * 4 * 7 * float(np.finfo(image.dtype).eps)
    np.testing.assert_allclose(inner, 7.0, rtol=0, atol=rounding)


def test_a_bad_pixel_reaches_its_footprint_and_no_further(precision):
    kernel = draw_kernel(6)
    image, variance, mask = draw_planes(6, (40, 41))
    mask = jnp.zeros_like(mask)
    clean = match(image, variance, mask, kernel)
    broken = image.at[18, 21].set(jnp.nan)
    found = match(broken, variance, mask.at[18, 21].set(1), kernel)
    near = np.zeros(image.shape, bool)
    near[15:22, 18:25] = True
    rim = np.ones(image.shape, bool)
    rim[3:-3, 3:-3] = False
    np.testing.assert_array_equal(np.isnan(found[0]), near | rim)
    np.testing.assert_array_equal(np.isinf(found[1]), near | rim)
    np.testing.assert_array_equal(found[2], NO_DATA * (near | rim) + near)
    for plane, before in zip(found, clean, strict=True):
        np.testing.assert_array_equal(plane[~near], before[~near])


def test_infinite_variance_leaves_the_image_alone():
    kernel = draw_kernel(7)
    image, variance, mask = draw_planes(7, (40, 41))
    clean = match(image, variance, mask, kernel)
    found = match(image, variance.at[18, 21].set(jnp.inf), mask, kernel, no_data=2)
    np.testing.assert_array_equal(found[0], clean[0])
    assert np.sum(np.isinf(found[1][3:-3, 3:-3])) == 49
    assert np.all(found[2][15:22, 18:25] & 2)


@pytest.mark.parametrize("lag", [(0, 0), (0, 3), (2, 1)])
def test_white_noise_gets_the_variance_and_the_correlation_that_are_told(lag):
    stamps = jnp.tile(gaussian(2.0), (len(CENTRES), 1, 1))
    kernel = fit(stamps, gaussian(3.0))
    shape = (420, 420)
    noise = jax.random.normal(jax.random.key(3), shape)
    ones, nothing = jnp.ones(shape), jnp.zeros(shape, jnp.uint32)
    matched, variance, _ = match(noise, ones, nothing, kernel)
    inner = np.asarray(matched[10:-10, 10:-10], float)
    correlation = np.asarray(
        noise_correlation(kernels_at(kernel, jnp.array([[50.0, 60.0]]))[0]), float
    )
    gain = float(variance[200, 200])
    one = inner[: 400 - lag[0], : 400 - lag[1]]
    other = inner[lag[0] :, lag[1] :]
    expected = gain * correlation[20 + lag[0], 20 + lag[1]]
    # Variance of a mean of products: the sum of 2 C(d)^2 over lags d, at most, over N.
    scatter = gain * np.sqrt(2 * np.sum(correlation**2) / one.size)
    assert np.mean(one * other) == pytest.approx(expected, abs=5 * scatter)
    assert scatter < gain / 20


def test_correlation_of_noise_sums_to_the_inverse_of_its_gain(precision):
    _, _, kernel = widening()
    taps = kernels_at(kernel, jnp.array([[50.0, 60.0]]))[0].astype(float)
    correlation = noise_correlation(taps)
    assert correlation.shape == (41, 41)
    np.testing.assert_allclose(correlation, correlation[::-1, ::-1], atol=1e-6)
    # 441 taps of sum 1, fitted in 32 bits.
    total = float(jnp.sum(correlation) * jnp.sum(taps**2))
    assert total == pytest.approx(1, abs=441 * 2.0**-23)


# Transformations.


def test_vmap_gives_what_a_loop_gives():
    kernel = draw_kernel(8)
    planes = [draw_planes(seed, (29, 36)) for seed in range(3)]
    stacked = [jnp.stack(kind) for kind in zip(*planes, strict=True)]
    mapped = jax.jit(jax.vmap(match_psf, in_axes=(0, 0, 0, None)))(*stacked, kernel)
    for index, alone in enumerate(planes):
        found, expected = (mapped[0][index], mapped[2][index]), match(*alone, kernel)
        # 49 products of up to 60.
        rounding = 49 * 60 * 2.0**-24
        np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=rounding)
        np.testing.assert_array_equal(found[1], expected[2])


@pytest.mark.slow
def test_fits_of_two_bands_at_once_are_those_of_each():
    stamps, model, _ = widening()
    pair = jnp.stack([stamps, stamps[::-1]])
    mapped = jax.vmap(lambda band: fit(band, model))(pair)
    place = jnp.array([[20.0, 30.0]])
    for index, band in enumerate(pair):
        one = jax.tree.map(lambda leaf, index=index: leaf[index], mapped)
        found, expected = kernels_at(one, place), kernels_at(fit(band, model), place)
        # Rounding times a condition number of 1e4, of a kernel whose peak is 0.04.
        np.testing.assert_allclose(found, expected, atol=0.04 * 1e4 * 2.0**-24)


@pytest.mark.slow
def test_jit_gives_what_eager_gives():
    kernel, planes = draw_kernel(9), draw_planes(9, (29, 36))
    eager, found = match_psf(*planes, kernel), match(*planes, kernel)
    for plane, expected in zip(found[:2], eager[:2], strict=True):
        np.testing.assert_allclose(plane, expected, rtol=0, atol=49 * 60 * 2.0**-24)
    np.testing.assert_array_equal(found[2], eager[2])


@pytest.mark.slow
def test_gradient_of_the_convolution_is_its_slope():
    with jax.enable_x64(True):
        kernel = draw_kernel(10)
        image, variance, mask = draw_planes(10, (16, 18))
        image = image.at[4, 5].set(jnp.nan)

        def inner(change, noise, coefficients):
            model = KernelModel(kernel.basis, coefficients, kernel.shape, kernel.order)
            planes = match(image + change, noise, mask, model)
            return [jnp.where(jnp.isfinite(plane), plane, 0) for plane in planes[:2]]

        point = jnp.zeros(image.shape), variance, kernel.coefficients
        check_grads(inner, point, order=1, modes=["rev"], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_gradient_of_the_fit_is_its_slope():
    with jax.enable_x64(True):
        basis = matching_basis(7, sigmas=(1.0, 2.0), degrees=(2, 1))
        centres = matching_positions((100, 100), cell_size=80)
        sigmas = 1.5 + 0.002 * centres[:, 0]
        stamps = jnp.stack([gaussian(sigma, 13) for sigma in sigmas])

        @jax.jit
        def kernel(stamps, model):
            options = {"positions": centres, "shape": (100, 100)}
            found = fit_kernel(stamps, model, basis, **options)
            return kernels_at(found, jnp.array([[30.0, 40.0]]))

        point = stamps, gaussian(2.2, 13)
        check_grads(
            kernel, point, order=1, modes=["rev"], eps=1e-6, atol=1e-4, rtol=1e-4
        )


def test_missing_pixels_and_psfs_do_not_poison_the_gradient(precision):
    kernel = draw_kernel(11)
    image, variance, mask = draw_planes(11, (29, 36))
    variance = variance.at[3, 3].set(jnp.inf)

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1, 2))
    def slope(image, variance, kernel):
        matched, noise, _ = match_psf(image, variance, mask, kernel)
        good = jnp.isfinite(matched) & jnp.isfinite(noise)
        return jnp.sum(jnp.where(good, matched, 0) * jnp.where(good, noise, 0))

    found = slope(image.at[12, 20].set(jnp.nan), variance, kernel)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found))
    assert found[0][12, 20] == 0 and np.any(found[0] != 0)


@pytest.mark.slow
def test_a_psf_that_is_left_out_has_no_gradient():
    stamps, model, _ = widening()
    stamps = stamps.at[3].set(jnp.nan)
    place = jnp.array([[30.0, 40.0]])
    slope = jax.grad(lambda psfs: jnp.sum(kernels_at(fit(psfs, model), place) ** 2))
    found = slope(stamps)
    assert np.all(np.isfinite(found))
    assert np.all(found[3] == 0) and np.any(found[4] != 0)


# What is refused.


@pytest.mark.slow
def test_a_psf_wider_than_the_model_is_told():
    model = gaussian(2.5)
    stamps = jnp.stack([gaussian(2.0), gaussian(2.9), gaussian(2.5)])
    check_psf_stamps(stamps[::2], model)
    check_psf_stamps(stamps[::2, 8:-8, 8:-8], model)
    with pytest.raises(
        ValueError, match=r"1 of 3 PSFs are wider.*PSF 1, .*deconvolves"
    ):
        check_psf_stamps(stamps, model)
    tiled = jnp.tile(gaussian(2.9), (len(CENTRES), 1, 1))
    kernel = fit(tiled, model)
    found = matching_residuals(tiled, model, kernel, positions=CENTRES)
    assert np.all(found.deconvolves) and np.all(found.noise_gain > 1)


@pytest.mark.parametrize(
    "stamps, message",
    [
        (np.zeros((0, 5, 5)), "no PSFs to match"),
        (np.ones((2, 4, 4)), "the PSF is 4 pixels, which has no central pixel"),
        (np.full((2, 5, 5), np.nan), "PSF 0 of 2 is not finite or is 0"),
        (np.zeros((2, 5, 5)), "PSF 0 of 2 is not finite or is 0"),
    ],
)
def test_psfs_that_cannot_be_used_are_told(stamps, message):
    with pytest.raises(ValueError, match=message):
        check_psf_stamps(stamps, gaussian(2.0))


@pytest.mark.parametrize(
    "stamps, model, message",
    [
        ((9, 30, 30), (31, 31), "the PSF is 30 pixels, which has no central"),
        ((9, 31, 31), (30, 30), "the model PSF is 30 pixels"),
        ((9, 31, 29), (31, 31), "the PSF is 31 by 29 pixels; make it square"),
        ((9, 41, 41), (31, 31), "model PSF is 31 pixels, a PSF 41 .* kernel 21"),
        ((9, 15, 15), (15, 15), "make a model of matching_stamp_size"),
        ((5, 31, 31), (31, 31), "5 PSFs at 5 positions; .* at 6 or more .* order 2"),
    ],
)
def test_stamps_of_wrong_sizes_are_refused(stamps, model, message):
    positions = CENTRES[: stamps[0]]
    with pytest.raises(ValueError, match=message):
        fit(jnp.ones(stamps), jnp.ones(model), positions)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: gaussian_model_psf(-1.0), "fwhm .* is -1.0; it must be positive"),
        (lambda: gaussian_model_psf(jnp.asarray(5.0)), "give the size"),
        (lambda: gaussian_model_psf(5.0, size=10), "the model PSF is 10 pixels"),
        (lambda: matching_basis(20), "the kernel is 20 pixels, which has no central"),
        (lambda: matching_basis(1), "the kernel is 1 pixel; take at least 3"),
        (lambda: matching_basis(sigmas=(1.0,)), "1 sigmas and 3 degrees"),
        (lambda: matching_basis(sigmas=(np.nan, 1.0, 2.0)), "sigma of .* is nan"),
        (lambda: matching_basis(degrees=(1, -1, 0)), "degree of the basis is -1"),
        (lambda: matching_stamp_size(24, 23, 21), "the PSF is 24 pixels"),
        (lambda: matching_positions((0, 5)), r"region is \(0, 5\).* must be positive"),
        (lambda: noise_correlation(jnp.ones((4, 4))), "4 by 4 .* square of odd"),
    ],
)
def test_arguments_without_a_meaning_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_images_that_do_not_fit_are_refused():
    kernel = draw_kernel(1)
    image, variance, mask = draw_planes(1, (6, 20))
    with pytest.raises(ValueError, match=r"\(6, 20\), smaller than the kernel, \(7, 7"):
        match_psf(image, variance, mask, kernel)
    with pytest.raises(ValueError, match=r"variance \(6, 19\) .* must have one shape"):
        match_psf(image, variance[:, 1:], mask, kernel)
