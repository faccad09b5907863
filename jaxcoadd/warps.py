"""Warps: calibrated images on the common grid, one or a stack of them."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from jaxcoadd.arrays import (
    FloatScalar,
    Image,
    Images,
    Mask,
    Masks,
    PerWarp,
    Present,
    as_mask,
    as_pixels,
    check_planes,
)
from jaxcoadd.masks import LSST_PLANES, MaskPlanes, remap_mask, unite_planes

NANOJANSKY_ZERO_POINT = 31.4


class Warp(eqx.Module):
    """One calibrated, background-subtracted image on the common grid.

    Parameters
    ----------
    image
        Flux per pixel, (y, x); any linear unit.
    variance
        Variance of the image, (y, x), in the square of that unit.
    mask
        Bits of the mask planes, (y, x); none set by default.
    planes
        Which plane each bit is; LSST's eleven by default.
    zero_point
        AB magnitude of one count; 31.4, that is nanojansky, by default.

    Raises
    ------
    ValueError
        The planes differ in shape or are not images.

    Examples
    --------
    >>> warp = Warp(image=np.ones((2, 3)), variance=np.ones((2, 3)))
    >>> warp.mask.dtype, warp.shape
    (dtype('uint32'), (2, 3))
    """

    image: Image = eqx.field(converter=as_pixels)
    variance: Image = eqx.field(converter=as_pixels)
    mask: Mask
    planes: MaskPlanes = eqx.field(static=True)
    zero_point: FloatScalar

    def __init__(
        self,
        image: Any,
        variance: Any,
        mask: Any = None,
        *,
        planes: MaskPlanes = LSST_PLANES,
        zero_point: FloatScalar = NANOJANSKY_ZERO_POINT,
    ):
        self.image = as_pixels(image)
        self.variance = as_pixels(variance).astype(self.image.dtype)
        self.mask = (
            jnp.zeros(self.image.shape, jnp.uint32) if mask is None else as_mask(mask)
        )
        self.planes = planes
        self.zero_point = zero_point

    def __check_init__(self):
        """Refuse planes that are not images of one shape."""
        check_planes(self.image, self.variance, self.mask)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.image.shape
        return rows, columns


class WarpStack(eqx.Module):
    """Warps of one shape, stacked along a leading axis.

    Parameters
    ----------
    image, variance
        Flux per pixel and its variance, (warp, y, x).
    mask
        Bits of the mask planes, (warp, y, x).
    planes
        Which plane each bit is, the same for every warp.
    zero_point
        AB magnitude of one count, one a warp.
    weight
        One a warp. ``None``: the coadd computes them from the variances, which it
        can only where the stack holds the warps whole.
    present
        False for padding: an absent warp leaves every output bit as it was.
    """

    image: Images
    variance: Images
    mask: Masks
    planes: MaskPlanes = eqx.field(static=True)
    zero_point: PerWarp
    weight: PerWarp | None
    present: Present

    @property
    def shape(self) -> tuple[int, int, int]:
        """Warps, rows and columns."""
        warps, rows, columns = self.image.shape
        return warps, rows, columns


def common_size(n: int) -> int:
    """Return the length that a stack of n warps may share with stacks of like depth.

    Parameters
    ----------
    n
        Number of warps, at least 1.

    Returns
    -------
    int
        1, 2, 3, 4, 6, 8, 12, 16, ...: the next power of two, or three quarters of it.

    Examples
    --------
    >>> [common_size(n) for n in (5, 13, 30, 33, 120)]
    [6, 16, 32, 48, 128]
    """
    if n < 1:
        raise ValueError(f"a stack has at least one warp, not {n}")
    power = 1 << (n - 1).bit_length()
    return power - power // 4 if n <= power - power // 4 else power


def stack_warps(
    warps: Sequence[Warp],
    *,
    weights: PerWarp | Sequence[float] | None = None,
    size: int | None = None,
) -> WarpStack:
    """Stack warps, their masks brought to one numbering of the planes.

    Parameters
    ----------
    warps
        Warps of one shape; each with its own planes and zero point.
    weights
        One a warp. By default `coadd` computes them from the variances.
    size
        Length of the stack. It is filled with absent warps up to this, so that
        stacks of different depth share a compilation; see `common_size`.

    Returns
    -------
    WarpStack
        LSST's planes keep their bits, all others have the lowest free ones.

    Raises
    ------
    ValueError
        No warps, warps that differ in shape, more than 32 planes in all, or a size
        that is too small.
    """
    warps = list(warps)
    if not warps:
        raise ValueError("a stack needs at least one warp")
    for index, warp in enumerate(warps):
        if warp.shape != warps[0].shape:
            raise ValueError(
                f"warps differ in shape: warp 0 is {warps[0].shape}, "
                f"warp {index} is {warp.shape}"
            )
    missing = (size or len(warps)) - len(warps)
    if missing < 0:
        raise ValueError(f"{len(warps)} warps do not fit into a stack of {size}")
    planes = unite_planes(warp.planes for warp in warps)
    dtype = max((warp.image.dtype for warp in warps), key=lambda kind: kind.itemsize)

    def padded(arrays, fill):
        array = jnp.stack([jnp.asarray(a) for a in arrays])
        pad = [(0, missing)] + [(0, 0)] * (array.ndim - 1)
        return jnp.pad(array, pad, constant_values=fill)

    return WarpStack(
        image=padded([warp.image.astype(dtype) for warp in warps], 0),
        variance=padded([warp.variance.astype(dtype) for warp in warps], 1),
        mask=padded([remap_mask(w.mask, w.planes, planes) for w in warps], 0),
        planes=planes,
        zero_point=padded([jnp.asarray(w.zero_point, dtype) for w in warps], 0),
        weight=None if weights is None else padded(jnp.asarray(weights, dtype), 0),
        present=jnp.arange(len(warps) + missing) < len(warps),
    )
