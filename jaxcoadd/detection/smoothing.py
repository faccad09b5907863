"""Smoothing by a Gaussian, of the parts of an image that have all of it."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from jaxcoadd.arrays import Image, Mask


def gaussian_taps(sigma: float, *, n_sigma: float = 7.0) -> Float[np.ndarray, " tap"]:
    """Return a Gaussian on an odd number of pixels, of sum 1.

    Parameters
    ----------
    sigma
        Standard deviation, pixels.
    n_sigma
        Width of the kernel in standard deviations, rounded to an odd number.

    Raises
    ------
    ValueError
        `sigma` is not positive and finite.
    """
    if not 0 < sigma < np.inf:
        raise ValueError(
            f"the width of a PSF must be positive and finite, not {sigma}; "
            "without it nothing can be detected"
        )
    half = int(n_sigma * sigma + 0.5) // 2
    position = np.arange(-half, half + 1)
    taps = np.exp(-0.5 * (position / sigma) ** 2)
    return taps / taps.sum()


def smooth_planes(
    image: Image, variance: Image, mask: Mask, taps: Float[np.ndarray, " tap"]
) -> tuple[Image, Image, Mask]:
    """Smooth an image along rows and columns.

    Parameters
    ----------
    image, variance, mask
        Pixels, (y, x).
    taps
        The kernel along one axis, an odd number of pixels.

    Returns
    -------
    tuple
        Image, variance and mask without a border of half the kernel: each pixel has
        its whole neighbourhood. The variance is that of the smoothed noise if pixels
        are independent; the mask has all bits of the neighbourhood.

    Raises
    ------
    ValueError
        The image is smaller than the kernel.

    Notes
    -----
    Linear in image and variance. NaN spreads over the kernel.
    """
    if min(image.shape) < len(taps):
        raise ValueError(
            f"an image of shape {image.shape} is smaller than the kernel of "
            f"{len(taps)} pixels that smooths it"
        )
    along_rows = _sum_neighbours(image, taps, axis=1)
    noise_along_rows = _sum_neighbours(variance, taps**2, axis=1)
    return (
        _sum_neighbours(along_rows, taps, axis=0),
        _sum_neighbours(noise_along_rows, taps**2, axis=0),
        _unite_neighbours(
            _unite_neighbours(mask, len(taps), axis=1), len(taps), axis=0
        ),
    )


def _shifted(plane: Shaped[Array, "y x"], width: int, step: int, axis: int):
    """Return the part of a plane that is `step` pixels on along an axis."""
    length = plane.shape[axis] - width + 1
    return plane[step : step + length] if axis == 0 else plane[:, step : step + length]


def _sum_neighbours(plane: Image, taps: np.ndarray, *, axis: int) -> Image:
    weights = taps.astype(plane.dtype)
    width = len(taps)
    total = weights[0] * _shifted(plane, width, 0, axis)
    for step in range(1, width):
        total = total + weights[step] * _shifted(plane, width, step, axis)
    return total


def _unite_neighbours(mask: Mask, width: int, *, axis: int) -> Mask:
    union = _shifted(mask, width, 0, axis)
    for step in range(1, width):
        union = union | _shifted(mask, width, step, axis)
    return jnp.asarray(union)
