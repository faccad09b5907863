"""Smooth backgrounds, from the clipped means of cells: constant, plane or spline."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcoadd.arrays import Image, Mask, Region
from jaxcoadd.detection.splines import curve_through, evaluate_curves, locate
from jaxcoadd.masks import MaskPlanes, has_any
from jaxcoadd.selection import plane_clipped_mean
from jaxcoadd.stages import compute_once

_SIGMA_CLIP = 3.0
_CLIP_ITER = 3


class BackgroundError(ValueError):
    """There is no pixel that a background can be measured from."""


@dataclasses.dataclass(frozen=True)
class BackgroundConfig:
    """How to measure a background. The defaults are those of LSST.

    Parameters
    ----------
    bin_size
        Pixels a side of a cell, about.
    ignored_planes
        Planes whose pixels are left out.

    Raises
    ------
    ValueError
        Cells of less than a pixel.
    """

    bin_size: int = 128
    ignored_planes: tuple[str, ...] = (
        "BAD",
        "EDGE",
        "DETECTED",
        "DETECTED_NEGATIVE",
        "NO_DATA",
    )

    def __post_init__(self):
        """Refuse cells without pixels."""
        check_bin_size(self.bin_size)


def check_bin_size(bin_size: int) -> None:
    """Refuse cells of less than a pixel with a `ValueError`."""
    if bin_size < 1:
        raise ValueError(f"bin_size must be 1 or more, not {bin_size}")


def measure_background(
    image: Image, mask: Mask, *, planes: MaskPlanes, config: BackgroundConfig
) -> Image:
    """Measure a smooth background.

    Parameters
    ----------
    image, mask
        Pixels, (y, x).
    planes
        Planes of the mask.
    config
        How.

    Returns
    -------
    Image
        NaN only if no cell has a mean: a cell without pixels, or with one that is
        NaN and not masked, has none and is passed over.

    Raises
    ------
    BackgroundError
        All pixels are masked.

    Notes
    -----
    Means of cells, clipped three times at three standard deviations, are those of
    the centres of the cells; between them runs the curve of `curve_through`, along
    columns and then along rows. LSST: ``SubtractBackgroundTask`` without its
    approximation by polynomials.
    """
    where, some = _compiled_unmasked(mask, planes.bits(config.ignored_planes))
    if not some:
        raise BackgroundError(
            "all pixels are masked by "
            f"{', '.join(config.ignored_planes)}; a background needs some that are not"
        )
    return spline_background(image, where, bin_size=config.bin_size)


def constant_background(image: Image, where: Region) -> Image:
    """Return the clipped mean of an image at each pixel.

    Parameters
    ----------
    image
        Pixels, (y, x).
    where
        Pixels that count, all of them numbers.

    Returns
    -------
    Image
        NaN if no pixel counts.

    Notes
    -----
    Clipped three times at three standard deviations. Differentiable in the image.
    """
    return jnp.broadcast_to(_clipped_mean(image, where), image.shape)


def plane_background(image: Image, where: Region, *, bin_size: int) -> Image:
    """Fit a plane to the clipped means of the cells of an image.

    Parameters
    ----------
    image
        Pixels, (y, x).
    where
        Pixels that count, all of them numbers. Each cell has the weight of those that
        it has.
    bin_size
        Pixels a side of a cell, about.

    Returns
    -------
    Image
        NaN if no pixel counts. Level along an axis with a single cell.

    Notes
    -----
    Differentiable in the image.
    """
    y, x = (_Cells.of(length, bin_size) for length in image.shape)
    ends = jnp.asarray(y.ends), jnp.asarray(x.ends)
    means = _compiled_means(image, where, *ends)
    counts = _compiled_counts(where, *ends).astype(image.dtype)
    known = counts > 0
    terms = _plane_terms(y.centres, x.centres, image)
    root = jnp.sqrt(counts)
    fit = jnp.linalg.lstsq(
        (terms * root[None]).reshape(3, -1).T,
        (jnp.where(known, means, 0) * root).reshape(-1),
    )[0]
    level, slope_y, slope_x = fit
    rows, columns = image.shape
    _, v, u = _plane_terms(np.arange(rows), np.arange(columns), image)
    plane = level + slope_y * v + slope_x * u
    return jnp.where(known.any(), plane, jnp.nan)


def _plane_terms(y, x, image) -> Float[Array, "3 y x"]:
    """Return 1, y and x at some rows and columns, from -1 to 1 over the image."""
    # So scaled, the three are nearly orthogonal and a fit loses no digits.
    v, u = (
        (2 * np.asarray(positions) + 1 - length) / length
        for positions, length in zip((y, x), image.shape, strict=True)
    )
    terms = np.stack(np.broadcast_arrays(1.0, v[:, None], u[None]))
    return jnp.asarray(terms, image.dtype)


def spline_background(image: Image, where: Region, *, bin_size: int) -> Image:
    """Follow the clipped means of the cells of an image by a spline.

    Parameters
    ----------
    image
        Pixels, (y, x).
    where
        Pixels that count.
    bin_size
        Pixels a side of a cell, about.

    Returns
    -------
    Image
        NaN only if no cell has a mean: a cell without pixels that count, or with a NaN
        among them, has none and is passed over.

    Notes
    -----
    See `measure_background`. Not differentiable: the spline is found on the host.
    """
    y, x = (_Cells.of(length, bin_size) for length in image.shape)
    means = _compiled_means(image, where, jnp.asarray(y.ends), jnp.asarray(x.ends))
    # The original keeps the means in 32 bits.
    grid = np.asarray(means).astype(np.float32).astype(np.float64)
    columns = _through_columns(grid, y.centres, image.shape[0])
    known = np.isfinite(columns).all(axis=0)
    if not known.any():
        return jnp.full_like(image, jnp.nan)
    knots = x.centres[known]
    pieces = curve_through(knots, columns[:, known].T)
    piece, u = locate(knots, np.arange(image.shape[1], dtype=np.float64))
    return _compiled_evaluation(
        jnp.asarray(pieces.transpose(0, 2, 1), image.dtype),
        jnp.asarray(piece, jnp.int32),
        jnp.asarray(u, image.dtype),
    )


@dataclasses.dataclass(frozen=True)
class _Cells:
    """Cells along an axis: where each ends, and its centre."""

    ends: Int[np.ndarray, " cell"]
    centres: Float[np.ndarray, " cell"]

    @classmethod
    def of(cls, length: int, bin_size: int) -> "_Cells":
        n = -(-length // bin_size)
        ends = np.minimum((np.arange(1, n + 1) * length + n // 2) // n, length)
        begins = np.append(0, ends[:-1])
        return cls(ends.astype(np.int32), begins + 0.5 * (ends - begins) - 0.5)


def _through_columns(grid, centres, rows):
    """Follow each column of cells along all rows of pixels; NaN if it has no mean."""
    columns = np.full((rows, grid.shape[1]), np.nan)
    positions = np.arange(rows, dtype=np.float64)
    known = np.isfinite(grid)
    for pattern in np.unique(known, axis=1).T:
        if not pattern.any():
            continue
        alike = (known == pattern[:, None]).all(axis=0)
        knots = centres[pattern]
        pieces = curve_through(knots, grid[np.ix_(pattern, alike)])
        columns[:, alike] = evaluate_curves(pieces, knots, positions)
    return columns


def cell_means(
    image: Image,
    where: Region,
    rows: Int[Array, " row"],
    columns: Int[Array, " column"],
) -> Float[Array, "row column"]:
    """Return the clipped mean of each cell of an image.

    Parameters
    ----------
    image
        Pixels, (y, x).
    where
        Pixels that count.
    rows, columns
        Where the cells end, increasing up to the shape of the image; their sizes
        differ by 1 at most.

    Returns
    -------
    Float[Array, "row column"]
        NaN for a cell without pixels that count, or with a NaN among them.
    """
    # Once, or XLA gathers anew for every pass over the cells.
    values, counts = compute_once(_gather_cells, image, where, rows, columns)
    mean = jax.vmap(jax.vmap(_clipped_mean))(values, counts)
    unknown = (counts & jnp.isnan(values)).any(axis=(2, 3))
    return jnp.where(unknown, jnp.nan, mean)


def cell_counts(
    where: Region, rows: Int[Array, " row"], columns: Int[Array, " column"]
) -> Int[Array, "row column"]:
    """Count the pixels of each cell of an image.

    Parameters
    ----------
    where
        Pixels that count, (y, x).
    rows, columns
        Where the cells end, see `cell_means`.
    """
    sums = jnp.cumsum(jnp.cumsum(where.astype(jnp.int32), axis=0), axis=1)
    corners = sums[rows - 1][:, columns - 1]
    padded = jnp.pad(corners, ((1, 0), (1, 0)))
    return jnp.diff(jnp.diff(padded, axis=0), axis=1)


def _gather_cells(image, where, rows, columns):
    """Return the pixels of each cell, (row, column, y, x), and which of them count."""
    y, in_row = _positions(rows, image.shape[0])
    x, in_column = _positions(columns, image.shape[1])
    inside = in_row[:, :, None, None] & in_column[None, None]

    def cells(plane):
        gathered = plane[y.reshape(-1)][:, x.reshape(-1)].reshape(*y.shape, *x.shape)
        return jnp.swapaxes(gathered, 1, 2)

    return cells(image), cells(where) & jnp.swapaxes(inside, 1, 2)


def _positions(ends, length):
    """Return the pixels of each cell along an axis, and which of them are its own."""
    longest = -(-length // len(ends))
    begins = jnp.concatenate([jnp.zeros(1, ends.dtype), ends[:-1]])
    steps = begins[:, None] + jnp.arange(longest, dtype=ends.dtype)[None]
    return jnp.minimum(steps, length - 1), steps < ends[:, None]


def _clipped_mean(values, where):
    return plane_clipped_mean(
        jnp.where(jnp.isnan(values), 0, values),
        where=where,
        sigma_clip=_SIGMA_CLIP,
        clip_iter=_CLIP_ITER,
    )[0]


def evaluate_rows(
    pieces: Float[Array, "4 y piece"],
    piece: Int[Array, " x"],
    u: Float[Array, " x"],
) -> Image:
    """Return the values of cubic pieces along rows, one curve a row.

    Parameters
    ----------
    pieces
        Coefficients of 1, u, u² and u³.
    piece, u
        The piece that each column is in, and how far into it.
    """
    a, b, c, d = (coefficient[:, piece] for coefficient in pieces)
    u = jnp.broadcast_to(u[None], a.shape)
    return a + u * (b + u * (c + u * d))


def _unmasked(mask, bits):
    """Return the pixels without any of some planes, and whether there are any."""
    where = ~has_any(mask, bits)
    return where, where.any()


_compiled_unmasked = jax.jit(_unmasked, static_argnames="bits")
_compiled_means = jax.jit(cell_means)
_compiled_counts = jax.jit(cell_counts)
_compiled_evaluation = jax.jit(evaluate_rows)
