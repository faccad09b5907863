import dataclasses

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from jaxcoadd.detection import (
    BackgroundConfig,
    BackgroundError,
    DetectionConfig,
    VarianceScaleConfig,
    areas,
    count_pixels,
    detect,
    find_footprints,
    gaussian_taps,
    grow_footprints,
    growth_radius,
    growth_stencil,
    image_factor,
    is_above,
    is_significant,
    measure_background,
    merge_footprints,
    pixel_factor,
    scale_variance,
    smooth_planes,
)
from jaxcoadd.detection.backgrounds import cell_means, evaluate_rows
from jaxcoadd.detection.splines import curve_through, evaluate_curves
from jaxcoadd.masks import LSST_PLANES
from jaxcoadd.spans import SpanSet
from tests.strategies import both_precisions

REGIONS = hnp.arrays(bool, (9, 11))
THRESHOLDS = (2.0, 4.9, 7.5, 375.0, 1 / 3)
PLAIN = DetectionConfig(smooth=False, background=None, n_sigma_to_grow=0)


def rule_in_64_bits(image, variance, threshold):
    """Apply the rule of the original: the root of 32 bits, the product of 64."""
    with np.errstate(invalid="ignore"):
        return image.astype(float) >= threshold * np.sqrt(variance).astype(float)


@both_precisions
@given(seed=st.integers(0, 999), threshold=st.sampled_from(THRESHOLDS))
def test_thresholds_hold_to_the_last_bit(seed, threshold, precision):
    rng = np.random.default_rng(seed)
    variance = rng.gamma(1.0, 10.0, (16, 16)).astype(np.float32)
    limit = (threshold * np.sqrt(variance).astype(float)).astype(np.float32)
    image = limit + np.spacing(limit) * rng.integers(-1, 2, limit.shape)
    image = image.astype(np.float32)
    found = is_significant(
        jnp.asarray(image, float), jnp.asarray(variance, float), threshold
    )
    expected = rule_in_64_bits(image, variance, threshold)
    assert 0 < expected.sum() < expected.size
    # A threshold such as 4.9 has digits that 32 bits do not tell apart.
    exact = threshold * np.sqrt(variance).astype(float)
    sure = (np.float32(threshold) == threshold) | (abs(image - exact) > 1e-13 * exact)
    np.testing.assert_array_equal(np.asarray(found)[sure], expected[sure])


def test_only_numbers_are_significant(precision):
    nan, inf = np.nan, np.inf
    image = jnp.array([[nan, 9.0, 9.0, 9.0, inf, 0.0, -1.0, -0.0, inf]])
    variance = jnp.array([[1.0, nan, -1.0, inf, inf, 0.0, 0.0, 0.0, 1.0]])
    found = is_significant(image, variance, 5.0)
    assert found.tolist() == [[*3 * [False], False, True, True, False, True, True]]


@pytest.mark.parametrize("threshold", [0.1, 3.0, 1e-3])
def test_a_value_just_at_the_threshold_is_above(threshold, precision):
    values = np.float32(threshold)
    near = np.array([[np.nextafter(values, np.float32(k)) for k in (-9, 9)]])
    image = np.append(near, [[values, np.nan]], axis=1)
    found = is_above(jnp.asarray(image, float), threshold)
    np.testing.assert_array_equal(found, image.astype(float) >= threshold)


@given(region=REGIONS, origin=st.tuples(st.integers(-5, 5), st.integers(-5, 5)))
def test_footprints_are_joined_by_corners_too(region, origin):
    labels, n = ndimage.label(region, np.ones((3, 3)))
    expected = {SpanSet.from_image(labels == k, origin) for k in range(1, n + 1)}
    found = find_footprints(region, origin=origin)
    assert set(found) == expected and len(found) == n
    large = find_footprints(region, min_pixels=4, origin=origin)
    assert set(large) == {part for part in expected if part.area >= 4}


@given(region=REGIONS, strong=REGIONS)
def test_footprints_without_a_strong_pixel_are_left_out(region, strong):
    kept = set(find_footprints(region, strong=strong))
    for part in find_footprints(region):
        assert (part in kept) == (part.to_image(region.shape) & strong).any()


@given(region=REGIONS, radius=st.integers(0, 4), isotropic=st.booleans())
def test_grown_footprints_are_the_parts_of_the_dilated_region(
    region, radius, isotropic
):
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    stencil = (x**2 + y**2 <= radius**2) if isotropic else abs(x) + abs(y) <= radius
    dilated = ndimage.binary_dilation(region, stencil)
    grown = grow_footprints(
        find_footprints(region),
        growth_stencil(radius, isotropic=isotropic),
        within=(0, 0, 10, 8),
    )
    assert grown == find_footprints(dilated)


@given(first=REGIONS, second=REGIONS)
def test_merged_footprints_are_those_of_the_union_in_either_order(first, second):
    sets = find_footprints(first), find_footprints(second)
    merged = merge_footprints(*sets)
    assert merged == merge_footprints(*sets[::-1]) == find_footprints(first | second)


@given(region=REGIONS, good=REGIONS)
def test_pixels_of_footprints_are_counted_on_the_image_alone(region, good):
    footprints = (SpanSet.box(-5, -5, 2, 2), *find_footprints(region))
    counts = [(f.to_image(good.shape) & good).sum() for f in footprints]
    np.testing.assert_array_equal(count_pixels(footprints, good), counts)
    assert areas(footprints).tolist() == [f.area for f in footprints]


@pytest.mark.parametrize(
    ("sigma", "n_sigma", "radius"),
    [(1.7, 0.4, 1), (1.2, 0.4, 0), (1.7, 2.4, 4), (1.7, 0, 0)],
)
def test_growth_is_rounded_to_pixels(sigma, n_sigma, radius):
    assert growth_radius(sigma, n_sigma) == radius


def test_smoothing_is_a_correlation_with_the_gaussian(precision):
    rng = np.random.default_rng(1)
    image, variance = rng.normal(size=(2, 20, 24)).astype(np.float32)
    taps = gaussian_taps(1.3)
    assert len(taps) == 9 and abs(taps.sum() - 1) < 1e-15
    mask = jnp.zeros((20, 24), jnp.uint32).at[10, 12].set(4)

    def smooth(image, variance, mask):
        return smooth_planes(image, variance, mask, taps)

    planes = jnp.asarray(image, float), jnp.asarray(variance**2, float), mask
    found = smooth(*planes)
    for plane, kernel, given_plane in zip(
        found[:2], (taps, taps**2), planes[:2], strict=True
    ):
        expected = np.asarray(given_plane, float)
        for axis in (0, 1):
            expected = ndimage.correlate1d(expected, kernel, axis=axis)
        # 18 sums of terms below 5, each rounded.
        tolerance = 18 * 5 * float(jnp.finfo(plane.dtype).eps)
        np.testing.assert_allclose(plane, expected[4:-4, 4:-4], atol=tolerance, rtol=0)
    assert (np.asarray(found[2]) == 4).sum() == 81
    for eager, compiled in zip(found, jax.jit(smooth)(*planes), strict=True):
        np.testing.assert_allclose(eager, compiled, rtol=1e-5, atol=1e-6)


def test_smoothing_can_be_differentiated():
    taps = gaussian_taps(0.5)
    mask = jnp.zeros((5, 6), jnp.uint32)

    def total(image):
        return smooth_planes(image, image, mask, taps)[0].sum()

    with jax.enable_x64(True):
        image = jnp.asarray(np.random.default_rng(0).normal(size=(5, 6)))
        jax.test_util.check_grads(total, (image,), 1)


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan, np.inf])
def test_a_psf_without_a_width_is_refused(sigma):
    with pytest.raises(ValueError, match="positive and finite"):
        gaussian_taps(sigma)


def test_an_image_smaller_than_the_kernel_is_refused():
    image = jnp.ones((5, 40))
    with pytest.raises(ValueError, match=r"\(5, 40\) is smaller than the kernel of 9"):
        smooth_planes(image, image, jnp.zeros((5, 40), jnp.uint32), gaussian_taps(1.3))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8])
def test_curves_pass_their_points_and_lines_stay_lines(n):
    rng = np.random.default_rng(n)
    knots = np.cumsum(rng.uniform(1, 3, n))
    values = rng.normal(size=(n, 3))
    at_knots = evaluate_curves(curve_through(knots, values), knots, knots)
    np.testing.assert_allclose(at_knots, values, atol=1e-13)
    if n > 1:
        far = np.linspace(-20, 40, 9)
        line = curve_through(knots, (2 * knots - 1)[:, None])
        np.testing.assert_allclose(
            evaluate_curves(line, knots, far)[:, 0], 2 * far - 1, atol=1e-11
        )


def test_a_corner_between_straight_lines_stays_a_corner():
    knots = np.arange(7.0)
    values = np.abs(knots - 3)[:, None]
    found = evaluate_curves(curve_through(knots, values), knots, np.arange(0, 6, 0.25))
    np.testing.assert_allclose(found[:, 0], np.abs(np.arange(0, 6, 0.25) - 3))


CELLS = BackgroundConfig(16)


@pytest.mark.parametrize("shape", [(48, 70), (90, 100), (10, 12)])
def test_a_sloped_plane_is_its_own_background(shape, precision):
    y, x = np.mgrid[: shape[0], : shape[1]]
    sky = 100 + (0.5 * x - 0.25 * y if min(shape) > 16 else 0 * x)
    image = jnp.asarray(sky, float)
    found = measure_background(
        image, jnp.zeros(shape, jnp.uint32), planes=LSST_PLANES, config=CELLS
    )
    # Means of cells are kept in 32 bits; what is beyond the cells is extrapolated.
    np.testing.assert_allclose(found, image, atol=1e-4)


def test_masked_cells_are_passed_over(precision):
    y, x = np.mgrid[:64, :64]
    bad = (x // 16 == 1) | ((x < 16) & (y < 16)) | ((x >= 48) & (y >= 48))
    image = jnp.where(bad, 1e6, jnp.asarray(3.0 + 0.125 * x, float))
    mask = jnp.asarray(np.where(bad, 1, 0).astype(np.uint32))
    found = measure_background(image, mask, planes=LSST_PLANES, config=CELLS)
    np.testing.assert_allclose(found, 3.0 + 0.125 * x, atol=1e-3)


def test_a_background_needs_pixels():
    with pytest.raises(BackgroundError, match="all pixels are masked by BAD, EDGE"):
        measure_background(
            jnp.ones((20, 20)),
            jnp.ones((20, 20), jnp.uint32),
            planes=LSST_PLANES,
            config=CELLS,
        )
    with pytest.raises(ValueError, match="bin_size must be 1 or more, not 0"):
        BackgroundConfig(0)


@pytest.mark.slow
def test_compiled_parts_equal_eager_ones(precision):
    rng = np.random.default_rng(3)
    image = jnp.asarray(rng.normal(size=(20, 21)), float)
    good = jnp.asarray(rng.random((20, 21)) < 0.8)
    ends = jnp.array([7, 13, 20], jnp.int32), jnp.array([10, 21], jnp.int32)
    pieces = jnp.asarray(rng.normal(size=(4, 5, 3)), float)
    piece, u = jnp.array([0, 2, 1], jnp.int32), jnp.array([0.5, 1.0, 2.0])
    for function, arguments in (
        (cell_means, (image, good, *ends)),
        (pixel_factor, (image, 1 + image**2, good)),
        (image_factor, (image, 1 + image**2, good)),
        (evaluate_rows, (pieces, piece, u)),
    ):
        eager, compiled = function(*arguments), jax.jit(function)(*arguments)
        np.testing.assert_allclose(eager, compiled, rtol=1e-5, atol=1e-6)


def correlated_noise(correlations, size=510):
    """Draw unit noise whose neighbours in x and y correlate by so much."""
    noise = np.random.default_rng(7).normal(size=(size, size))
    x, y = correlations
    kernel = np.array([[0, y, 0], [x, 1, x], [0, y, 0]], float) / 2
    kernel[1, 1] = 1.0
    noise = ndimage.convolve(noise, kernel, mode="wrap")
    return noise / np.sqrt((kernel**2).sum())


@pytest.mark.parametrize("correlations", [(0, 0), (-0.2, 0), (0.15, 0.25)])
def test_unit_noise_needs_no_factor(correlations):
    image = jnp.asarray(correlated_noise(correlations), jnp.float32)
    mask = jnp.zeros(image.shape, jnp.uint32)
    ones = jnp.ones_like(image)
    found = scale_variance(image, ones, mask)
    factors = [
        factor(image, ones, mask == 0) for factor in (pixel_factor, image_factor)
    ]
    np.testing.assert_allclose(*factors, rtol=1e-6)
    # Quartiles of 260 100 numbers: 0.3 %; 0.74 for 0.7413: 0.35 %; the background.
    np.testing.assert_allclose(found.factor, 1, rtol=0.02)


@both_precisions
@given(scale=st.sampled_from([0.125, 0.5, 2.0]), seed=st.integers(0, 9))
def test_the_scaled_variance_does_not_depend_on_its_scale(scale, seed, precision):
    rng = np.random.default_rng(seed)
    image = jnp.asarray(rng.normal(size=(64, 64)), float)
    variance = jnp.asarray(rng.gamma(20, 1 / 20, (64, 64)), float)
    mask = jnp.asarray((rng.random((64, 64)) < 0.1).astype(np.uint32))
    one = scale_variance(image, variance, mask)
    other = scale_variance(image, scale * variance, mask)
    np.testing.assert_allclose(one.factor, scale * other.factor, rtol=1e-5)
    np.testing.assert_allclose(one.variance, other.variance, rtol=1e-5)


def test_a_factor_beyond_the_limit_is_not_believed():
    image = jnp.asarray(10 * np.random.default_rng(0).normal(size=(64, 64)))
    mask, ones = jnp.zeros((64, 64), jnp.uint32), jnp.ones((64, 64))
    found = scale_variance(image, ones, mask)
    assert np.isnan(found.factor) and image_factor(image, ones, mask == 0) > 10
    np.testing.assert_array_equal(found.variance, ones)
    wide = VarianceScaleConfig(limit=200.0)
    assert scale_variance(image, ones, mask, config=wide).factor > 90


def test_a_variance_without_pixels_is_left_as_it_is():
    image, ones = jnp.ones((8, 8)), jnp.ones((8, 8), jnp.uint32)
    found = scale_variance(image, image, ones)
    assert np.isnan(found.factor)
    np.testing.assert_array_equal(found.image, image)
    one_good = ones.at[2, 3].set(0)
    assert scale_variance(image, image, one_good).factor == 1


def test_a_wrong_configuration_is_refused():
    with pytest.raises(ValueError, match="no mask plane 'SATURATED'"):
        scale_variance(
            jnp.ones((8, 8)),
            jnp.ones((8, 8)),
            jnp.zeros((8, 8), jnp.uint32),
            config=VarianceScaleConfig(ignored_planes=("SATURATED",)),
        )
    with pytest.raises(ValueError, match="is positive, not 0"):
        VarianceScaleConfig(limit=0)
    with pytest.raises(ValueError, match="polarity is one of positive, negative, both"):
        DetectionConfig(polarity="up")
    with pytest.raises(ValueError, match="unit is one of value, stdev, pixel_stdev"):
        DetectionConfig(unit="adu")


def blank(shape=(40, 50)):
    """Return an image of zeros, with unit variance and no mask."""
    return jnp.zeros(shape), jnp.ones(shape), jnp.zeros(shape, jnp.uint32)


def test_the_negative_side_is_the_positive_one_of_the_negative_image():
    noise = jnp.asarray(np.random.default_rng(2).normal(size=(40, 50)))
    _, variance, mask = blank()
    config = dataclasses.replace(PLAIN, threshold=1.0)
    up, down = (dataclasses.replace(config, polarity=p) for p in ("positive", "both"))
    positive = detect(noise, variance, mask, sigma=1.5, config=up)
    both = detect(-noise, variance, mask, sigma=1.5, config=down)
    assert positive.positive == both.negative and not positive.negative
    assert len(both.positive) > 5


def test_masks_show_the_grown_footprints_and_the_border():
    image, variance, mask = blank()
    mask = mask | jnp.uint32(1 << LSST_PLANES.bit("DETECTED"))
    image = image.at[20, 25].set(1000.0)
    config = DetectionConfig(background=None)
    found = detect(image, variance, mask, sigma=1.5, config=config, origin=(7, -3))
    bits = {n: 1 << LSST_PLANES.bit(n) for n in ("DETECTED", "EDGE")}
    (footprint,) = found.positive
    np.testing.assert_array_equal(
        (found.mask & bits["DETECTED"]) != 0, footprint.to_image((40, 50), (7, -3))
    )
    edge = np.asarray(found.mask & bits["EDGE"]) != 0
    assert not edge[5:-5, 5:-5].any() and edge.sum() == 40 * 50 - 30 * 40
    assert footprint.centroid == (32.0, 17.0)


def test_original_footprints_are_those_before_growth():
    image, variance, mask = blank()
    image = image.at[20, 25:29].set(9.0)
    config = dataclasses.replace(PLAIN, n_sigma_to_grow=2.0, return_original=True)
    found = detect(image, variance, mask, sigma=1.5, config=config)
    assert found.positive == (SpanSet.box(25, 20, 28, 20),)
    assert (np.asarray(found.mask) != 0).sum() > 4


def test_pure_noise_is_detected_at_the_gaussian_rate():
    noise = np.random.default_rng(11).normal(size=(500, 500))
    config = dataclasses.replace(PLAIN, threshold=3.0, polarity="both")
    planes = jnp.asarray(noise), jnp.ones((500, 500)), jnp.zeros((500, 500), jnp.uint32)
    found = detect(*planes, sigma=1.5, config=config)
    pixels = sum(part.area for part in (*found.positive, *found.negative))
    expected = 2.6998e-3 * 250_000
    assert abs(pixels - expected) < 4 * np.sqrt(expected)
    strict = dataclasses.replace(config, threshold=7.5, min_pixels=4)
    nothing = detect(*planes, sigma=1.5, config=strict)
    assert nothing.positive == nothing.negative == ()


def test_a_background_is_measured_without_what_was_detected():
    image, variance, mask = blank((128, 128))
    image = image + 0.2
    image = image.at[60:64, 60:64].set(500.0)
    found = detect(image, variance, mask, sigma=1.5, config=DetectionConfig())
    far = np.asarray(found.image)[:40]
    np.testing.assert_allclose(far, 0, atol=1e-5)
    assert not (np.asarray(found.mask) & (1 << 6)).any()
