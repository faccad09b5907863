"""Sums over the pixels around a position, of image and variance, with derivatives."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxcoadd.arrays import Image
from jaxcoadd.resampling.kernels import AbstractKernel
from jaxcoadd.resampling.positions import Positions
from jaxcoadd.stages import compute_once

_CPU_PIXELS = 4096
_PIXELS = 1 << 20
"""Pixels at a time: what they need must fit into a cache, or into memory."""

_SLICES = lax.GatherDimensionNumbers(
    offset_dims=(1,), collapsed_slice_dims=(), start_index_map=(0,)
)


def sum_footprints(
    kernel: AbstractKernel, image: Image, variance: Image, positions: Positions
) -> tuple[Image, Image]:
    """Interpolate image and variance at positions inside.

    Parameters
    ----------
    kernel
        What weighs the pixels.
    image, variance
        The source.
    positions
        All of the kernel must be inside of the source. The sums are multiplied by
        ``area`` over the sum of the kernel, for the variance by the square.

    Notes
    -----
    Pixels without a weight do not count, NaN or not; in the reverse pass pixels that
    are not finite do not, either.
    """
    return _sum(kernel, image, variance, positions)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _sum(kernel, image, variance, positions) -> Any:
    if jax.default_backend() != "cpu":
        return _sum_one_by_one(kernel, image, variance, positions)
    n = kernel.half_width
    lanes = -(-n // 2) * 4
    # A slice at the end of the source must not be moved to fit, nor one of a source
    # that is smaller than the kernel, where no position is inside.
    missing = max(0, 2 * n * image.shape[1] - image.size) + lanes
    flat = [jnp.pad(plane.reshape(-1), (0, missing)) for plane in (image, variance)]
    step = partial(_sum_block, kernel, flat, image.shape[1], lanes)
    blocks, shape = _in_blocks(positions, "edge"), positions.row.shape
    if len(blocks.row) == 1:
        sums = step(jax.tree.map(lambda a: a[0], blocks))
    else:
        sums = lax.map(step, blocks)
    image, variance = (_from_blocks(a, shape) for a in sums)
    return image, variance


def _sum_one_by_one(kernel, image, variance, positions):
    """Interpolate image and variance, reading pixel by pixel.

    For accelerators: a single kernel, which writes nothing but the sums.
    """
    rows, columns = map(
        kernel.weights, (positions.row_fraction, positions.column_fraction)
    )
    width, n = image.shape[1], 2 * kernel.half_width
    # A source that is smaller than the kernel has no position inside.
    missing = max(0, n * (width + 1) - image.size)
    flat = [jnp.pad(plane.reshape(-1), (0, missing)) for plane in (image, variance)]
    corner = _corner(kernel, positions, width)
    totals = [jnp.zeros_like(positions.area)] * 2
    for i, across in enumerate(columns):
        sums = [jnp.zeros_like(positions.area)] * 2
        for j, along in enumerate(rows):
            at = corner + (j * width + i)
            pixel = [f.at[at].get(mode="promise_in_bounds") for f in flat]
            sums = _add(kernel, sums, along, pixel)
        totals = _add(kernel, totals, across, sums)
    scale = positions.area / (sum(rows) * sum(columns))
    return totals[0] * scale, totals[1] * scale * scale


def _in_blocks(images, fill):
    """Join rows, and cut them into blocks of pixels; `fill` is a mode of padding."""
    limit = _CPU_PIXELS if jax.default_backend() == "cpu" else _PIXELS

    def cut(a):
        size = min(limit, a.size)
        return jnp.pad(a.reshape(-1), (0, -a.size % size), fill).reshape(-1, size)

    return jax.tree.map(cut, images)


def _from_blocks(blocks, shape):
    return blocks.reshape(-1)[: shape[0] * shape[1]].reshape(shape)


def _corner(kernel, positions, width):
    """Return the index of the first pixel that the kernel touches."""
    n = kernel.half_width
    return (positions.row - (n - 1)) * width + positions.column - (n - 1)


def _sum_block(kernel, flat, width, lanes, positions):
    """Interpolate image and variance for one run of pixels.

    First rows of the kernel are added, as slices of the source: they are contiguous,
    so this is the fast way to read them. Then columns are.
    """

    def weigh(positions):
        return (
            kernel.weights(positions.row_fraction),
            kernel.weights(positions.column_fraction),
            _corner(kernel, positions, width),
        )

    def add_rows(rows, corner):
        image = jnp.zeros((*corner.shape, lanes), flat[0].dtype)
        variance = image
        for j, weight in enumerate(rows):
            at = (corner + j * width)[:, None]
            a, b = (
                lax.gather(f, at, _SLICES, (lanes,), mode="promise_in_bounds")
                for f in flat
            )
            weight = weight[:, None]
            image, variance = _add(kernel, (image, variance), weight, (a, b))
        return image, variance

    rows, columns, corner = compute_once(weigh, positions)
    images, variances = compute_once(add_rows, rows, corner)
    image = variance = jnp.zeros_like(positions.area)
    for i, weight in enumerate(columns):
        values = images[:, i], variances[:, i]
        image, variance = _add(kernel, (image, variance), weight, values)
    scale = positions.area / (sum(rows) * sum(columns))
    return image * scale, variance * scale * scale


def _add(kernel, sums, weight, values):
    """Add image times weight, and variance times its square."""

    def times(value):
        # Where a kernel always has all its weights there is nothing to leave out.
        if len(kernel.footprints) == 1:
            return weight * value
        return jnp.where(weight == 0, 0, weight * value)

    return sums[0] + times(values[0]), sums[1] + times(times(values[1]))


def _forward(kernel, image, variance, positions):
    saved = image, variance, positions
    return _sum(kernel, *saved), saved


def _backward(kernel, saved, cotangents):
    image, variance, positions = saved
    width, side = image.shape[1], jnp.arange(2 * kernel.half_width, dtype=jnp.int32)
    flat = [jnp.asarray(plane).reshape(-1) for plane in (image, variance)]
    blocks = _in_blocks(positions, "edge"), _in_blocks(cotangents, "constant")

    def step(sums, block):
        positions, given = block
        at = _corner(kernel, positions, width)[:, None, None]
        at = at + (width * side[:, None] + side[None])[None]
        taps = [f.at[at].get(mode="clip") for f in flat]
        taps = [jnp.where(jnp.isfinite(t), t, 0) for t in taps]
        real = positions.row_fraction, positions.column_fraction, positions.area
        _, pull = jax.vjp(partial(_sum_taps, kernel), taps, real)
        by_taps, by_positions = pull(given)
        sums = [
            s.at[at].add(t, mode="drop") for s, t in zip(sums, by_taps, strict=True)
        ]
        return sums, by_positions

    zeros = [jnp.zeros_like(f) for f in flat]
    sums, found = lax.scan(step, zeros, blocks)
    shape = positions.row.shape
    by_row, by_column, by_area = (_from_blocks(a, shape) for a in found)
    none = np.zeros(shape, jax.dtypes.float0)
    by_image, by_variance = (s.reshape(image.shape) for s in sums)
    # Whole parts have no derivative.
    tree = jax.tree.structure(positions)
    moves = [none, none, by_row, by_column, by_area]
    return by_image, by_variance, tree.unflatten(moves)


def _sum_taps(
    kernel: AbstractKernel,
    taps: Sequence[Float[Array, "pixel j i"]],
    positions: Sequence[Float[Array, " pixel"]],
) -> tuple[Float[Array, " pixel"], Float[Array, " pixel"]]:
    """Add up pixels that were read; the plain form of `_sum_block`."""
    image, variance = taps
    row, column, area = positions
    rows, columns = (jnp.stack(kernel.weights(f), axis=-1) for f in (row, column))
    weights = rows[:, :, None] * columns[:, None, :]
    weights = weights * (area / weights.sum((1, 2)))[:, None, None]
    return (weights * image).sum((1, 2)), (weights * weights * variance).sum((1, 2))


_sum.defvjp(_forward, _backward)
