"""Rows spread over four devices give the bits of one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxcoadd as jc


def make_stack(rows=24):
    """Make six warps with a hole, an outlier and their own weights."""
    draw = np.random.default_rng(5)
    images = draw.normal(10, 1, (6, rows, 30)).astype(np.float32)
    images[2, 5, 7] = 1e3
    masks = np.zeros(images.shape, np.uint32)
    masks[:, 3:9, 4:20] = 1 << jc.LSST_PLANES.bit("NO_DATA")
    masks[1, 10, :] = 1 << jc.LSST_PLANES.bit("SAT")
    variances = draw.uniform(1, 2, images.shape).astype(np.float32)
    return jc.stack_warps(
        [
            jc.Warp(image, variance, mask, zero_point=27.0)
            for image, variance, mask in zip(images, variances, masks, strict=True)
        ]
    )


@pytest.mark.parametrize("number", [2, 3])
def test_any_number_of_devices_gives_the_same_bits(number):
    stack = make_stack()
    one = jax.jit(jc.coadd)(stack)
    spread = jax.jit(jc.coadd)(jc.shard_pixels(stack, jax.devices()[:number]))
    assert len(spread.image.sharding.device_set) == number
    for field in ("image", "variance", "mask", "n_image", "weight"):
        np.testing.assert_array_equal(getattr(one, field), getattr(spread, field))


def test_only_devices_that_share_the_rows_evenly_are_used():
    spread = jc.shard_pixels(make_stack(rows=25))
    assert len(spread.image.sharding.device_set) == 1
    assert len(jc.shard_pixels(make_stack(rows=27)).image.sharding.device_set) == 3


@pytest.mark.slow
def test_gradients_are_those_of_one_device():
    stack = make_stack()

    def brightness(zero_point, image, stack):
        scaled = dataclasses.replace(stack, zero_point=zero_point, image=image)
        return jnp.nansum(jc.coadd(scaled).image)

    gradient = jax.jit(jax.grad(brightness, argnums=(0, 1)))
    one = gradient(stack.zero_point, stack.image, stack)
    spread = jc.shard_pixels(stack)
    four = gradient(spread.zero_point, spread.image, spread)
    np.testing.assert_array_equal(one[1], four[1])
    # The sums over pixels, about 700 terms of 10, have another order.
    np.testing.assert_allclose(one[0], four[0], rtol=700 * 2**-24)


def test_a_stack_is_accumulated_where_it_lies():
    stack = dataclasses.replace(make_stack(), weight=jnp.arange(1.0, 7.0))
    first = jc.Warp(stack.image[0], stack.variance[0])
    sums = jc.start_sums(first, jc.CoaddConfig(statistic=jc.Mean()))
    spread = jc.shard_pixels(stack)
    mesh = spread.image.sharding.mesh
    by_rows, whole = (NamedSharding(mesh, spec) for spec in (P("rows", None), P()))
    placed = jax.tree.map(
        lambda a: jax.device_put(a, by_rows if jnp.ndim(a) == 2 else whole), sums
    )
    add = jax.jit(jc.accumulate_stack)
    wanted = jax.tree.leaves(add(sums, stack))
    # Sums that are in one place are spread like the stack.
    for start in (sums, placed):
        found = jax.tree.leaves(add(start, spread))
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)
