import dataclasses

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxcoadd import Warp, stack_warps
from jaxcoadd.zero_points import (
    interpolate_factors,
    mean_factor,
    scale_planes,
    scale_zero_points,
    zero_point_factors,
)

EPS = np.finfo(np.float64).eps
COORDINATES = st.floats(-50, 50, width=32)
MAGNITUDES = st.floats(18, 34)


def simulated_stack(zero_points, *, size=None, dtype=None, seed=0):
    rng = np.random.default_rng(seed)
    dtype = dtype or jnp.zeros(0).dtype
    warps = [
        Warp(
            rng.normal(0, 30, (3, 5)).astype(dtype),
            rng.uniform(1, 9, (3, 5)).astype(dtype),
            rng.integers(0, 99, (3, 5)).astype(np.uint32),
            zero_point=float(zero_point),
        )
        for zero_point in zero_points
    ]
    return stack_warps(warps, weights=[1.0, 2.0, 3.0, 4.0][: len(warps)], size=size)


def tolerance(array, zero_point_span=40.0):
    """Relative error of a factor from zero points below this magnitude.

    The difference of the zero points is rounded by half an eps of the span, and the
    factor changes by 0.92 of that; as much again for the power.
    """
    return 2 * zero_point_span * float(jnp.finfo(array.dtype).eps)


def test_factors_are_those_of_magnitudes():
    factors = zero_point_factors(np.array([25.5, 24.0, 21.5, 31.4]), 24.0)
    np.testing.assert_allclose(factors, [10**-0.6, 1, 10, 10**-2.96], rtol=20 * EPS)
    assert factors[1] == 1


@given(zero_point=st.floats(-60, 60))
def test_factor_is_exactly_one_for_equal_zero_points(zero_point):
    assert zero_point_factors(zero_point, zero_point) == 1
    for function in (zero_point_factors, jax.jit(zero_point_factors)):
        same = jnp.full(5, zero_point)
        np.testing.assert_array_equal(function(same, same[0]), 1)


def test_warps_at_the_zero_point_keep_every_bit(precision):
    stack = simulated_stack([27.3, 25.0, 27.3])
    odd = jnp.array([np.nan, np.inf, -np.inf, -0.0, 1e30], stack.image.dtype)
    stack = dataclasses.replace(stack, image=stack.image.at[:, 0].set(odd))
    for function in (scale_zero_points, jax.jit(scale_zero_points)):
        scaled = function(stack, 27.3)
        for name in ("image", "variance"):
            before, after = getattr(stack, name), getattr(scaled, name)
            for index in (0, 2):
                assert before[index].tobytes() == after[index].tobytes()
            assert before[1].tobytes() != after[1].tobytes()


@given(zero_points=st.lists(MAGNITUDES, min_size=1, max_size=4), target=MAGNITUDES)
def test_flux_scales_the_image_and_squares_in_the_variance(zero_points, target):
    stack = simulated_stack(zero_points)
    scaled = scale_zero_points(stack, target)
    factor = 10 ** (-0.4 * (np.array(zero_points) - target))[:, None, None]
    rtol = tolerance(stack.image)
    np.testing.assert_allclose(scaled.image, stack.image * factor, rtol=rtol)
    np.testing.assert_allclose(
        scaled.variance, stack.variance * factor**2, rtol=2 * rtol
    )
    np.testing.assert_array_equal(
        scaled.zero_point, np.full(len(zero_points), target, stack.image.dtype)
    )


@given(middle=MAGNITUDES, last=MAGNITUDES)
def test_two_steps_are_one_step(middle, last):
    stack = simulated_stack([22.0, 31.4])
    twice = scale_zero_points(scale_zero_points(stack, middle), last)
    once = scale_zero_points(stack, last)
    rtol = 3 * tolerance(stack.image)
    np.testing.assert_allclose(twice.image, once.image, rtol=rtol)
    np.testing.assert_allclose(twice.variance, once.variance, rtol=2 * rtol)


def test_the_first_warp_gives_the_default_zero_point(precision):
    stack = simulated_stack([25.1, 31.4, 20.0], size=4)
    scaled = scale_zero_points(stack)
    np.testing.assert_array_equal(scaled.image[0], stack.image[0])
    np.testing.assert_array_equal(
        scaled.image, scale_zero_points(stack, stack.zero_point[0]).image
    )


@pytest.mark.slow
def test_absent_warps_do_not_matter(precision):
    stack = simulated_stack([25.1, 31.4])
    padded = simulated_stack([25.1, 31.4], size=5)
    padded = dataclasses.replace(
        padded, zero_point=padded.zero_point.at[2:].set(-500.0)
    )
    scaled, expected = scale_zero_points(padded, 28.0), scale_zero_points(stack, 28.0)
    for name in ("image", "variance", "zero_point"):
        result = getattr(scaled, name)
        np.testing.assert_array_equal(result[:2], getattr(expected, name))
        assert np.isfinite(result).all()
    slope = jax.grad(lambda z: scale_zero_points(padded, z).variance.sum())(28.0)
    assert np.isfinite(slope)


def test_masks_and_weights_are_untouched(precision):
    stack = simulated_stack([25.1, 31.4])
    scaled = scale_zero_points(stack, 20.0)
    for name in ("mask", "weight", "present"):
        np.testing.assert_array_equal(getattr(scaled, name), getattr(stack, name))
    assert scaled.planes == stack.planes


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences():
    with jax.enable_x64(True):
        stack = simulated_stack([25.1, 31.4, 27.0])

        def planes(image, variance, zero_points, zero_point):
            image, variance, zero_points = map(
                jnp.asarray, (image, variance, zero_points)
            )
            changed = dataclasses.replace(
                stack, image=image, variance=variance, zero_point=zero_points
            )
            scaled = scale_zero_points(changed, zero_point)
            return scaled.image, scaled.variance

        # One warp is at the common zero point: the slope is there all the same.
        given_values = (stack.image, stack.variance, stack.zero_point, jnp.array(27.0))
        check_grads(planes, given_values, order=2, modes=["fwd", "rev"])
        slope = jax.grad(lambda z: planes(*given_values[:3], z)[0][2].sum())(27.0)
        expected = 0.4 * np.log(10) * stack.image[2].sum()
        np.testing.assert_allclose(slope, expected, rtol=1e-12)


@pytest.mark.parametrize("zero_point", [None, 24.5])
def test_jit_equals_eager(precision, zero_point):
    stack = simulated_stack([25.1, 31.4, 27.0], size=4)
    eager = scale_zero_points(stack, zero_point)
    jitted = jax.jit(lambda stack: scale_zero_points(stack, zero_point))(stack)
    rtol = tolerance(stack.image)
    np.testing.assert_allclose(jitted.image, eager.image, rtol=rtol)
    np.testing.assert_allclose(jitted.variance, eager.variance, rtol=2 * rtol)


def test_one_compilation_serves_all_zero_points():
    traces = []

    @jax.jit
    def function(stack, zero_point):
        traces.append(zero_point)
        return scale_zero_points(stack, zero_point)

    stack = simulated_stack([25.1, 31.4])
    for zero_point in (20.0, 25.1, 30.0):
        function(stack, zero_point)
    assert len(traces) == 1


def test_results_have_the_precision_of_the_warps(precision):
    stack = simulated_stack([25.1, 31.4], dtype=np.float32)
    for zero_point in (27.0, np.float64(27.0), jnp.float32(27.0)):
        scaled = scale_zero_points(stack, zero_point)
        for array in (scaled.image, scaled.variance, scaled.zero_point):
            assert array.dtype == jnp.float32


@given(
    planes=hnp.arrays(np.float32, (2, 3, 4), elements=st.floats(0, 1e6, width=32)),
    factor=st.floats(1e-3, 1e3),
)
def test_planes_are_scaled_alike_in_numpy_and_jax(planes, factor):
    for scale in (factor, np.full((3, 4), factor)):
        host = scale_planes(*planes, scale)
        device = scale_planes(*map(jnp.asarray, planes), scale)
        for one, other in zip(host, device, strict=True):
            assert isinstance(one, np.ndarray)
            assert isinstance(other, jax.Array)
            assert one.dtype == other.dtype == np.float32
            # XLA flushes subnormal numbers.
            np.testing.assert_array_max_ulp(
                np.where(one < 1e-37, 0, one), np.where(other < 1e-37, 0, other), 0
            )


def test_a_number_and_an_image_of_factors_round_as_they_should():
    variance, factor = np.float32([[1.1, 7.7, 3.3]]), np.float32(np.pi)
    by_number = scale_planes(variance, variance, np.pi)[1]
    by_image = scale_planes(variance, variance, np.full((1, 3), np.pi))[1]
    np.testing.assert_array_equal(by_number, variance * (factor * factor))
    np.testing.assert_array_equal(by_image, (variance * factor) * factor)
    assert (by_number != by_image).any()


@given(
    corners=hnp.arrays(np.float64, (8, 2), elements=COORDINATES),
    plane=st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(-2, 2)),
)
def test_a_plane_is_interpolated_to_itself(corners, plane):
    # A frame around the image, so that no pixel is outside.
    frame = np.array([[-60, -60], [-60, 60], [60, -60], [60, 60]], float)
    x, y = np.unique(np.concatenate([corners, frame]), axis=0).T
    a, b, c = plane
    factors = interpolate_factors(x, y, a + b * x + c * y, shape=(5, 7), origin=(-3, 4))
    rows, columns = np.mgrid[4:9, -3:4]
    # Corners of very thin triangles carry the rounding of a few hundred.
    np.testing.assert_allclose(factors, a + b * columns + c * rows, atol=1e-6)


@given(
    points=hnp.arrays(np.float64, (6, 2), elements=COORDINATES),
    values=hnp.arrays(np.float64, 6, elements=st.floats(0.5, 2)),
)
def test_interpolation_stays_between_the_values_of_the_table(points, values):
    factors = interpolate_factors(*points.T, values, shape=(6, 6), origin=(-90, -3))
    # 1e-9: weights of the corners of a thin triangle may leave [0, 1] by that.
    assert values.min() - 1e-9 <= factors.min()
    assert factors.max() <= values.max() + 1e-9


def test_points_at_pixel_centres_have_their_values():
    rng = np.random.default_rng(5)
    flat = rng.choice(20 * 30, 25, replace=False)
    y, x = np.divmod(flat, 30)
    values = rng.uniform(0.5, 2, 25)
    factors = interpolate_factors(
        x + 100.0, y - 50.0, values, shape=(20, 30), origin=(100, -50)
    )
    np.testing.assert_allclose(factors[y, x], values, rtol=1e-12)


def test_outside_is_the_value_at_the_nearest_edge_of_the_triangles():
    x, y = np.array([2.0, 6.0, 2.0, 6.0, 4.0]), np.array([2.0, 2.0, 6.0, 6.0, 4.0])
    values = np.array([1.0, 2.0, 3.0, 4.0, 9.0])
    factors = interpolate_factors(x, y, values, shape=(9, 9))
    np.testing.assert_allclose(factors[0, :], [1, 1, 1, 1.25, 1.5, 1.75, 2, 2, 2])
    np.testing.assert_allclose(factors[:, 8], [2, 2, 2, 2.5, 3, 3.5, 4, 4, 4])
    np.testing.assert_allclose(factors[4, 4], 9)
    np.testing.assert_allclose(factors[4, 3], (9 + 2) / 2)


def test_points_on_one_line_are_interpolated_along_it():
    x, y = np.array([3.0, 0.0, 1.5]), np.array([3.0, 0.0, 1.5])
    factors = interpolate_factors(x, y, np.array([4.0, 1.0, 3.0]), shape=(5, 5))
    diagonal = [1, 1 + 4 / 3, 3 + 1 / 3, 4, 4]
    np.testing.assert_allclose(np.diag(factors), diagonal)
    np.testing.assert_allclose(factors[0, 2], diagonal[1])
    np.testing.assert_allclose(factors[4, 1], 3 + 2 / 3)


def test_one_position_gives_a_constant_with_the_mean_of_its_values():
    x, y = np.array([3.0, 3.0]), np.array([-2.0, -2.0])
    for table in ((x[:1], y[:1], np.array([1.5])), (x, y, np.array([1.0, 2.0]))):
        np.testing.assert_array_equal(interpolate_factors(*table, shape=(2, 3)), 1.5)


def test_zero_points_are_interpolated_before_they_become_factors():
    x, y = np.array([0.0, 4.0]), np.zeros(2)
    zero_points = interpolate_factors(x, y, np.array([27.0, 29.5]), shape=(1, 5))
    factors = zero_point_factors(zero_points, 27.0)
    np.testing.assert_allclose(factors[0], 10.0 ** (-0.25 * np.arange(5)))
    image, variance = scale_planes(np.ones((1, 5)), np.ones((1, 5)), factors)
    np.testing.assert_allclose(variance, image**2)


def test_the_mean_factor_is_the_same_everywhere():
    x = y = np.arange(3.0)
    factors = mean_factor(x, y, np.array([1.0, 2.0, 6.0]), shape=(2, 4))
    np.testing.assert_array_equal(factors, np.full((2, 4), 3.0))


@pytest.mark.parametrize("function", [mean_factor, interpolate_factors])
def test_bad_tables_are_refused(function):
    ones = np.ones(3)
    with pytest.raises(
        ValueError, match=r"of one length of 1 or more, not \[3, 3, 2\]"
    ):
        function(ones, ones, ones[:2], shape=(2, 2))
    with pytest.raises(
        ValueError, match=r"of one length of 1 or more, not \[0, 0, 0\]"
    ):
        function(ones[:0], ones[:0], ones[:0], shape=(2, 2))
    with pytest.raises(ValueError, match="finite numbers"):
        function(ones, ones, np.array([1.0, np.nan, 1.0]), shape=(2, 2))
