"""Resampling of an image, its variance and its mask onto another grid."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxcoadd.arrays import Image, Mask, Region
from jaxcoadd.masks import LSST_PLANES
from jaxcoadd.resampling.footprints import footprint_case, unite_footprints
from jaxcoadd.resampling.kernels import AbstractKernel, Bilinear, Lanczos
from jaxcoadd.resampling.positions import Positions
from jaxcoadd.resampling.sums import sum_footprints

CONSERVED = ("flux", "surface_brightness")

_LANCZOS3 = Lanczos(3)
_BILINEAR = Bilinear()
_EDGE = LSST_PLANES.bits(["EDGE"])
_NO_DATA = LSST_PLANES.bits(["NO_DATA"])


class Resampled(eqx.Module):
    """An image on another grid.

    Parameters
    ----------
    image, variance
        The interpolated planes; NaN and infinity outside.
    mask
        Bits of the pixels that were touched; NO_DATA alone outside.
    inside
        Where all of the kernel was inside of the source.
    """

    image: Image
    variance: Image
    mask: Mask
    inside: Region

    @property
    def n_good(self) -> Int[Array, ""]:
        """The number of pixels inside."""
        return jnp.sum(self.inside, dtype=jnp.int32)


def resample(
    image: Image,
    variance: Image,
    mask: Mask,
    positions: Positions,
    kernel: AbstractKernel = _LANCZOS3,
    *,
    mask_kernel: AbstractKernel | None = _BILINEAR,
    grow_full_mask: int = _EDGE,
    no_data: int = _NO_DATA,
    conserve: str = "flux",
) -> Resampled:
    """Interpolate an image, its variance and its mask to the pixels of another grid.

    Parameters
    ----------
    image, variance, mask
        The source. What is missing in it should have been interpolated over: NaN and
        infinite pixels spread over the whole kernel.
    positions
        Where the target pixels are in the source, and their areas; see `as_positions`.
    kernel
        What weighs image and, by its square, variance: Lanczos, bilinear or nearest.
    mask_kernel
        Mask bits come from the pixels to which this kernel gives a weight; it must not
        be wider than `kernel`. None: from all that have a weight in the image.
    grow_full_mask
        Bit value of the planes that always come from all of these.
    no_data
        Bit value of the mask where the kernel is not wholly inside of the source.
    conserve
        ``"flux"``: pixels hold fluxes, so values are multiplied by the area and
        variances by its square. ``"surface_brightness"``: they are not.

    Returns
    -------
    Resampled
        On the target grid, in the type of the source.

    Raises
    ------
    ValueError
        Planes differ in shape, the mask kernel is wider than the kernel, or there is
        no such `conserve`.

    Notes
    -----
    Linear in the image and in the variance; differentiable in both and in fractions and
    areas of the positions, in reverse mode. Covariances of the pixels are dropped. The
    same as LSST's ``warpImage``.

    Examples
    --------
    >>> from jaxcoadd import as_positions
    >>> coordinates = jnp.mgrid[1.5:5, 1.5:5]
    >>> ones, mask = jnp.ones((8, 8)), jnp.zeros((8, 8), jnp.uint32)
    >>> resample(ones, ones, mask, as_positions(coordinates)).image[0]
    Array([1., 1., 1.], dtype=float32)
    """
    _check_planes(image, variance, mask)
    _check_kernels(kernel, mask_kernel, conserve)
    if mask_kernel == kernel:
        mask_kernel = None  # the same bits, and fewer cases
    n, (height, width) = kernel.half_width, image.shape
    row, column = positions.row, positions.column
    inside = (n - 1 <= row) & (row < height - n) & (n - 1 <= column)
    inside = inside & (column < width - n)
    # Where nothing can be read anything may be, in a small source too.
    positions = Positions(
        row=jnp.where(inside, row, n - 1),
        column=jnp.where(inside, column, n - 1),
        row_fraction=positions.row_fraction.astype(image.dtype),
        column_fraction=positions.column_fraction.astype(image.dtype),
        area=positions.area.astype(image.dtype),
    )
    united = unite_footprints(mask, kernel, mask_kernel, grow_full_mask)
    case = footprint_case(positions, kernel, mask_kernel)
    at = (case * height + positions.row) * width + positions.column
    found_mask = united.reshape(-1).at[at].get(mode="clip")
    if conserve == "surface_brightness":
        ones = jnp.ones_like(positions.area)
        positions = dataclasses.replace(positions, area=ones)
    found, found_variance = sum_footprints(kernel, image, variance, positions)
    return Resampled(
        image=jnp.where(inside, found, jnp.nan),
        variance=jnp.where(inside, found_variance, jnp.inf),
        mask=jnp.where(inside, found_mask, jnp.uint32(no_data)),
        inside=inside,
    )


def _check_planes(image, variance, mask):
    """Refuse planes that do not belong together."""
    if not image.shape == variance.shape == mask.shape:
        raise ValueError(
            f"image, variance and mask have shapes {image.shape}, {variance.shape} and "
            f"{mask.shape}; they must be equal"
        )
    for name, plane in (("image", image), ("variance", variance)):
        if not jnp.issubdtype(plane.dtype, jnp.floating):
            raise ValueError(
                f"{name} holds {plane.dtype}; it must be of floating-point numbers"
            )


def _check_kernels(kernel, mask_kernel, conserve):
    """Refuse what cannot be done."""
    if mask_kernel is not None and mask_kernel.half_width > kernel.half_width:
        raise ValueError(
            f"the mask kernel has half-width {mask_kernel.half_width} and the kernel "
            f"{kernel.half_width}; it must not be wider"
        )
    if conserve not in CONSERVED:
        raise ValueError(f"conserve is {conserve!r}; it can be one of {CONSERVED}")


def flag_unusable(resampled: Resampled, *, no_data: int = _NO_DATA) -> Resampled:
    """Treat pixels that are not finite or have no variance like those outside.

    Parameters
    ----------
    resampled
        An image on another grid.
    no_data
        Bit value for the mask.

    Returns
    -------
    Resampled
        Wherever the image is not a finite number, or the variance is not a positive
        one, the pixel holds NaN, infinite variance and NO_DATA, and is not inside.

    Notes
    -----
    A NaN in the source reaches all of the kernel, its mask only the next pixels; LSST's
    warps keep both as they are. With this step, which LSST has not, no NaN is unmasked.
    """
    usable = jnp.isfinite(resampled.image) & jnp.isfinite(resampled.variance)
    usable = usable & (resampled.variance > 0) & resampled.inside
    return Resampled(
        image=jnp.where(usable, resampled.image, jnp.nan),
        variance=jnp.where(usable, resampled.variance, jnp.inf),
        mask=jnp.where(usable, resampled.mask, jnp.uint32(no_data)),
        inside=usable,
    )
