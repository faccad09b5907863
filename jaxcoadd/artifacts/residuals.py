"""What a warp shows beyond a prediction of it, and what stands out of that."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float
from scipy import fft

from jaxcoadd.arrays import FloatScalar, Image, Mask, Region
from jaxcoadd.artifacts.model_config import SmoothSearch
from jaxcoadd.artifacts.outliers import (
    OutlierConfig,
    find_outliers,
    near,
    source_flux,
)
from jaxcoadd.artifacts.sky_model import (
    Adjustment,
    SkyModel,
    noise_share,
    predict,
    psf_transform,
)
from jaxcoadd.detection import gaussian_taps, smooth_planes
from jaxcoadd.masks import has_any
from jaxcoadd.selection import plane_quantiles
from jaxcoadd.statistics.order import quantiles, rejected_value
from jaxcoadd.zero_points import scale_planes

# What was found before counts with so many standard deviations at most, so that a halo
# is not found around it.
_KNOWN_SIGMA = 1.0
# Standard deviations of a Gaussian in the median of its sizes.
_TO_SIGMA = 1.4826


class Planes(NamedTuple):
    """A warp at the common zero point, 0 and of variance 1 where it is not known."""

    image: Image
    variance: Image
    good: Region
    noise: FloatScalar


class Residual(NamedTuple):
    """A warp less its prediction.

    ``shares`` are, for each search, those of the noise that smoothing by its two
    widths leaves beside what it leaves of independent noise.
    """

    image: Image
    variance: Image
    good: Region
    prediction: Image
    sky_variance: Image
    shares: Float[Array, "search 2"]


def prepare_planes(
    image: Image, variance: Image, mask: Mask, factor: FloatScalar, *, bits: int
) -> Planes:
    """Bring a warp to the common zero point, and tell what of it is known."""
    image, variance = map(jnp.asarray, scale_planes(image, variance, factor))
    good = jnp.isfinite(image) & (variance > 0) & (variance < jnp.inf)
    good = good & ~has_any(mask, bits)
    noise = jnp.sqrt(plane_quantiles(variance, (0.5,), where=good)[0])
    return Planes(
        jnp.where(good, image, 0),
        jnp.where(good, variance, 1),
        good,
        jnp.where(good.any(), noise, 1),
    )


def padded_size(shape: tuple[int, ...], stamp: tuple[int, ...]) -> tuple[int, int]:
    """Return a size that transforms are quick for, with a PSF beyond the borders."""
    (rows, columns), (high, wide) = shape, stamp
    return _quick_length(rows + high // 2), _quick_length(columns + wide // 2)


def _quick_length(least: int) -> int:
    return int(fft.next_fast_len(least, real=True) or least)


def embed(image: Image, size: tuple[int, int]) -> Image:
    """Put an image into the middle of a larger one; the rest mirrors it."""
    part = inner(size, image.shape)
    pad = [(p.start, n - p.stop) for p, n in zip(part, size, strict=True)]
    return jnp.pad(image, pad, mode="symmetric")


def inner(size: tuple[int, int], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the part of a larger image that `embed` puts an image into."""
    starts = [(n - m) // 2 for n, m in zip(size, shape, strict=True)]
    return tuple(slice(b, b + m) for b, m in zip(starts, shape, strict=True))


def sky_variance(sky: SkyModel, like: Image) -> Image:
    """Return the variance of the mean of all warps, an image."""
    return jnp.full_like(like, 1 / sky.weight)


def subtract_prediction(
    sky: SkyModel,
    planes: Planes,
    psf: Image,
    adjustment: Adjustment,
    *,
    ridge: float,
    searches: tuple[SmoothSearch, ...] = (),
) -> Residual:
    """Subtract from a warp what it should show of the sky.

    Parameters
    ----------
    sky
        The sums of all warps.
    planes
        The warp.
    psf, adjustment
        Its PSF, and what that is changed by.
    ridge
        As for `predict`.
    searches
        That shares of noise are wanted for.
    """
    shape = planes.image.shape
    size = padded_size(shape, psf.shape)
    transform = psf_transform(psf, adjustment, size)
    prediction = predict(sky, transform, size, ridge=ridge)[inner(size, shape)]

    def share(width):
        return noise_share(
            sky, transform, planes.noise**2, size, ridge=ridge, width=width
        )

    pixel = share(0.0)
    shares = [share(w) / pixel for s in searches for w in (s.width, s.trim_width)]
    return Residual(
        jnp.where(planes.good, planes.image - prediction, 0),
        planes.variance * pixel,
        planes.good,
        prediction,
        sky_variance(sky, prediction),
        jnp.reshape(jnp.asarray(shares, psf.dtype), (len(searches), 2)),
    )


def stands_out(
    residual: Residual,
    scatter: Image,
    *,
    outliers: OutlierConfig,
    searches: tuple[SmoothSearch, ...] = (),
) -> tuple[Region, Region]:
    """Find what stands out of a residual.

    Parameters
    ----------
    residual
        The residual.
    scatter
        What standard deviations are multiplied by, (y, x), 1 or more.
    outliers
        Limits of single pixels, and their share of the flux near by.
    searches
        For what is faint and broad.

    Returns
    -------
    tuple
        Single pixels, and these with what the searches found.
    """
    singles = residual.good & find_outliers(
        residual.image + residual.prediction,
        residual.variance * scatter**2,
        residual.prediction,
        residual.sky_variance,
        config=outliers,
    )
    found = singles
    for number, search in enumerate(searches):
        limits = OutlierConfig(
            flux_share=outliers.flux_share,
            floor=outliers.floor,
            reach=search.source_reach,
        )
        found = found | _find_broad(
            residual,
            found,
            scatter,
            search=search,
            shares=residual.shares[number],
            limits=limits,
        )
    return singles, found


def _find_broad(residual, found, scatter, *, search, shares, limits) -> Region:
    """Find where a smoothed residual stands out, beside what was found before."""
    limit = _KNOWN_SIGMA * jnp.sqrt(residual.variance)
    clipped = jnp.clip(residual.image, -limit, limit)
    image = jnp.where(found, clipped, residual.image)
    flux = source_flux(residual.prediction, residual.sky_variance, config=limits)
    allowed = limits.flux_share * flux
    wide, wide_sigma = _smooth(image, residual, search.width, shares[0])
    narrow, narrow_sigma = _smooth(image, residual, search.trim_width, shares[1])
    new = jnp.zeros_like(found)
    for sign in (1, -1):
        start = sign * wide - allowed > search.n_sigma * wide_sigma * scatter
        within = sign * narrow - allowed > search.n_sigma_trim * narrow_sigma * scatter
        new = new | (within & near(start, search.reach))
    return new & residual.good


def _smooth(image, residual, width, share) -> tuple[Image, Image]:
    """Smooth a residual; return its standard deviation as well."""
    taps = gaussian_taps(width)
    half = len(taps) // 2
    image, variance = (
        jnp.pad(jnp.where(residual.good, plane, 0), half)
        for plane in (image, residual.variance)
    )
    nothing = jnp.zeros(image.shape, jnp.uint32)
    image, variance, _ = smooth_planes(image, variance, nothing, taps)
    return image, jnp.sqrt(jnp.where(variance > 0, variance * share, jnp.inf))


def typical_size(residuals: Float[Array, "warp y x"]) -> Image:
    """Return the scatter that the median size of residuals speaks of, 0 for none.

    Parameters
    ----------
    residuals
        In standard deviations; NaN where not known.
    """
    known = jnp.isfinite(residuals)
    sizes = jnp.where(known, jnp.abs(residuals), rejected_value(residuals.dtype))
    flat = sizes.reshape(len(sizes), -1)
    count = known.sum(0).reshape(-1).astype(flat.dtype)
    typical = quantiles(flat, count, (0.5,))[0].reshape(known.shape[1:])
    return jnp.where(known.any(0), _TO_SIGMA * typical, 0)


def pooled_scatter(typical: Image, *, size: int, share: float) -> Image:
    """Return by how much warps scatter beyond their noise, or 1 if that is more.

    Parameters
    ----------
    typical
        From `typical_size`.
    size
        Rows and columns to pool over.
    share
        Of the scatter.
    """
    square, none = typical**2, jnp.zeros((), typical.dtype)
    for window in ((size, 1), (1, size)):
        square = lax.reduce_window(square, none, lax.add, window, (1, 1), "SAME") / size
    return jnp.maximum(1, share * jnp.sqrt(square))
