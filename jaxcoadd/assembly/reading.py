"""Read warps on the grid of the coadd: scaled, shifted, with one set of planes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxcoadd.assembly.plan import Input, Plan
from jaxcoadd.masks import remap_mask
from jaxcoadd.zero_points import scale_planes


@dataclasses.dataclass(frozen=True, eq=False)
class Strip:
    """Some rows of one warp on the grid of the coadd.

    `bad_variance` counts the pixels whose variance cannot be.
    """

    image: np.ndarray
    variance: np.ndarray
    mask: np.ndarray
    bad_variance: int


def pixel_type() -> np.dtype:
    """Return the type that pixels are computed in: 64 bits if JAX has them enabled."""
    return np.dtype(np.float64 if jax.config.read("jax_enable_x64") else np.float32)


def read_strip(item: Input, plan: Plan, start: int, stop: int) -> Strip:
    """Read some rows of a warp.

    Parameters
    ----------
    item
        The input.
    plan
        With the grid and the planes of the coadd.
    start, stop
        Rows of the coadd: the first, and the one after the last.

    Returns
    -------
    Strip
        Pixels that the file does not cover are NaN, with NO_DATA.
    """
    assert item.file is not None
    height, width = plan.grid.shape
    dx, dy = item.offset
    first, last = max(start + dy, 0), min(stop + dy, height)
    shape = (stop - start, width)
    image = np.full(shape, np.nan, np.float32)
    variance = np.full(shape, np.nan, np.float32)
    mask = np.full(shape, plan.planes.bits(["NO_DATA"]), np.uint32)
    if first >= last:
        return Strip(image, variance, mask, 0)
    rows = item.file.read_rows(first, last)
    left, right = max(dx, 0), min(width + dx, width)
    target = np.s_[first - start - dy : last - start - dy, left - dx : right - dx]
    source = np.s_[:, left:right]
    scaled = (rows.image, rows.variance)
    if item.factor != 1:
        scaled = scale_planes(*scaled, item.factor)
    image[target], variance[target] = scaled[0][source], scaled[1][source]
    mask[target] = remap_mask(rows.mask, item.file.planes, plan.planes)[source]
    return Strip(image, variance, mask, rows.bad_variance)


def to_device(array: np.ndarray) -> jax.Array:
    """Copy pixels to JAX, in the type that they are computed in."""
    if array.dtype.kind == "f":
        array = array.astype(pixel_type(), copy=False)
    # A copy: JAX may otherwise read memory that is filled anew meanwhile.
    return jnp.array(array, copy=True)
