"""The online mean: any order, any split, and the mean of the whole stack."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jaxcoadd as jc

PLANES = jc.LSST_PLANES
SHAPE = (4, 5)
MEAN = jc.CoaddConfig(statistic=jc.Mean(), interpolate=False)
START = jax.jit(jc.start_sums)
ADD = jax.jit(jc.accumulate)
FINALIZE = jax.jit(jc.finalize)
STACK = jax.jit(jc.stack_pixels)
ERRORS = (jc.FromVariances(), jc.FromScatter(), jc.Mosaic())


def draw_warps(seed, number, pedestal=0.0):
    """Draw warps with masked and NaN pixels, and a weight for each."""
    draw = np.random.default_rng(seed)
    warps = []
    for _ in range(number):
        image = draw.normal(pedestal, 1, SHAPE)
        image[draw.random(SHAPE) < 0.05] = np.nan
        chosen = draw.choice([0, 1, 2, 32, 256], SHAPE, p=[0.8, 0.05, 0.05, 0.05, 0.05])
        warps.append(
            jc.Warp(image, draw.uniform(1, 2, SHAPE), chosen.astype(np.uint32))
        )
    return warps, draw.uniform(0.5, 2, number)


def add_all(warps, weights, config=MEAN, start=None):
    """Accumulate warps one by one."""
    sums = START(warps[0] if start is None else start, config)
    for warp, weight in zip(warps, weights, strict=True):
        sums = ADD(sums, warp, weight)
    return sums


def as_stack(warps, weights):
    stack = jc.stack_warps(warps)
    padding = np.zeros(len(stack.present) - len(weights))
    weight = jnp.asarray(np.concatenate([weights, padding]), stack.image.dtype)
    return dataclasses.replace(stack, weight=weight)


def assert_alike(one, other, rounding):
    """Compare two coadds whose sums have another order; masks and counts exactly."""
    for field in ("mask", "n_image"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    for field in ("image", "variance", "weight"):
        np.testing.assert_allclose(
            getattr(one, field), getattr(other, field), rtol=rounding, atol=rounding
        )


def rounding(number, precision, size=8):
    """Bound the error of sums of so many terms, with deviations of a few units."""
    return size * (number + 4) * (2.0**-24 if precision == 32 else 2.0**-53)


@given(seed=st.integers(0, 999), number=st.integers(2, 9))
@pytest.mark.parametrize("bits", [32, 64])
def test_order_does_not_matter(bits, seed, number):
    with jax.enable_x64(bits == 64):
        warps, weights = draw_warps(seed, number)
        order = np.random.default_rng(seed).permutation(number)
        forward = FINALIZE(add_all(warps, weights))
        mixed = FINALIZE(
            add_all([warps[i] for i in order], weights[order], start=warps[0])
        )
        assert_alike(forward, mixed, rounding(number, bits))


@given(seed=st.integers(0, 999), number=st.integers(2, 9), data=st.data())
@pytest.mark.parametrize("bits", [32, 64])
def test_any_split_merges_to_the_same(bits, seed, number, data):
    with jax.enable_x64(bits == 64):
        cut = data.draw(st.integers(1, number - 1))
        warps, weights = draw_warps(seed, number)
        whole = FINALIZE(add_all(warps, weights))
        parts = jc.merge(
            add_all(warps[:cut], weights[:cut]), add_all(warps[cut:], weights[cut:])
        )
        assert_alike(whole, FINALIZE(parts), rounding(number, bits))


@pytest.mark.slow
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("bits", [32, 64])
@given(seed=st.integers(0, 999), number=st.sampled_from([1, 2, 6]))
def test_online_equals_batch(bits, error, seed, number):
    with jax.enable_x64(bits == 64):
        config = dataclasses.replace(MEAN, statistic=jc.Mean(error))
        warps, weights = draw_warps(seed, number)
        online = FINALIZE(add_all(warps, weights, config))
        stack = jc.stack_warps(warps, weights=weights)
        batch = STACK(stack, config)
        used = np.asarray(batch.weight) > 0
        several = np.asarray(online.n_image) > 1
        allowed = rounding(number, bits)
        for field in ("image", "weight"):
            np.testing.assert_allclose(
                getattr(online, field)[used],
                getattr(batch, field)[used],
                rtol=allowed,
                atol=allowed,
            )
        # A single value has no scatter: 0 times infinity, whatever the round-off.
        sure = used & several & (np.isfinite(batch.variance))
        np.testing.assert_allclose(
            online.variance[sure], batch.variance[sure], rtol=20 * allowed, atol=allowed
        )
        np.testing.assert_array_equal(online.n_image, batch.n_image)


def test_a_large_background_costs_no_precision():
    warps, weights = draw_warps(3, 9, pedestal=20000.0)
    config = dataclasses.replace(MEAN, statistic=jc.Mean(jc.FromScatter()))
    found = FINALIZE(add_all(warps, weights, config))
    with jax.enable_x64(True):
        wide = [jc.Warp(np.float64(w.image), w.variance, w.mask) for w in warps]
        truth = FINALIZE(add_all(wide, weights, config))
    # Pixels are rounded to 1/512 at 20000; the deviations lose nothing more.
    np.testing.assert_allclose(found.variance, truth.variance, rtol=1e-5)


def test_a_pixel_that_is_not_finite_is_rejected():
    good = jc.Warp(np.ones(SHAPE), np.ones(SHAPE))
    spoiled = jc.Warp(np.full(SHAPE, np.nan), np.ones(SHAPE))
    found = FINALIZE(add_all([good, spoiled], [1.0, 1.0]))
    np.testing.assert_array_equal(found.image, 1)
    np.testing.assert_array_equal(found.weight, 1)


def test_a_pixel_without_inputs_keeps_the_bits_above_their_threshold():
    saturated = jc.Warp(np.ones(SHAPE), np.ones(SHAPE), np.full(SHAPE, 2, np.uint32))
    found = FINALIZE(add_all([saturated, saturated], [1.0, 1.0]))
    wanted = found.planes.bits(["SAT", "NO_DATA", "REJECTED"])
    np.testing.assert_array_equal(found.mask, wanted)
    assert np.isnan(found.image).all()


@pytest.mark.slow
def test_gradients_are_those_of_the_batch_mean():
    warps, weights = draw_warps(11, 5)

    def online(zero_points):
        scaled = [
            dataclasses.replace(w, zero_point=z)
            for w, z in zip(warps, zero_points, strict=True)
        ]
        config = dataclasses.replace(MEAN, zero_point=31.4)
        return jnp.nansum(FINALIZE(add_all(scaled, weights, config)).image)

    def batch(zero_points):
        stack = jc.stack_warps(warps, weights=weights)
        stack = dataclasses.replace(stack, zero_point=zero_points)
        config = dataclasses.replace(MEAN, zero_point=31.4)
        return jnp.nansum(STACK(jc.scale_zero_points(stack, 31.4), config).image)

    at = jnp.full(5, 31.4)
    np.testing.assert_allclose(jax.grad(online)(at), jax.grad(batch)(at), rtol=1e-4)


def test_what_does_not_fit_is_refused():
    warps, _ = draw_warps(1, 2)
    with pytest.raises(ValueError, match="only a Mean"):
        jc.start_sums(warps[0], jc.CoaddConfig())
    sums = jc.start_sums(warps[0], MEAN)
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        jc.accumulate(sums, jc.Warp(np.ones((2, 2)), np.ones((2, 2))), 1.0)
    other = jc.start_sums(warps[0], MEAN, planes=PLANES.add("GHOST"))
    with pytest.raises(ValueError, match="different planes"):
        jc.merge(sums, other)


@pytest.mark.parametrize("number", [1, 5, 70])
def test_a_stack_at_once_is_its_warps_one_by_one(precision, number):
    warps, weights = draw_warps(3, number, pedestal=100.0)
    one_by_one = add_all(warps, weights)
    sums = START(warps[0], MEAN)
    at_once = jax.jit(jc.accumulate_stack)(sums, as_stack(warps, weights))
    for a, b in zip(
        jax.tree.leaves(FINALIZE(one_by_one)),
        jax.tree.leaves(FINALIZE(at_once)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_a_stack_that_does_not_fit_is_refused():
    warps, weights = draw_warps(3, 2)
    sums = START(warps[0], MEAN)
    stack = as_stack(warps, weights)
    with pytest.raises(ValueError, match="the stack has no weights; give it some"):
        jc.accumulate_stack(sums, dataclasses.replace(stack, weight=None))
    with pytest.raises(ValueError, match=r"the warps are \(4, 4\), the sums before"):
        jc.accumulate_stack(sums, jax.tree.map(lambda a: a[..., :4], stack))
