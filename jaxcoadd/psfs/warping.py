"""Point-spread functions on another grid of pixels.

A stamp is small, so the map between the grids is an affine one: the pixel at an
offset d from the middle of the new stamp lies at ``fraction + matrix @ d`` from the
middle pixel of the old one. Offsets are (x, y) and small, so 32 bits suffice; whole
pixels are split off on the host, in double precision.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcoadd.arrays import Image
from jaxcoadd.psfs.stamps import HalfSize, Position, is_within, normalise
from jaxcoadd.resampling import AbstractKernel, Lanczos

Matrix = Float[Array, "2 2"]

# A larger coefficient from the old to the new grid is a mistake of a WCS.
_LARGEST_COEFFICIENT = 200.0


class LargeTransformError(ValueError):
    """A map between grids enlarges so much that it must be a mistake."""


class CachedKernel(AbstractKernel):
    """A kernel known at a number of fractions only, as a table of it would be.

    Parameters
    ----------
    kernel
        The kernel.
    size
        Number of fractions between two pixels.

    Notes
    -----
    A step function of the position: its derivative by it is 0.
    """

    kernel: AbstractKernel = Lanczos(3)
    size: int = eqx.field(static=True, default=10000)

    def __check_init__(self):
        """Refuse an empty table."""
        if self.size < 1:
            raise ValueError(f"size of a cached kernel is {self.size}; at least 1")

    @property
    def half_width(self) -> int:
        """That of the kernel."""
        return self.kernel.half_width

    def weights(self, fraction: Float[Array, "*s"]) -> tuple[Float[Array, "*s"], ...]:
        """Return the weights in the middle of the step that a fraction lies in."""
        return self.kernel.weights(self._stepped(fraction))

    @property
    def footprints(self) -> tuple[range, ...]:
        """Those of the kernel."""
        return self.kernel.footprints

    def footprint(self, fraction: Float[Array, "*s"]) -> Int[Array, "*s"]:
        """Return which of `footprints` a position touches."""
        return self.kernel.footprint(self._stepped(fraction))

    def _stepped(self, fraction: Float[Array, "*s"]) -> Float[Array, "*s"]:
        return (jnp.floor(fraction * self.size) + 0.5) / self.size


def warped_half_size(
    half_size: np.ndarray, matrix: np.ndarray, fraction: np.ndarray
) -> np.ndarray:
    """Return how many pixels of a warped stamp lie on either side of its middle.

    Parameters
    ----------
    half_size
        Rows and columns on either side of the middle of the stamp.
    matrix
        Offsets (x, y) on the old grid by offsets on the new one.
    fraction
        Where the new middle is, from the middle pixel of the old stamp, (x, y).

    Returns
    -------
    Array
        Rows and columns, whole numbers.

    Raises
    ------
    LargeTransformError
        A coefficient from old to new pixels is above 200, or the matrix has no inverse.

    Notes
    -----
    On the host, in double precision. LSST: the box of ``WarpedPsf``.
    """
    with np.errstate(all="ignore"):
        a, b, c, d = np.asarray(matrix, float).ravel()
        inverse = np.array([[d, -b], [-c, a]]) / (a * d - b * c)
    largest = np.abs(inverse).max()
    if not largest <= _LARGEST_COEFFICIENT:
        raise LargeTransformError(
            f"a pixel of an input is {largest:g} pixels of the coadd in x or y, and at "
            f"most {_LARGEST_COEFFICIENT:g} are possible; look at the WCS of the input"
        )
    outer = np.asarray(half_size, float)[::-1] + 0.5
    corners = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]]) * outer
    extent = np.ptp((corners - np.asarray(fraction, float)) @ inverse.T, axis=0)
    return np.floor(0.5 * extent[::-1]).astype(int)


def warp_psf(
    image: Image,
    half_size: HalfSize,
    matrix: Matrix,
    fraction: Position,
    kernel: AbstractKernel,
    *,
    size: tuple[int, int],
    warped_half_size: HalfSize,
) -> Image:
    """Bring the image of a point source to another grid of pixels.

    Parameters
    ----------
    image
        The image at the source's position, between pixels as it lies there, and 0
        beyond its half size: see `shift_stamp`.
    half_size
        Rows and columns of the image on either side of its middle pixel.
    matrix, fraction
        The affine map to the image's pixels: offsets (x, y) on the new grid give
        ``fraction + matrix @ offset`` from the image's middle pixel.
    kernel
        The kernel that the image itself was warped with.
    size
        Rows and columns of the result, odd.
    warped_half_size
        Rows and columns on either side of the middle that the result really has, by
        `warped_half_size`; beyond, it is 0.

    Returns
    -------
    Array
        The stamp, centred on its middle pixel, of sum 1. All NaN if the sum is 0.

    Raises
    ------
    ValueError
        A size is even.

    Notes
    -----
    Smooth in the image, the matrix and the fraction, but where pixels enter or leave
    the image. LSST: ``WarpedPsf``.
    """
    _check_size(size)
    rows, columns = (jnp.arange(n, dtype=image.dtype) - n // 2 for n in size)
    x, y = (
        fraction[axis]
        + matrix[axis, 0] * columns[None]
        + matrix[axis, 1] * rows[:, None]
        for axis in (0, 1)
    )
    found = _resample(image, half_size, x, y, kernel, padding=kernel.half_width + 1)
    return normalise(jnp.where(is_within(size, warped_half_size), found, 0))


def warp_psf_to_cell(
    image: Image,
    half_size: HalfSize,
    offsets: Float[Array, "y1 x1 2"],
    kernel: AbstractKernel,
) -> Image:
    """Bring the image of a point source to the pixels of a cell, by their positions.

    Parameters
    ----------
    image, half_size
        The image at the source position of the cell's centre, as for `warp_psf`.
    offsets
        Where the new pixels lie, from the image's middle pixel, (x, y); one row and one
        column more than the result, in front, for the areas of the pixels.
    kernel
        The kernel that the image itself was warped with.

    Returns
    -------
    Array
        The stamp. Its sum is left as it comes out: if it is not from 0.995 to 1.005,
        the stamp is too small, or a WCS is wrong.

    Raises
    ------
    ValueError
        A size of the result is even.

    Notes
    -----
    Smooth in the image and the offsets. LSST: the PSF of cell-based coadds, whose
    mean over inputs is `coadd_psf`.
    """
    _check_size((offsets.shape[0] - 1, offsets.shape[1] - 1))
    across = offsets[1:, 1:] - offsets[1:, :-1]
    along = offsets[1:, 1:] - offsets[:-1, 1:]
    area = jnp.abs(across[..., 0] * along[..., 1] - across[..., 1] * along[..., 0])
    x, y = offsets[1:, 1:, 0], offsets[1:, 1:, 1]
    # So much padding that no pixel near the image counts as one at an edge.
    return area * _resample(
        image, half_size, x, y, kernel, padding=2 * kernel.half_width
    )


def _check_size(size: tuple[int, int]) -> None:
    """Refuse a result without a middle pixel."""
    if 0 in (size[0] % 2, size[1] % 2):
        raise ValueError(
            f"size of a warped PSF is {size[0]} by {size[1]}; both must be odd"
        )


def _resample(
    image: Image,
    half_size: HalfSize,
    x: Image,
    y: Image,
    kernel: AbstractKernel,
    *,
    padding: int,
) -> Image:
    """Interpolate at offsets from the middle pixel of an image that is padded with 0.

    Where the kernel reaches over the padding, the result is 0.
    """
    n = kernel.half_width
    padded = jnp.pad(image, padding)
    weights, firsts, inside = [], [], True
    for axis, offset in enumerate((y, x)):
        whole = jnp.floor(offset)
        weights.append(kernel.weights(offset - whole))
        lowest = -half_size[axis] - padding + n - 1
        highest = half_size[axis] + padding - n
        start = whole.astype(int)
        inside = inside & (start >= lowest) & (start <= highest)
        middle = image.shape[axis] // 2 + padding
        firsts.append(jnp.clip(start, lowest, highest) + middle - (n - 1))
    rows, columns = weights
    total = 0
    for down, row in enumerate(rows):
        line = sum(
            column * padded[firsts[0] + down, firsts[1] + right]
            for right, column in enumerate(columns)
        )
        total = total + row * line
    return jnp.where(inside, total / (sum(rows) * sum(columns)), 0)
