"""Resampling onto another grid, rounded as the original rounds."""

import dataclasses

import numpy as np

EDGE, NO_DATA = 1 << 4, 1 << 8


@dataclasses.dataclass(frozen=True)
class Resampled:
    """An image on another grid: image, variance, mask, and where it has data."""

    image: np.ndarray
    variance: np.ndarray
    mask: np.ndarray
    inside: np.ndarray


def _half_width(kernel: str) -> int:
    """Return half the number of pixels that a kernel spans along an axis."""
    return int(kernel[7:]) if kernel.startswith("lanczos") else 1


def kernel_weights(kernel: str, fraction: float) -> np.ndarray:
    """Return the weights of the pixels around a position, along one axis.

    Parameters
    ----------
    kernel
        "lanczos3" with any number, "bilinear" or "nearest".
    fraction
        The position less the next pixel below it.

    Returns
    -------
    numpy.ndarray
        One a pixel, for a kernel of half-width n from -(n - 1) to n; not normalised.
    """
    n = _half_width(kernel)
    offset = np.arange(1 - n, n + 1)
    if kernel == "bilinear":
        return 0.5 + (1 - 2 * abs(fraction)) * (0.5 - offset)
    if kernel == "nearest":
        return np.where((fraction < 0.5) == (offset < 0.5), 1.0, 0.0)
    angle = np.pi * (offset - fraction)
    centred = np.abs(angle) <= 1e-5
    angle = np.where(centred, 1.0, angle)
    weights = np.sin(angle) / angle * np.sin(angle / n) / (angle / n)
    return np.where(centred, 1.0, weights)


def _relative_areas(coordinates) -> np.ndarray:
    """Return the area of each pixel, from its left and its lower neighbour."""
    here = coordinates[:, 1:, 1:]
    left, lower = here - coordinates[:, 1:, :-1], here - coordinates[:, :-1, 1:]
    return np.abs(left[1] * lower[0] - left[0] * lower[1])


def _union(mask, rows, columns) -> int:
    """Return all bits of the pixels that have a weight in y and in x."""
    chosen = mask[np.ix_(rows != 0, columns != 0)]
    return int(np.bitwise_or.reduce(chosen, axis=None))


@np.errstate(all="ignore")
def _pixel(image, variance, rows, columns, area):
    """Sum over the kernel; every product and sum is rounded to the type of pixels."""
    number = image.dtype.type
    scale = number(area / (rows.sum() * columns.sum()))
    value, error = number(0), number(0)
    for y, row_weight in enumerate(rows):
        row_value, row_error = number(0), number(0)
        ky = number(row_weight)
        for x, column_weight in enumerate(columns):
            if column_weight == 0 or row_weight == 0:
                continue
            kx = number(column_weight)
            row_value += image[y, x] * kx
            row_error += variance[y, x] * kx * kx
        value += row_value * ky
        error += row_error * ky * ky
    return value * scale, error * scale * scale


def resample(
    image: np.ndarray,
    variance: np.ndarray,
    mask: np.ndarray,
    coordinates: np.ndarray,
    *,
    kernel: str = "lanczos3",
    mask_kernel: str | None = "bilinear",
    grow_full_mask: int = EDGE,
    no_data: int = NO_DATA,
    cache_size: int = 0,
) -> Resampled:
    """Interpolate an image, its variance and its mask to other pixels.

    Parameters
    ----------
    image, variance, mask
        The source, (y, x).
    coordinates
        Source rows and columns of the target pixels, (2, y + 1, x + 1): they begin at
        the target row and column -1.
    kernel, mask_kernel
        Names as in `kernel_weights`; None: masks grow with the kernel of the image.
    grow_full_mask
        Bit value of planes that always grow so.
    no_data
        Bit value of the mask where the kernel is not wholly inside.
    cache_size
        Number of entries of a table of weights; 0: no table.

    Returns
    -------
    Resampled
        On the grid of the target. Pixels are fluxes.
    """
    n, shape = _half_width(kernel), np.array(image.shape)
    areas = _relative_areas(coordinates)
    size = areas.shape
    planes = Resampled(
        np.full(size, np.nan, image.dtype),
        np.full(size, np.inf, variance.dtype),
        np.full(size, no_data, mask.dtype),
        np.zeros(size, bool),
    )
    for at in np.ndindex(*size):
        position = coordinates[:, at[0] + 1, at[1] + 1]
        whole = np.floor(position)
        if not np.all((whole >= n - 1) & (whole <= shape - 1 - n)):
            continue
        fraction = position - whole
        if cache_size:
            fraction = (np.floor(fraction * cache_size) + 0.5) / cache_size
        y, x = whole.astype(int)
        box = np.s_[y - n + 1 : y + n + 1, x - n + 1 : x + n + 1]
        rows, columns = (kernel_weights(kernel, f) for f in fraction)
        planes.image[at], planes.variance[at] = _pixel(
            image[box], variance[box], rows, columns, areas[at]
        )
        union = _union(mask[box], rows, columns)
        if mask_kernel is not None:
            m = _half_width(mask_kernel)
            small = np.s_[y - m + 1 : y + m + 1, x - m + 1 : x + m + 1]
            touched = (kernel_weights(mask_kernel, f) for f in fraction)
            union = union & grow_full_mask | _union(mask[small], *touched)
        planes.mask[at], planes.inside[at] = union, True
    return planes
