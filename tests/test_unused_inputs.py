"""What is not used cannot matter, neither to outputs nor to gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxcoadd as jc

ONES = np.ones((3, 4), np.float32)


@pytest.mark.slow
def test_the_mask_of_a_warp_that_cannot_be_weighed_does_not_count():
    saturated = np.zeros(ONES.shape, np.uint32)
    saturated[0, 0] = 1 << jc.LSST_PLANES.bit("SAT")
    good = [jc.Warp(ONES, ONES, saturated), jc.Warp(2 * ONES, ONES)]
    flags = np.full(ONES.shape, jc.LSST_PLANES.bits(["BAD", "EDGE"]), np.uint32)
    empty = jc.Warp(np.nan * ONES, ONES, flags)
    with_empty = jax.jit(jc.coadd)(jc.stack_warps([*good, empty]))
    without = jax.jit(jc.coadd)(jc.stack_warps(good))
    np.testing.assert_array_equal(with_empty.mask, without.mask)
    np.testing.assert_array_equal(with_empty.n_image, without.n_image)
    np.testing.assert_array_equal(with_empty.image, without.image)


def test_a_nan_pixel_leaves_the_gradient_by_the_zero_point_finite():
    images = np.stack([ONES, 2 * ONES])
    images[0, 1, 1] = np.nan
    warps = [jc.Warp(image, ONES, zero_point=27.0) for image in images]
    stack = jc.stack_warps(warps, weights=[1.0, 1.0])

    def flux(zero_point):
        moved = dataclasses.replace(stack, zero_point=zero_point)
        config = jc.CoaddConfig(zero_point=27.0, interpolate=False)
        return jnp.sum(jc.coadd(moved, config).image)

    # The first warp has 11 pixels of 1 that count half; the second 11 of 2 that count
    # half and one that counts whole.
    rate = -0.4 * np.log(10)
    slope = jax.jit(jax.grad(flux))(stack.zero_point)
    np.testing.assert_allclose(slope, rate * np.array([5.5, 13.0]), rtol=1e-5)
