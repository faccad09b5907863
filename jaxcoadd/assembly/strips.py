"""Stack the rows of one subregion."""

from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp

from jaxcoadd.accumulation import accumulate, finalize, start_sums
from jaxcoadd.arrays import Images, Masks
from jaxcoadd.coadds import Coadd, CoaddConfig, stack_and_count
from jaxcoadd.masks import MaskPlanes, has_any
from jaxcoadd.warps import Warp, WarpStack

Pixels = tuple[Images, Images, Masks]
"""Image, variance and mask of every warp, all on the zero point of the coadd."""


class StackStrip(Protocol):
    """Stacks rows of all warps."""

    def __call__(
        self, pixels: Pixels, weights: jax.Array, *, planes: MaskPlanes
    ) -> tuple[Coadd, jax.Array]:
        """Return the rows of the coadd, and the counts of `stack_and_count`."""
        ...


@partial(jax.jit, static_argnames="planes")
def stack_strip(
    pixels: Pixels, weights: jax.Array, *, config: CoaddConfig, planes: MaskPlanes
) -> tuple[Coadd, jax.Array]:
    """Stack rows of all warps at once."""
    image, variance, mask = pixels
    n = len(image)
    stack = WarpStack(
        image=image,
        variance=variance,
        mask=mask,
        planes=planes,
        zero_point=jnp.zeros(n, image.dtype),
        weight=weights,
        present=jnp.ones(n, bool),
    )
    return stack_and_count(stack, config)


@partial(jax.jit, static_argnames="planes")
def accumulate_strip(
    pixels: Pixels, weights: jax.Array, *, config: CoaddConfig, planes: MaskPlanes
) -> tuple[Coadd, jax.Array]:
    """Add rows of one warp after the other to a mean."""
    first = jnp.argmax(jnp.isfinite(pixels[0]), axis=0)[None]
    # The first value of each pixel, so that its neighbours do not matter.
    origin = jnp.nan_to_num(jnp.take_along_axis(pixels[0], first, axis=0)[0])
    zero = jnp.zeros((), origin.dtype)
    warp = Warp(origin, origin, planes=planes, zero_point=zero)

    def step(sums, row):
        (image, variance, mask), weight = row
        warp = Warp(image, variance, mask, planes=planes, zero_point=zero)
        return accumulate(sums, warp, weight), None

    sums = jax.lax.scan(step, start_sums(warp, config), (pixels, weights))[0]
    bad = planes.bits(config.bad_planes) & ~planes.bits(config.remove_planes)
    used = (~has_any(pixels[2], bad) & jnp.isfinite(pixels[0])).sum(axis=(1, 2))
    return finalize(sums), jnp.stack([used, jnp.zeros_like(used)])
