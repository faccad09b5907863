"""The background of a warp, brought to that of the others before they are compared."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxcoadd.arrays import Image, Mask, Region
from jaxcoadd.coadds import Coadd
from jaxcoadd.detection import (
    constant_background,
    plane_background,
    spline_background,
)
from jaxcoadd.detection.backgrounds import check_bin_size
from jaxcoadd.masks import MaskPlanes, has_any
from jaxcoadd.warps import WarpStack
from jaxcoadd.zero_points import stack_factors

NOT_BACKGROUND = (
    "BAD",
    "SAT",
    "EDGE",
    "NO_DATA",
    "DETECTED",
    "DETECTED_NEGATIVE",
)
"""Planes whose pixels say nothing of how two backgrounds differ."""


@dataclasses.dataclass(frozen=True)
class ConstantOffset:
    """Two backgrounds differ by a number: the clipped mean of the difference."""

    def measure(self, difference: Image, where: Region) -> Image:
        """Return the offset at each pixel; NaN if no pixel counts."""
        return _compiled_constant(difference, where)


@dataclasses.dataclass(frozen=True)
class PlaneOffset:
    """Two backgrounds differ by a plane, fitted to clipped means of cells.

    Parameters
    ----------
    bin_size
        Pixels a side of a cell, about.

    Raises
    ------
    ValueError
        Cells of less than a pixel.
    """

    bin_size: int = 256

    def __post_init__(self):
        """Refuse cells without pixels."""
        check_bin_size(self.bin_size)

    def measure(self, difference: Image, where: Region) -> Image:
        """Return the offset at each pixel; NaN if no pixel counts."""
        return plane_background(difference, where, bin_size=self.bin_size)


@dataclasses.dataclass(frozen=True)
class SplineOffset:
    """Two backgrounds differ by a spline through clipped means of cells.

    Parameters
    ----------
    bin_size
        Pixels a side of a cell, about. What is smaller than one and differs, as a
        ghost, is not taken for background.

    Raises
    ------
    ValueError
        Cells of less than a pixel.
    """

    bin_size: int = 256

    def __post_init__(self):
        """Refuse cells without pixels."""
        check_bin_size(self.bin_size)

    def measure(self, difference: Image, where: Region) -> Image:
        """Return the offset at each pixel; NaN if no pixel counts."""
        return spline_background(difference, where, bin_size=self.bin_size)


SkyOffset = ConstantOffset | PlaneOffset | SplineOffset
"""How the backgrounds of two images may differ."""


def sky_offset(
    image: Image, mask: Mask, reference: Image, *, planes: MaskPlanes, model: SkyOffset
) -> Image:
    """Measure what the background of a warp has more than that of a reference.

    Parameters
    ----------
    image, mask
        The warp, (y, x), at the zero point of the reference.
    reference
        Such as the static sky, (y, x).
    planes
        Planes of the mask.
    model
        How they may differ.

    Returns
    -------
    Image
        To be subtracted from the warp. NaN if it cannot be measured: there is no pixel
        that is a number in both and without the planes of `NOT_BACKGROUND`.

    Notes
    -----
    Sources are in both images; what differs of them is clipped. Differentiable in the
    images but for splines.
    """
    difference = image - reference
    where = jnp.isfinite(difference) & ~has_any(mask, planes.bits(NOT_BACKGROUND))
    return model.measure(jnp.where(where, difference, 0), where)


def match_backgrounds(
    stack: WarpStack, reference: Coadd, *, model: SkyOffset
) -> WarpStack:
    """Bring the backgrounds of warps to that of a reference.

    Parameters
    ----------
    stack
        Warps, whole.
    reference
        A coadd of them, such as the static sky or their median, or one of them.
    model
        How backgrounds may differ.

    Returns
    -------
    WarpStack
        At the same zero points; a warp whose offset cannot be measured stays as it is.

    Raises
    ------
    ValueError
        Warps and reference differ in shape.
    """
    if stack.image.shape[1:] != reference.image.shape:
        raise ValueError(
            f"the warps have shape {stack.image.shape[1:]} and the reference "
            f"{reference.image.shape}; they must be on one grid"
        )
    factors, _ = stack_factors(stack, reference.zero_point)
    images = []
    for n, present in enumerate(np.asarray(stack.present)):
        image = stack.image[n]
        if present:
            offset = sky_offset(
                image * factors[n],
                stack.mask[n],
                reference.image,
                planes=stack.planes,
                model=model,
            )
            image = image - known_offset(offset) / factors[n]
        images.append(image)
    return dataclasses.replace(stack, image=jnp.stack(images))


def known_offset(offset: Image) -> Image:
    """Return an offset, 0 where it could not be measured."""
    return jnp.where(jnp.isnan(offset), 0, offset)


_compiled_constant = jax.jit(constant_background)
