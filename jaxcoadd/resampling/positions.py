"""Where the pixels of one grid lie on another, precise also in 32 bits.

A position near 4000 has four decimals in 32 bits. So positions are kept as whole
pixels and fractions, split where they are known in double precision: on the host.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jaxcoadd.arrays import Image
from jaxcoadd.stages import compute_once

Coordinates = Float[Array | np.ndarray, "2 y x"]

# Positions farther off, or none at all, are here: outside of every image.
_NOWHERE = np.int32(-(2**30))
_FAR = 2.0**30


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
    return _split(here, left, lower, numpy=np if on_host else jnp, dtype=dtype)


def _split(here, left, lower, *, numpy, dtype, base=None):
    """Make positions of coordinates and of steps along a row and along a column.

    Coordinates may be relative to whole ones.
    """
    signed = left[1] * lower[0] - left[0] * lower[1]
    known = numpy.isfinite(signed) & (signed != 0)
    known = known & (numpy.abs(here) < _FAR).all(axis=0)
    # Not a product that is selected afterwards: its slope would be 0 times NaN.
    here, left, lower = (numpy.where(known, a, 0) for a in (here, left, lower))
    signed = left[1] * lower[0] - left[0] * lower[1]
    whole = numpy.floor(here)
    fraction = here - whole
    whole = whole.astype(np.int32)
    whole = numpy.where(known, whole if base is None else whole + base, _NOWHERE)
    area = numpy.abs(numpy.where(known, signed, 1))
    return Positions(
        row=jnp.asarray(whole[0]),
        column=jnp.asarray(whole[1]),
        row_fraction=jnp.asarray(fraction[0], dtype),
        column_fraction=jnp.asarray(fraction[1], dtype),
        area=jnp.asarray(area, dtype),
    )


class PositionNodes(eqx.Module):
    """The positions of every tenth pixel or so, to interpolate between.

    Parameters
    ----------
    whole
        A whole position near the middle of each block between nodes.
    corners
        Positions of the four corners of each block less that, upper ones last.
    shape
        Rows and columns of the target.
    spacing
        Pixels from node to node.
    """

    whole: Int[Array, "2 j i"]
    corners: Float[Array, "2 2 2 j i"]
    shape: tuple[int, int] = eqx.field(static=True)
    spacing: int = eqx.field(static=True)


def as_position_nodes(
    coordinates: Coordinates,
    *,
    shape: tuple[int, int],
    spacing: int = 10,
    dtype: DTypeLike | None = None,
) -> PositionNodes:
    """Split the coordinates of nodes so that they are precise also in 32 bits.

    Parameters
    ----------
    coordinates
        Source rows and, second, source columns of the target rows and columns -1,
        ``spacing - 1``, and so on, the last ones those of the last pixel; see
        ``sky.node_coordinates``. In NumPy in double precision, or in JAX.
    shape
        Rows and columns of the target.
    spacing
        Pixels from node to node.
    dtype
        Type of the positions; by default JAX' own, or that of a JAX array.

    Raises
    ------
    ValueError
        There are not as many nodes as the shape and the spacing say.
    """
    counts = tuple(1 + -(-length // spacing) for length in shape)
    if coordinates.shape != (2, *counts):
        raise ValueError(
            f"nodes have shape {coordinates.shape}; a target of {shape} with nodes "
            f"every {spacing} pixels has {(2, *counts)}"
        )
    on_host = isinstance(coordinates, np.ndarray)
    numpy = np if on_host else jnp
    known = jnp.result_type(float) if on_host else coordinates.dtype
    low, high = coordinates[:, :-1], coordinates[:, 1:]
    corners = numpy.stack(
        [numpy.stack([row[..., :-1], row[..., 1:]]) for row in (low, high)]
    )
    whole = numpy.floor((corners[0, 0] + corners[1, 1]) / 2)
    whole = numpy.where(numpy.abs(whole) < _FAR, whole, 0)
    return PositionNodes(
        whole=jnp.asarray(whole.astype(np.int32)),
        corners=jnp.asarray(corners - whole, known if dtype is None else dtype),
        shape=shape,
        spacing=spacing,
    )


def interpolate_positions(nodes: PositionNodes) -> Positions:
    """Interpolate positions linearly between nodes.

    Parameters
    ----------
    nodes
        Of `as_position_nodes`.

    Returns
    -------
    Positions
        The same as `as_positions` gives for coordinates interpolated on the host, but
        made of few numbers and where they are needed.

    Notes
    -----
    Differentiable in the corners. As LSST's ``interpLength``. In 32 bits, with
    nodes every 10 pixels, precise to 2e-6 pixels.
    """
    edges = compute_once(lambda corners: _along_columns(nodes, corners), nodes.corners)
    found = compute_once(lambda edges: _along_rows(nodes, *edges), edges)
    # Without this, XLA computes the positions anew for every use.
    return lax.optimization_barrier(found)


def _along_columns(nodes, corners):
    """Interpolate along columns: at every row, at the left end of each block.

    Returns coordinates, and by how much they grow from pixel to pixel along the row,
    the column, and of the latter along the row.
    """
    (height, width), spacing = nodes.shape, nodes.spacing
    row = np.arange(height) // spacing
    heights, widths = (
        _block_lengths(length, spacing).astype(corners.dtype)
        for length in (height, width)
    )
    low, high = corners[:, :, :, row]
    step = (high - low) / heights[None, None, row, None]
    y = (1 + np.arange(height) % spacing)[None, None, :, None].astype(corners.dtype)
    left, right = low + y * step
    widths = widths[None, None]
    across, turn = ((b - a) / widths for a, b in ((left, right), step))
    return left, across, step[0], turn


def _along_rows(nodes, edge, across, step, turn):
    """Interpolate along rows; each block is an axis, faster than to gather from it."""
    (height, width), spacing = nodes.shape, nodes.spacing
    x = np.arange(1, spacing + 1)[None, None, None].astype(edge.dtype)
    edge, across, step, turn = (a[..., None] for a in (edge, across, step, turn))
    base = nodes.whole[:, np.arange(height) // spacing, :, None]
    found = _split(
        edge + x * across,
        across,
        step + x * turn,
        numpy=jnp,
        dtype=edge.dtype,
        base=base,
    )
    return jax.tree.map(lambda a: a.reshape(height, -1)[:, :width], found)


def _block_lengths(length, spacing):
    """Return the length of each block; the last one may be shorter.

    A block begins after one node and ends at the next: a pixel, its left and its lower
    neighbour are in one.
    """
    return np.minimum(spacing, length - np.arange(0, length, spacing))
