"""Stack the rows of one subregion."""

import dataclasses
from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp

from jaxcoadd.accumulation import accumulate_stack, finalize, start_sums
from jaxcoadd.arrays import Images, Masks
from jaxcoadd.coadds import (
    Coadd,
    CoaddConfig,
    coadd_planes,
    mask_rules,
    stack_and_count,
)
from jaxcoadd.masks import MaskPlanes
from jaxcoadd.stacking import is_usable
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
    # All of them are on the zero point of the coadd already.
    config = dataclasses.replace(config, zero_point=None)
    return stack_and_count(_as_stack(pixels, weights, planes), config)


def _as_stack(pixels, weights, planes):
    image, variance, mask = pixels
    n = len(image)
    return WarpStack(
        image=image,
        variance=variance,
        mask=mask,
        planes=planes,
        zero_point=jnp.zeros(n, image.dtype),
        weight=weights,
        present=jnp.ones(n, bool),
    )


@partial(jax.jit, static_argnames="planes")
def accumulate_strip(
    pixels: Pixels, weights: jax.Array, *, config: CoaddConfig, planes: MaskPlanes
) -> tuple[Coadd, jax.Array]:
    """Add rows of one warp after the other to a mean."""
    stack = _as_stack(pixels, weights, planes)
    first = jnp.argmax(jnp.isfinite(stack.image), axis=0)[None]
    # The first value of each pixel, so that its neighbours do not matter.
    origin = jnp.nan_to_num(jnp.take_along_axis(stack.image, first, axis=0)[0])
    zero = jnp.zeros((), origin.dtype)
    warp = Warp(origin, origin, planes=planes, zero_point=zero)
    sums = accumulate_stack(start_sums(warp, config), stack)
    rules = mask_rules(config, coadd_planes(planes))
    usable = is_usable(stack.image, stack.mask, stack.present, rules)
    used = usable.sum(axis=(1, 2))
    return finalize(sums), jnp.stack([used, jnp.zeros_like(used)])
