"""The PSF that every warp is matched to, and the sizes of stamps."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcoadd.arrays import FloatScalar, Image

_WING_RATIO = 2.5
_WING_PEAK = 0.1
_SIZE_IN_FWHM = 3.0
_SMALLEST = 5
_STAMP_IN_KERNELS = 1.4


def check_odd(size: int, what: str) -> None:
    """Refuse a size that has no central pixel."""
    if size < 1 or size % 2 == 0:
        raise ValueError(
            f"{what} is {size} pixels, which has no central pixel; take an odd number"
        )


def model_psf_size(fwhm: float) -> int:
    """Return the size of the stamp of a model PSF, in pixels.

    Parameters
    ----------
    fwhm
        Full width at half maximum of its core, in pixels.

    Returns
    -------
    int
        Three times the width, as an odd number, and at least 5.

    Raises
    ------
    ValueError
        The width is not a positive, finite number.

    Examples
    --------
    >>> model_psf_size(7.7)
    23
    """
    if not (math.isfinite(fwhm) and fwhm > 0):
        raise ValueError(
            f"fwhm of the model PSF is {fwhm}; it must be positive and finite"
        )
    return max(_SMALLEST, int(_SIZE_IN_FWHM * fwhm) // 2 * 2 + 1)


def matching_stamp_size(psf_size: int, model_size: int, kernel_size: int) -> int:
    """Return the size of the stamps on which a kernel is fitted, in pixels.

    Parameters
    ----------
    psf_size, model_size, kernel_size
        Sizes of the stamps of the input PSFs, of the model PSF and of the kernel; odd.

    Returns
    -------
    int
        The larger of the two PSFs, and at least the next odd number from 1.4 kernels.

    Raises
    ------
    ValueError
        A size is not a positive odd number.

    Examples
    --------
    >>> matching_stamp_size(25, model_psf_size(7.7), 21)
    31
    """
    check_odd(psf_size, "the PSF")
    check_odd(model_size, "the model PSF")
    check_odd(kernel_size, "the kernel")
    # A float product such as 1.4 * 15 may lie just above the whole number it means.
    wanted = math.ceil(round(_STAMP_IN_KERNELS * kernel_size, 9))
    return max(psf_size, model_size, wanted + 1 - wanted % 2)


def gaussian_model_psf(fwhm: FloatScalar = 7.7, *, size: int | None = None) -> Image:
    """Make a round double Gaussian, the PSF that warps are matched to.

    Parameters
    ----------
    fwhm
        Full width at half maximum of the core, in pixels; a number, unless `size` is
        given. Take it above the worst seeing, otherwise matching deconvolves.
    size
        Rows and columns of the stamp, odd; `model_psf_size` of the width by default.
        To fit a kernel take `matching_stamp_size`.

    Returns
    -------
    Float[Array, "y x"]
        A core and a wing that is 2.5 times wider, with a tenth of its peak. Sum 1.

    Raises
    ------
    ValueError
        The width is not positive and finite, or the size is not odd.

    Notes
    -----
    Differentiable in the width, where the size is given. The model of LSST's
    PSF-matched warps.

    Examples
    --------
    >>> gaussian_model_psf(7.7).shape
    (23, 23)
    """
    if isinstance(fwhm, int | float):
        size = model_psf_size(fwhm) if size is None else size
    if size is None:
        raise ValueError("fwhm is an array, whose value sets no size; give the size")
    check_odd(size, "the model PSF")
    core = jnp.asarray(fwhm, float) / (2 * math.sqrt(2 * math.log(2)))
    offset = jnp.arange(size, dtype=core.dtype) - size // 2
    squared = offset[:, None] ** 2 + offset[None, :] ** 2
    profile = _gaussian(squared, core)
    profile = profile + _WING_PEAK * _gaussian(squared, _WING_RATIO * core)
    return profile / jnp.sum(profile)


def _gaussian(squared: Image, sigma: Float[Array, ""]) -> Image:
    """Return a Gaussian of peak 1 at squared radii."""
    return jnp.exp(-squared / (2 * sigma**2))
