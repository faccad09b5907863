"""Exposures: images as detectors take them, and the way from them to a warp."""

import dataclasses
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxcoadd.arrays import (
    FloatScalar,
    Image,
    Mask,
    as_mask,
    as_pixels,
    check_planes,
)
from jaxcoadd.masks import MaskPlanes, has_any, remap_mask, unite_planes
from jaxcoadd.resampling import (
    AbstractKernel,
    Bilinear,
    Lanczos,
    Positions,
    flag_unusable,
    resample,
)
from jaxcoadd.selection import plane_quantiles
from jaxcoadd.warps import Warp
from jaxcoadd.zero_points import scale_planes

_LANCZOS3 = Lanczos(3)
_BILINEAR = Bilinear()


class Exposure(eqx.Module):
    """One image of one detector, on the detector's own pixels.

    Parameters
    ----------
    image
        Counts per pixel, (y, x); any linear unit.
    variance
        Variance of the image, (y, x), in the square of that unit.
    mask
        Bits of the mask planes, (y, x).
    planes
        Which plane each bit is.
    zero_point
        AB magnitude of one count.

    Raises
    ------
    ValueError
        The planes differ in shape or are not images.
    """

    image: Image = eqx.field(converter=as_pixels)
    variance: Image = eqx.field(converter=as_pixels)
    mask: Mask = eqx.field(converter=as_mask)
    planes: MaskPlanes = eqx.field(static=True)
    zero_point: FloatScalar

    def __check_init__(self):
        """Refuse planes that are not images of one shape."""
        check_planes(self.image, self.variance, self.mask)


def subtract_background(
    exposure: Exposure, background: Image, flat_ratio: Image | FloatScalar = 1.0
) -> Exposure:
    """Take a background from an exposure; the negative of one puts it back.

    Parameters
    ----------
    exposure
        The exposure.
    background
        In the unit of the image, (y, x).
    flat_ratio
        Flat for backgrounds over flat for stars, one number or one a pixel: the
        background is measured on the image times this.

    Returns
    -------
    Exposure
        With another image; its variance does not change.

    Notes
    -----
    Smooth in all. LSST's warps revert the old background and apply a new one so.
    """
    image = (exposure.image * flat_ratio - background) / flat_ratio
    return dataclasses.replace(exposure, image=image)


def calibrate_exposure(
    exposure: Exposure, zero_point: FloatScalar, correction: Image | FloatScalar = 1.0
) -> Exposure:
    """Bring an exposure to a zero point.

    Parameters
    ----------
    exposure
        The exposure.
    zero_point
        AB magnitude of one count of the result.
    correction
        A further factor of the flux, one number or one a pixel.

    Returns
    -------
    Exposure
        With image times the factor and variance times its square. The uncertainty of
        the calibration is not added.

    Notes
    -----
    Smooth in the pixels, both zero points and the correction.
    """
    factor = 10 ** (0.4 * (zero_point - exposure.zero_point)) * correction
    factor = jnp.asarray(factor, exposure.image.dtype)
    image, variance = scale_planes(exposure.image, exposure.variance, factor)
    return dataclasses.replace(
        exposure, image=image, variance=variance, zero_point=zero_point
    )


def warp_exposure(
    exposure: Exposure,
    positions: Positions,
    kernel: AbstractKernel = _LANCZOS3,
    *,
    mask_kernel: AbstractKernel | None = _BILINEAR,
    conserve: str = "flux",
) -> Warp:
    """Resample an exposure onto the pixels of a coadd.

    Parameters
    ----------
    exposure
        Calibrated, its background subtracted, its defects interpolated over.
    positions
        Where the pixels of the coadd are on the detector, see `as_positions`.
    kernel, mask_kernel, conserve
        See `resample`.

    Returns
    -------
    Warp
        With the planes of the exposure, and NO_DATA. Where the kernel leaves the
        detector, or meets a pixel that is not finite, it holds NaN, infinite variance
        and NO_DATA alone.

    Notes
    -----
    Differentiable in the pixels and in the positions. EDGE grows by the whole kernel,
    other planes by `mask_kernel`. LSST's warps keep the mask of a pixel that a NaN made
    NaN.
    """
    planes = exposure.planes.add("NO_DATA")
    no_data = planes.bits(["NO_DATA"])
    found = resample(
        exposure.image,
        exposure.variance,
        exposure.mask,
        positions,
        kernel,
        mask_kernel=mask_kernel,
        grow_full_mask=planes.bits(["EDGE"]) if "EDGE" in planes.used else 0,
        no_data=no_data,
        conserve=conserve,
    )
    found = flag_unusable(found, no_data=no_data)
    return Warp(
        found.image,
        found.variance,
        found.mask,
        planes=planes,
        zero_point=exposure.zero_point,
    )


def merge_detectors(warps: Sequence[Warp]) -> tuple[Warp, Int[Array, " detector"]]:
    """Merge the warps of the detectors of one visit into one.

    Parameters
    ----------
    warps
        One a detector, of one shape and zero point; the order counts.

    Returns
    -------
    warp : Warp
        Each pixel is that of the last detector that has data there.
    n_good : Int[Array, " detector"]
        How many pixels each detector brought, also those that a later one took.

    Raises
    ------
    ValueError
        There is no warp, or they differ in shape.

    Notes
    -----
    Differentiable in the pixels. The same rule as LSST's: pixels are replaced, image,
    variance and mask together, and never averaged. Zero points are data; bring the
    exposures to one by `calibrate_exposure` before.
    """
    if not warps:
        raise ValueError("there is no warp to merge; give at least one")
    shapes = [warp.shape for warp in warps]
    if len(set(shapes)) > 1:
        raise ValueError(f"warps of one visit have shapes {shapes}; they must be equal")
    planes = unite_planes(warp.planes for warp in warps).add("NO_DATA")
    no_data = jnp.uint32(planes.bits(["NO_DATA"]))
    image = jnp.full_like(warps[0].image, jnp.nan)
    variance = jnp.full_like(warps[0].variance, jnp.inf)
    mask = jnp.full_like(warps[0].mask, no_data)
    n_good = []
    for warp in warps:
        own = jnp.asarray(remap_mask(warp.mask, warp.planes, planes))
        new = ~has_any(own, no_data)
        image = jnp.where(new, warp.image, image)
        variance = jnp.where(new, warp.variance, variance)
        mask = jnp.where(new, own, mask)
        n_good.append(jnp.sum(new, dtype=jnp.int32))
    merged = Warp(image, variance, mask, planes=planes, zero_point=warps[0].zero_point)
    return merged, jnp.stack(n_good)


def typical_variance(exposure: Exposure) -> FloatScalar:
    """Return the median variance of the pixels whose image and variance are finite."""
    known = jnp.isfinite(exposure.image) & jnp.isfinite(exposure.variance)
    return plane_quantiles(exposure.variance, (0.5,), where=known)[0]


def draw_noise(
    key: jax.Array, exposure: Exposure, variance: Image | FloatScalar
) -> Exposure:
    """Draw an image of noise alone, to be warped like the exposure itself.

    Parameters
    ----------
    key
        Of `jax.random.key`; one a detector and realisation.
    exposure
        Which the noise goes with.
    variance
        Of the noise: that of the exposure, or one number, as `typical_variance`.

    Returns
    -------
    Exposure
        Gaussian noise with mean 0, its variance, and the mask of the exposure. It is
        NaN where the variance is negative or not finite. In the counts of the exposure:
        draw before `calibrate_exposure`.

    Notes
    -----
    Smooth in the variance. LSST draws from the typical variance, by another generator.
    """
    variance = jnp.broadcast_to(variance, exposure.image.shape)
    variance = variance.astype(exposure.image.dtype)
    usable = jnp.isfinite(variance) & (variance >= 0)
    # The root has no slope at 0.
    deviation = jnp.sqrt(jnp.where(usable & (variance > 0), variance, 1))
    deviation = jnp.where(variance == 0, 0, deviation)
    noise = deviation * jax.random.normal(key, variance.shape, variance.dtype)
    image = jnp.where(usable, noise, jnp.nan)
    return dataclasses.replace(exposure, image=image, variance=variance)
