"""Convolution with a kernel that varies, pixel by pixel and tap by tap."""

from collections.abc import Sequence

import numpy as np
from numpy.polynomial.chebyshev import chebval


def kernel_at(
    y: float,
    x: float,
    *,
    basis: np.ndarray,
    coefficients: np.ndarray,
    shape: tuple[int, int],
    order: int,
) -> np.ndarray:
    """Return the kernel at a position, of sum 1.

    Parameters
    ----------
    y, x
        Position in the region, in pixels.
    basis
        Functions, (function, y, x).
    coefficients
        One row a function: the factors of ``T_i(y) T_j(x)``, i + j at most the order,
        j running fastest, y and x scaled to -1 to 1 over the region.
    shape, order
        Rows and columns of the region, and the order of the polynomials.
    """
    scaled_y, scaled_x = 2 * y / (shape[0] - 1) - 1, 2 * x / (shape[1] - 1) - 1
    kernel = np.zeros(basis.shape[1:])
    for function, row in zip(basis, coefficients, strict=True):
        term = 0
        for i in range(order + 1):
            for j in range(order + 1 - i):
                t_i = chebval(scaled_y, np.eye(order + 1)[i])
                t_j = chebval(scaled_x, np.eye(order + 1)[j])
                kernel = kernel + row[term] * t_i * t_j * function
                term += 1
    return kernel / kernel.sum()


def match_psf(
    image: np.ndarray,
    variance: np.ndarray,
    mask: np.ndarray,
    *,
    basis: np.ndarray,
    coefficients: np.ndarray,
    shape: tuple[int, int],
    order: int,
    origin: Sequence[float] = (0, 0),
    no_data: int = 256,
    step: int = 10,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convolve an image, its variance and its mask with a kernel that varies.

    Parameters
    ----------
    image, variance, mask
        Planes of one image, (y, x).
    basis, coefficients, shape, order
        The kernel, as for `kernel_at`.
    origin
        Row and column of the first pixel in the region.
    no_data
        Bit value of the plane NO_DATA.
    step
        Pixels over which the kernel is interpolated; 1: not at all.

    Returns
    -------
    tuple
        Image, variance and mask; on the rim NaN, infinity and NO_DATA.
    """
    size = basis.shape[-1]
    half = size // 2
    rows, columns = image.shape
    matched = np.full(image.shape, np.nan)
    matched_variance = np.full(image.shape, np.inf)
    bits = np.full(image.shape, no_data, np.uint32)

    knots = {}

    def knot(i, j):
        if (i, j) not in knots:
            y, x = origin[0] + half + i * step, origin[1] + half + j * step
            knots[i, j] = kernel_at(
                y, x, basis=basis, coefficients=coefficients, shape=shape, order=order
            )
        return knots[i, j]

    for y in range(half, rows - half):
        for x in range(half, columns - half):
            i, j = (y - half) // step, (x - half) // step
            part_y = (y - half) % step / step
            part_x = (x - half) % step / step
            top = (1 - part_x) * knot(i, j) + part_x * knot(i, j + 1)
            bottom = (1 - part_x) * knot(i + 1, j) + part_x * knot(i + 1, j + 1)
            kernel = (1 - part_y) * top + part_y * bottom
            flux = noise = 0.0
            union = 0
            for tap_y, tap_x in np.ndindex(size, size):
                source = y + half - tap_y, x + half - tap_x
                tap = kernel[tap_y, tap_x]
                # Infinite times a tap is infinite, or NaN in the image.
                flux += tap * image[source] if np.isfinite(image[source]) else np.nan
                noise += tap**2 * variance[source]
                union |= int(mask[source])
            known = np.isfinite(flux) and np.isfinite(noise)
            matched[y, x] = flux
            matched_variance[y, x] = noise if known else np.inf
            bits[y, x] = union if known else union | no_data
    return matched, matched_variance, bits
