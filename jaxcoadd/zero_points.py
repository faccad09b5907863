"""Photometric zero points: bring warps, or the pixels of one image, to one scale."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import Delaunay

from jaxcoadd.arrays import FloatScalar, PerWarp
from jaxcoadd.warps import WarpStack

Plane = Float[Array | np.ndarray, "*shape"]
Column = np.ndarray | Sequence[float]
Scalar = FloatScalar | np.floating | Float[np.ndarray, ""]

# Points whose spread across a line is less than this part of the spread along it
# are taken as collinear: triangles so thin have no usable slope.
_COLLINEAR = 1e-9


def zero_point_factors(
    zero_points: Plane | Scalar, zero_point: Scalar
) -> Plane | Scalar:
    """Return the factors that bring fluxes from their zero points to another one.

    Parameters
    ----------
    zero_points
        AB magnitudes of one count, one a warp or in any other shape.
    zero_point
        The zero point that is wanted.

    Returns
    -------
    Array
        ``10 ** (-0.4 * (zero_points - zero_point))``; exactly 1 where the zero points
        are equal. NumPy in, NumPy out, in the same precision.

    Notes
    -----
    Smooth in both. The same as the scale of LSST's ScaleZeroPointTask. In 32 bits a
    zero point near 30 is only known to a micromagnitude, and a flux to a millionth.

    Examples
    --------
    >>> zero_point_factors(np.array([27.0, 29.5]), 27.0)
    array([1. , 0.1])
    """
    # 2.5 is exact in binary and 0.4 is not: 15 times less error at magnitude 30.
    return 10.0 ** ((zero_points - zero_point) / -2.5)


def scale_planes(
    image: Plane, variance: Plane, factor: Plane | Scalar
) -> tuple[Plane, Plane]:
    """Multiply an image and its variance by a factor, or by one factor a pixel.

    Parameters
    ----------
    image, variance
        Flux per pixel and its variance, in the square of the unit; NumPy or JAX.
    factor
        A number, or an image of factors in the shape of the image. It is first
        rounded to the precision of the image.

    Returns
    -------
    tuple
        The image times the factor and the variance times its square, in the kind and
        the precision of the input.

    Notes
    -----
    Smooth in all three. Rounded as LSST's masked images round: the variance is
    multiplied by the square of a number, but twice in turn by a factor image.

    Examples
    --------
    >>> scale_planes(np.ones(1), np.ones(1), 3.0)
    (array([3.]), array([9.]))
    """
    array = np.asarray if isinstance(image, np.ndarray) else jnp.asarray
    factor = array(factor, dtype=image.dtype)
    once = factor * factor if factor.ndim == 0 else factor
    twice = 1 if factor.ndim == 0 else factor
    # Infinite pixels are data, in NumPy as in JAX.
    with np.errstate(all="ignore"):
        return _times(image, factor), _times(variance, once) * twice


def _times(plane: Plane, factor: Plane) -> Plane:
    """Multiply the finite pixels; a factor does not change the others.

    A NaN that takes part in a product would make the derivative by the factor NaN.
    """
    if isinstance(plane, np.ndarray):
        return plane * factor
    finite = jnp.isfinite(plane)
    return jnp.where(finite, jnp.where(finite, plane, 0) * factor, plane)


def scale_zero_points(stack: WarpStack, zero_point: Scalar | None = None) -> WarpStack:
    """Bring every warp to one photometric zero point.

    Parameters
    ----------
    stack
        Warps, each with its own zero point.
    zero_point
        The common zero point: the AB magnitude of one count. By default that of the
        first warp.

    Returns
    -------
    WarpStack
        The warps with image scaled by ``10**(-0.4 * (stack.zero_point - zero_point))``
        and variance by its square. A warp that has the zero point already keeps every
        bit, as do absent warps; weights stay as they are.

    Notes
    -----
    Smooth in the pixels and in both zero points. Subnormal pixels, of less than 1e-38
    in 32 bits, may become 0, as in all arithmetic of XLA.

    Examples
    --------
    >>> from jaxcoadd import Warp, stack_warps
    >>> ones = np.ones((2, 3), np.float32)
    >>> stack = stack_warps([Warp(ones, ones, zero_point=m) for m in (27.0, 29.5)])
    >>> scale_zero_points(stack, 27.0).image[:, 0, 0]
    Array([1. , 0.1], dtype=float32)
    """
    factors, zero_point = stack_factors(stack, zero_point)
    image, variance = jax.vmap(scale_planes)(stack.image, stack.variance, factors)
    return dataclasses.replace(
        stack,
        image=image,
        variance=variance,
        zero_point=jnp.full_like(stack.zero_point, zero_point),
    )


def stack_factors(
    stack: WarpStack, zero_point: Scalar | None = None
) -> tuple[PerWarp, Array]:
    """Return the factor of each warp, and the zero point that they lead to.

    By default that of the first warp.
    """
    if zero_point is None:
        # A sum, not an index: its derivative knows how the stack is spread.
        first = jnp.arange(len(stack.present)) == jnp.argmax(stack.present)
        zero_point = jnp.sum(jnp.where(first, stack.zero_point, 0))
    zero_point = jnp.asarray(zero_point, stack.zero_point.dtype)
    # The zero point of an absent warp is a filler, and its factor could overflow.
    before = jnp.where(stack.present, stack.zero_point, zero_point)
    return jnp.asarray(zero_point_factors(before, zero_point)), zero_point


def mean_factor(
    x: Column,
    y: Column,
    values: Column,
    *,
    shape: tuple[int, int],
) -> Float[np.ndarray, "y x"]:
    """Return an image that holds the mean of a table of factors in every pixel.

    Parameters
    ----------
    x, y
        Pixel positions of the points, which do not matter.
    values
        Factors at the points.
    shape
        Rows and columns of the image.

    Raises
    ------
    ValueError
        No points, columns of different length, or a number that is not finite.

    Notes
    -----
    What LSST's SpatialScaleZeroPointTask does under the name of interpolation. On the
    host, in double precision.
    """
    _, values = _as_table(x, y, values)
    return np.full(shape, values.mean())


def interpolate_factors(
    x: Column,
    y: Column,
    values: Column,
    *,
    shape: tuple[int, int],
    origin: tuple[int, int] = (0, 0),
) -> Float[np.ndarray, "y x"]:
    """Interpolate a table of factors, or of zero points, to every pixel of an image.

    Parameters
    ----------
    x, y
        Pixel positions of the points; integers are pixel centres.
    values
        Factors or zero points there. One position given several times counts with
        the mean of its values.
    shape
        Rows and columns of the image.
    origin
        Position (x, y) of the pixel [0, 0].

    Returns
    -------
    Array
        Linear on the Delaunay triangles of the points. Outside of all triangles, the
        value at the nearest point of their outer edge: continuous, and never beyond
        the values of the table. Points on one line are interpolated along it; a single
        point gives a constant.

    Raises
    ------
    ValueError
        No points, columns of different length, or a number that is not finite.

    Notes
    -----
    On the host, in double precision. Interpolate zero points first and make factors
    of them then with `zero_point_factors`, or interpolate factors: between the points
    the two differ.

    Examples
    --------
    >>> x, y = np.array([0.0, 4.0]), np.array([0.0, 0.0])
    >>> interpolate_factors(x, y, np.array([1.0, 2.0]), shape=(1, 6))
    array([[1.  , 1.25, 1.5 , 1.75, 2.  , 2.  ]])
    """
    lookup = _linear_lookup(*_as_table(x, y, values))
    columns = origin[0] + np.arange(shape[1], dtype=float)
    # Row by row: the positions of a whole image would fill more memory than it does.
    result = np.empty(shape)
    for row in range(shape[0]):
        rows = np.full_like(columns, origin[1] + row)
        result[row] = lookup(np.stack([columns, rows], axis=-1))
    return result


def _as_table(x: Column, y: Column, values: Column) -> tuple[np.ndarray, np.ndarray]:
    """Check a table of values; return its positions, each once, and their values."""
    columns = [np.asarray(column, dtype=float).ravel() for column in (x, y, values)]
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1 or not lengths[0]:
        raise ValueError(
            f"x, y and values must be of one length of 1 or more, not {lengths}"
        )
    if not np.isfinite(columns).all():
        raise ValueError("x, y and values must be finite numbers")
    points, which, count = np.unique(
        np.stack(columns[:2], axis=-1), axis=0, return_inverse=True, return_counts=True
    )
    return points, np.bincount(which.ravel(), weights=columns[2]) / count


def _linear_lookup(
    points: np.ndarray, values: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that interpolates values at points to other positions."""
    offsets = points - points.mean(axis=0)
    _, spread, axes = np.linalg.svd(offsets, full_matrices=False)
    if spread[-1] <= _COLLINEAR * spread[0] or len(points) < 3:
        order = np.argsort(offsets @ axes[0])
        # A lone point is the segment from itself to itself.
        edges = list(itertools.pairwise(order)) or [(0, 0)]
        return lambda positions: _along_edges(positions, points, values, edges)

    triangles = Delaunay(points)
    inside = LinearNDInterpolator(triangles, values)

    def lookup(positions):
        result = inside(positions)
        out = np.isnan(result)
        result[out] = _along_edges(
            positions[out], points, values, triangles.convex_hull
        )
        return result

    return lookup


def _along_edges(positions, points, values, edges) -> np.ndarray:
    """Interpolate along the edges, each position at the nearest point of them."""
    nearest = np.full(len(positions), np.inf)
    result = np.full(len(positions), np.nan)
    for first, last in edges:
        along = points[last] - points[first]
        length = along @ along
        part = (positions - points[first]) @ along / (length if length else 1.0)
        part = np.clip(part, 0.0, 1.0)
        offset = positions - points[first] - part[:, None] * along
        distance = (offset**2).sum(axis=-1)
        value = values[first] * (1 - part) + values[last] * part
        result = np.where(distance < nearest, value, result)
        nearest = np.minimum(nearest, distance)
    return result
