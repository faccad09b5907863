"""Which pixels are above a threshold, to the last bit in either precision."""

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcoadd.arrays import Image, Region

# The upper half of the digits of a 32-bit float: products of halves are exact.
_UPPER_HALF = 0xFFFFF000


def is_above(image: Image, threshold: float) -> Region:
    """Tell which pixels reach a value.

    Parameters
    ----------
    image
        Pixels, (y, x). NaN reaches nothing.
    threshold
        In units of the image; a pixel of just this value reaches it.

    Notes
    -----
    In 32 bits the threshold is rounded up, so that the answer is that of the exact one.
    """
    limit = np.asarray(threshold, image.dtype)
    if limit < threshold:
        limit = np.nextafter(limit, np.asarray(np.inf, image.dtype))
    return image >= limit


def is_significant(image: Image, variance: Image, threshold: float) -> Region:
    """Tell which pixels reach a multiple of their own standard deviation.

    Parameters
    ----------
    image, variance
        Pixels and their variance, (y, x).
    threshold
        In standard deviations; a pixel of just this many reaches it.

    Notes
    -----
    NaN, and a variance that is negative, never reach it; with a variance of 0 all
    pixels from 0 on do. As in LSST's ``FootprintSet`` the standard deviation is
    rounded to 32 bits and the product is not, in either precision.

    Examples
    --------
    >>> is_significant(jnp.array([[5.0, 4.9]]), jnp.ones((1, 2)), 5.0)
    Array([[ True, False]], dtype=bool)
    """
    deviation = jnp.sqrt(variance.astype(jnp.float32))
    if image.dtype == jnp.float64:
        return image >= threshold * deviation.astype(image.dtype)
    product = np.float32(threshold) * deviation
    missing = _product_error(threshold, deviation, product)
    return (image > product) | ((image == product) & ~(missing > 0))


def _product_error(threshold, deviation, product):
    """Return by how much the exact product exceeds its value in 32 bits."""
    high, low = (_halves(np.float32(threshold))).astype(np.float32)
    rest = np.float32(threshold - float(np.float32(threshold)))
    bits = lax.bitcast_convert_type(deviation, jnp.uint32) & jnp.uint32(_UPPER_HALF)
    upper = lax.bitcast_convert_type(bits, jnp.float32)
    lower = deviation - upper
    error = (high * upper - product) + high * lower + low * upper
    return error + low * lower + rest * deviation


def _halves(number: np.float32) -> np.ndarray:
    """Split a number of 24 digits into two of 12 that add up to it."""
    upper = (number.view(np.uint32) & np.uint32(_UPPER_HALF)).view(np.float32)
    return np.array([upper, number - upper])
