"""Where the pixels of one grid lie on another, precise also in 32 bits.

A position near 4000 has four decimals in 32 bits. So positions are kept as whole
pixels and fractions, split where they are known in double precision: on the host.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jaxcoadd.arrays import Image

Coordinates = Float[Array | np.ndarray, "2 y x"]

# Positions farther off, or none at all, are here: outside of every image.
_NOWHERE = -(2**30)


class Positions(eqx.Module):
    """The position of every target pixel in the source image.

    Parameters
    ----------
    row, column
        Whole part of the positions, rounded down.
    row_fraction, column_fraction
        The rest, from 0 to 1, in pixels.
    area
        Area of the target pixel, in source pixels.
    """

    row: Int[Array, "y x"]
    column: Int[Array, "y x"]
    row_fraction: Image
    column_fraction: Image
    area: Image


def as_positions(
    coordinates: Coordinates, *, dtype: DTypeLike | None = None
) -> Positions:
    """Split coordinates into whole pixels and fractions, and compute areas.

    Parameters
    ----------
    coordinates
        Source rows and, second, source columns of the target pixels, one row and one
        column more than there are pixels: they begin at the target row -1 and column
        -1. In NumPy in double precision, or in JAX.
    dtype
        Type of the fractions; by default JAX' own, or that of a JAX array.

    Returns
    -------
    Positions
        Of all pixels but the first row and the first column. A position that is not a
        finite number, or whose area is not or is 0, is outside of every image.

    Raises
    ------
    ValueError
        The array has another number of axes or no pixels.

    Notes
    -----
    Differentiable in the coordinates if they are in JAX: fractions and areas follow
    them, whole parts do not. The area is that of the parallelogram from a pixel to its
    left and lower neighbours, as in LSST's ``warpImage``.

    Examples
    --------
    >>> rows, columns = np.mgrid[-1:2, -1:3] * 2.0
    >>> positions = as_positions(np.stack([rows + 0.25, columns]))
    >>> positions.row[:, 0], positions.row_fraction[0, 0], positions.area[0, 0]
    (Array([0, 2], dtype=int32), Array(0.25, dtype=float32), Array(4., dtype=float32))
    """
    if coordinates.ndim != 3 or len(coordinates) != 2 or min(coordinates.shape) < 2:
        raise ValueError(
            f"coordinates have shape {coordinates.shape}; rows and columns of at least "
            "one pixel and of row and column -1 make (2, y + 1, x + 1)"
        )
    on_host = isinstance(coordinates, np.ndarray)
    known = coordinates.dtype if not on_host else jnp.result_type(float)
    dtype = known if dtype is None else dtype
    here = coordinates[:, 1:, 1:]
    left, lower = here - coordinates[:, 1:, :-1], here - coordinates[:, :-1, 1:]
    return _split(here, left, lower, np if on_host else jnp, dtype)


def _split(here, left, lower, numpy, dtype, base=None):
    """Make positions of coordinates, relative to whole ones if there is a base."""
    signed = left[1] * lower[0] - left[0] * lower[1]
    known = numpy.isfinite(signed) & (signed != 0)
    known = known & (numpy.abs(here) < -_NOWHERE / 2).all(axis=0)
    here = numpy.where(known, here, 0)
    whole = numpy.floor(here)
    # A floor has no slope, but JAX would have to trace it through the integers.
    fraction = here - whole
    whole = whole.astype(np.int32)
    whole = whole if base is None else whole + base
    whole = numpy.where(known, whole, np.int32(_NOWHERE))
    area = numpy.where(known, numpy.abs(numpy.where(known, signed, 1)), 1)
    return Positions(
        row=jnp.asarray(whole[0]),
        column=jnp.asarray(whole[1]),
        row_fraction=jnp.asarray(fraction[0], dtype),
        column_fraction=jnp.asarray(fraction[1], dtype),
        area=jnp.asarray(area, dtype),
    )


def interpolate_positions(
    nodes: Coordinates,
    *,
    shape: tuple[int, int],
    spacing: int = 10,
    dtype: DTypeLike | None = None,
) -> Positions:
    """Interpolate positions linearly between every tenth pixel or so.

    Parameters
    ----------
    nodes
        Source rows and, second, source columns of the target rows and columns -1,
        ``spacing - 1``, and so on, the last ones those of the last pixel; see
        ``sky.node_coordinates``. In NumPy in double precision, or in JAX.
    shape
        Rows and columns of the target.
    spacing
        Distance of the nodes, in pixels.
    dtype
        Type of the fractions; by default JAX' own, or that of a JAX array.

    Returns
    -------
    Positions
        The same as `as_positions` gives for coordinates interpolated on the host, but
        computed in JAX, from few numbers.

    Raises
    ------
    ValueError
        There are not as many nodes as the shape and the spacing say.

    Notes
    -----
    Differentiable in the nodes if they are in JAX. As LSST's ``interpLength``. In 32
    bits, precise to 1e-7 of the distance of the nodes.
    """
    counts = tuple(1 + -(-length // spacing) for length in shape)
    if nodes.shape != (2, *counts):
        raise ValueError(
            f"nodes have shape {nodes.shape}; a target of {shape} with nodes every "
            f"{spacing} pixels has {(2, *counts)}"
        )
    on_host = isinstance(nodes, np.ndarray)
    known = jnp.result_type(float) if on_host else nodes.dtype
    dtype = jnp.dtype(known if dtype is None else dtype)
    numpy = np if on_host else jnp
    # Corners relative to a whole position near the middle of their block.
    middle = numpy.floor((nodes[:, :-1, :-1] + nodes[:, 1:, 1:]) / 2)
    middle = numpy.where(numpy.abs(middle) < -_NOWHERE / 2, middle, 0)
    corners = [
        jnp.asarray(nodes[:, y : counts[0] - 1 + y, x : counts[1] - 1 + x] - middle)
        for y in (0, 1)
        for x in (0, 1)
    ]
    corners = [_per_pixel(corner.astype(dtype)) for corner in corners]
    base = _per_pixel(jnp.asarray(middle.astype(np.int32)))
    (y, height), (x, width) = (_within_blocks(n, spacing, dtype) for n in shape)
    y, height = y[None, :, :, None, None], height[None, :, None, None, None]
    x, width = x[None, None, None], width[None, None, None, :, None]
    here, left, lower = _bilinear(corners, (y, height), (x, width))
    full = (2, *(spacing * (n - 1) for n in counts))

    def crop(a):
        whole = jnp.broadcast_to(a, (2, counts[0] - 1, spacing, counts[1] - 1, spacing))
        return whole.reshape(full)[:, : shape[0], : shape[1]]

    return _split(crop(here), crop(left), crop(lower), jnp, dtype, crop(base))


def _bilinear(corners, along_y, along_x):
    """Interpolate within blocks: positions, and steps along the row and the column."""
    (y, height), (x, width) = along_y, along_x
    low, low_right, high, high_right = corners
    left = ((1 - y) * (low_right - low) + y * (high_right - high)) / width
    lower = ((1 - x) * (high - low) + x * (high_right - low_right)) / height
    here = (1 - y) * low + y * high + x * width * left
    return here, left, lower


def _per_pixel(corner):
    """Give one number a block the axes of the pixels in it."""
    return corner[:, :, None, :, None]


def _within_blocks(length, spacing, dtype):
    """Return where pixels lie in their blocks, from 0 to 1, and the blocks' lengths.

    A block begins after one node and ends at the next: a pixel, its left and its lower
    neighbour are in one.
    """
    starts = np.arange(0, length, spacing)
    lengths = np.minimum(spacing, length - starts)
    where = (1 + np.arange(spacing)) / lengths[:, None]
    return jnp.asarray(where, dtype), jnp.asarray(lengths, dtype)
