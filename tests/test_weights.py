"""Weights of warps and of pixels."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxcoadd import reference
from jaxcoadd.warps import Warp, stack_warps
from jaxcoadd.weights import (
    EqualWeights,
    VarianceWeights,
    WarpWeights,
    inverse_variance_weights,
    power_of_two,
)
from tests.rounding import clip
from tests.strategies import PLANES, WARPS, both_precisions, warp_stacks

BAD = PLANES.bits(["NO_DATA", "BAD", "SAT", "EDGE"])

weigh_warps = jax.jit(WarpWeights().weigh_warps, static_argnums=1)
weigh_variances = jax.jit(inverse_variance_weights)


def eps_of(array):
    return float(jnp.finfo(array.dtype).eps)


@both_precisions
@given(stack=warp_stacks(weights=False))
def test_weights_equal_the_reference(precision, stack):
    good = (np.asarray(stack.mask) & np.uint32(BAD)) == 0
    eps = eps_of(stack.variance)
    planes = [
        np.asarray(v, float)[g] for v, g in zip(stack.variance, good, strict=True)
    ]
    # Nothing may hang on rounding: warps without scatter are the absent ones.
    assume(all(clip(v, np.ones(len(v)), eps)[1] for v in planes if np.ptp(v)))
    found = weigh_variances(stack.variance, where=jnp.asarray(good))
    wanted = [
        reference.warp_weight(v, m, BAD)
        for v, m in zip(stack.variance, stack.mask, strict=True)
    ]
    # The mean of positive numbers is off by an eps a term.
    np.testing.assert_allclose(found, wanted, rtol=2 * good[0].size * eps)


@both_precisions
@given(stack=warp_stacks(weights=False), odd=st.sampled_from([np.nan, np.inf, -1.0]))
def test_masked_variances_cannot_matter(precision, stack, odd):
    bad = (stack.mask & jnp.uint32(BAD)) != 0
    changed = jnp.where(bad, odd, stack.variance)
    np.testing.assert_array_equal(
        weigh_variances(changed, where=~bad),
        weigh_variances(stack.variance, where=~bad),
    )


@both_precisions
@given(stack=warp_stacks(weights=False), power=st.integers(-20, 20))
def test_weights_scale_as_the_inverse_of_the_variance(precision, stack, power):
    here = jnp.ones(stack.shape, bool)
    np.testing.assert_array_equal(
        weigh_variances(stack.variance * 2.0**power, where=here),
        weigh_variances(stack.variance, where=here) * 2.0**-power,
    )


@pytest.mark.slow
@pytest.mark.parametrize("variance", [np.nan, np.inf, 0.0, -1.0])
def test_a_warp_without_a_positive_variance_is_left_out(precision, variance):
    planes = jnp.stack([jnp.full((2, 3), value) for value in (variance, 4.0)])
    found = inverse_variance_weights(planes, where=jnp.ones((2, 2, 3), bool))
    np.testing.assert_array_equal(found, [0.0, 0.25])


@pytest.mark.slow
def test_a_warp_without_good_pixels_is_left_out(precision):
    found = inverse_variance_weights(
        jnp.ones((1, 2, 3)), where=jnp.zeros((1, 2, 3), bool)
    )
    np.testing.assert_array_equal(found, [0.0])


@both_precisions
@given(stack=warp_stacks())
def test_weights_that_are_given_are_kept(precision, stack):
    weights, present = weigh_warps(stack, BAD)
    np.testing.assert_array_equal(weights, stack.weight)
    np.testing.assert_array_equal(present, stack.present)


@both_precisions
@given(stack=warp_stacks(weights=False, absent=1), empty=st.integers(0, WARPS - 2))
def test_absent_and_empty_warps_have_no_weight(precision, stack, empty):
    image = stack.image.at[empty].set(np.nan)
    weights, present = weigh_warps(dataclasses.replace(stack, image=image), BAD)
    expected = np.ones(WARPS, bool)
    expected[[empty, WARPS - 1]] = False
    np.testing.assert_array_equal(present, expected)
    np.testing.assert_array_equal(weights > 0, expected)


def test_weights_are_differentiable_in_the_variances_that_are_kept():
    with jax.enable_x64(True):
        variance = jnp.asarray(np.random.default_rng(1).gamma(9.0, 1.0, (2, 4, 5)))
        variance = variance.at[0, 1, 1].set(500.0)
        where = jnp.ones(variance.shape, bool).at[1, 2, 2].set(False)

        @jax.jit
        def weigh(variance):
            return inverse_variance_weights(variance, where=where)

        check_grads(weigh, (variance,), order=1, modes=["rev"], rtol=1e-5)
        slopes = jax.grad(lambda v: weigh(v).sum())(variance)
        assert slopes[0, 1, 1] == slopes[1, 2, 2] == 0
        assert (slopes[1, 0] < 0).all()


# Units.


@given(value=st.floats(1e-30, 1e30), sign=st.sampled_from([1, -1]))
def test_the_unit_is_a_power_of_two_just_above(value, sign):
    unit = float(power_of_two(jnp.float32(sign * value)))
    assert np.frexp(unit)[0] == 0.5
    assert 0.5 <= abs(float(np.float32(value))) / unit < 1


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -np.inf])
def test_the_unit_is_one_where_there_is_no_size(precision, value):
    assert power_of_two(jnp.asarray(value, float)) == 1


def test_the_unit_has_no_slope(precision):
    assert jax.grad(power_of_two)(jnp.asarray(3.0, float)) == 0


# Weights of pixels.


@both_precisions
@given(seed=st.integers(0, 99), power=st.integers(-40, 40))
def test_weights_times_their_unit_are_the_weights(precision, seed, power):
    rng = np.random.default_rng(seed)
    weights = jnp.asarray(rng.uniform(0.5, 2.0, 4) * 2.0**power, float)
    found, unit = WarpWeights().weigh_pixels(weights, jnp.ones((4, 3), float))
    assert found.shape == (4, 1)
    assert (jnp.abs(found) <= 1).all()
    np.testing.assert_array_equal(found[:, 0] * unit, weights)


@both_precisions
@given(seed=st.integers(0, 99))
def test_pixels_weigh_the_inverse_of_their_own_variance(precision, seed):
    rng = np.random.default_rng(seed)
    variances = rng.gamma(4.0, 0.25, (4, 3)).astype(np.float32)
    variances[0, 0], variances[1, 1] = 0.0, -2.0
    found, unit = VarianceWeights().weigh_pixels(
        jnp.ones(4, float), jnp.asarray(variances, float)
    )
    # In 32 bits, as the original keeps them, whatever is computed in.
    with np.errstate(divide="ignore"):
        wanted = np.float32(1) / variances
    np.testing.assert_array_equal(found * unit[None], wanted)


def test_equal_weights_are_ones(precision):
    weights = jnp.array([3.0, 4.0])
    found, unit = EqualWeights().weigh_pixels(weights, jnp.ones((2, 3)))
    np.testing.assert_array_equal(found, [[1.0], [1.0]])
    assert unit == 1


@pytest.mark.parametrize("weighting", [VarianceWeights(), EqualWeights()])
def test_weights_of_pixels_leave_no_warp_out(weighting):
    nothing = np.full((2, 3), np.nan)
    stack = stack_warps([Warp(nothing, nothing)], size=2)
    weights, present = weighting.weigh_warps(stack, BAD)
    np.testing.assert_array_equal(weights, 1)
    np.testing.assert_array_equal(present, stack.present)
