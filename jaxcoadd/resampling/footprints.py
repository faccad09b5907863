"""Masks of what a kernel touches, for one gather a pixel.

Which pixels a kernel touches depends on the position only through the whole pixel
and a few cases, so the union over them is made for whole images before.
"""

import functools
import itertools

import jax.numpy as jnp
from jaxtyping import Array, Int, UInt32

from jaxcoadd.arrays import Mask
from jaxcoadd.resampling.kernels import AbstractKernel
from jaxcoadd.resampling.positions import Positions


def unite_footprints(
    mask: Mask,
    kernel: AbstractKernel,
    mask_kernel: AbstractKernel | None,
    grow_full_mask: int,
) -> UInt32[Array, "case y x"]:
    """Unite the masks that positions touch, for each case of `footprint_case`.

    Bits of `grow_full_mask`, all without a mask kernel, come from what the image
    kernel touches, the others from what the mask kernel does.
    """
    if mask_kernel is None:
        return jnp.stack([_unite(mask, *both) for both in _both_axes(kernel)])
    grown = mask & jnp.uint32(grow_full_mask)
    full = [_unite(grown, *both) for both in _both_axes(kernel)]
    small = [_unite(mask, *both) for both in _both_axes(mask_kernel)]
    return jnp.stack([a | b for a in full for b in small])


def footprint_case(
    positions: Positions, kernel: AbstractKernel, mask_kernel: AbstractKernel | None
) -> Int[Array, "y x"]:
    """Return which of the cases of `unite_footprints` each position is."""
    case = jnp.zeros(positions.row.shape, jnp.int32)
    for one in filter(None, (kernel, mask_kernel)):
        for fraction in (positions.row_fraction, positions.column_fraction):
            case = case * len(one.footprints) + one.footprint(fraction)
    return case


def _both_axes(kernel):
    return itertools.product(kernel.footprints, repeat=2)


def _unite(mask, rows, columns):
    """Unite the masks at some offsets from each pixel; outside there is nothing."""
    (top, bottom), (left, right) = (
        (max(-offsets[0], 0), max(offsets[-1], 0)) for offsets in (rows, columns)
    )
    height, width = mask.shape
    padded = jnp.pad(mask, ((top, bottom), (left, right)))
    by_rows = [padded[top + y :][:height] for y in rows]
    united = functools.reduce(jnp.bitwise_or, by_rows)
    by_columns = [united[:, left + x :][:, :width] for x in columns]
    return functools.reduce(jnp.bitwise_or, by_columns)
