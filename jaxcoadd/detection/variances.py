"""The scale of a variance plane, from the scatter of the pixels."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcoadd.arrays import Image, Mask, Region
from jaxcoadd.detection.backgrounds import (
    BackgroundConfig,
    BackgroundError,
    measure_background,
)
from jaxcoadd.masks import LSST_PLANES, MaskPlanes, has_any, unknown_plane_message
from jaxcoadd.selection import plane_quantiles

# The original's number of standard deviations in an interquartile range.
_SIGMA_PER_IQR = 0.74

_SOURCES_AND_DEFECTS = (
    "DETECTED",
    "DETECTED_NEGATIVE",
    "BAD",
    "SAT",
    "NO_DATA",
    "INTRP",
)


@dataclasses.dataclass(frozen=True)
class VarianceScaleConfig:
    """How to find the scale of variances. The defaults are those of LSST.

    Parameters
    ----------
    ignored_planes
        Planes whose pixels do not count.
    limit
        A larger factor is not believed.
    background
        The background that is taken off before.

    Raises
    ------
    ValueError
        A limit that is not positive.
    """

    ignored_planes: tuple[str, ...] = _SOURCES_AND_DEFECTS
    limit: float = 10.0
    background: BackgroundConfig = dataclasses.field(
        default_factory=lambda: BackgroundConfig(32, _SOURCES_AND_DEFECTS)
    )

    def __post_init__(self):
        """Refuse a limit that no factor is below."""
        if not self.limit > 0:
            raise ValueError(
                f"the limit of a variance factor is positive, not {self.limit}"
            )


@dataclasses.dataclass(frozen=True)
class ScaledVariance:
    """An image with the variance that its scatter shows.

    Parameters
    ----------
    image
        The image as it is after a background was taken off and put back: some pixels
        differ in the last digit.
    variance
        The variance times the factor; the variance as it was if there is none.
    factor
        NaN if no factor is to be believed.
    """

    image: Image
    variance: Image
    factor: float


def scale_variance(
    image: Image,
    variance: Image,
    mask: Mask,
    *,
    planes: MaskPlanes = LSST_PLANES,
    config: VarianceScaleConfig | None = None,
) -> ScaledVariance:
    """Scale a variance plane to the scatter of the pixels.

    Parameters
    ----------
    image, variance, mask
        Pixels, (y, x).
    planes
        Planes of the mask.
    config
        How; by default as LSST does.

    Returns
    -------
    ScaledVariance
        The factor of the pixels or, if that is above the limit, of the image. There
        is none if both are, or if all pixels are masked. It is 1 for fewer than two
        good pixels.

    Raises
    ------
    ValueError
        An ignored plane does not exist.

    Notes
    -----
    Quartiles of what is good: no ignored plane, finite, of positive variance. LSST:
    ``ScaleVarianceTask``.
    """
    config = VarianceScaleConfig() if config is None else config
    for name in config.ignored_planes:
        if name not in planes:
            raise ValueError(unknown_plane_message(name, planes.used))
    try:
        background = measure_background(
            image, mask, planes=planes, config=config.background
        )
    except BackgroundError:
        return ScaledVariance(image, variance, float("nan"))
    flat, good = _compiled_flattening(
        image, background, mask, planes.bits(config.ignored_planes)
    )
    factor = float(_compiled_pixel_factor(flat, variance, good))
    if factor > config.limit:
        factor = float(_compiled_image_factor(flat, variance, good))
    if factor > config.limit:
        return ScaledVariance(flat + background, variance, float("nan"))
    restored, scaled = _compiled_restoration(flat, background, variance, factor)
    return ScaledVariance(restored, scaled, factor)


def pixel_factor(image: Image, variance: Image, where: Region) -> Float[Array, ""]:
    """Return the squared scatter of pixels in units of their own deviations.

    Parameters
    ----------
    image, variance
        Pixels without a background, (y, x).
    where
        Which of them count; those that are not finite or whose variance is not
        positive do not. It is 1 for fewer than two.
    """
    good = _is_good(image, variance, where)
    deviation = jnp.sqrt(jnp.where(good, variance, 1))
    return _squared_scatter(image / deviation, good)


def image_factor(image: Image, variance: Image, where: Region) -> Float[Array, ""]:
    """Return the squared scatter of pixels in units of the median of the variance.

    Parameters
    ----------
    image, variance, where
        As for `pixel_factor`.
    """
    good = _is_good(image, variance, where)
    typical = plane_quantiles(variance, (0.5,), where=good)[0]
    few = jnp.sum(good, dtype=jnp.int32) < 2
    return _squared_scatter(image, good) / jnp.where(few, 1, typical)


def _is_good(image, variance, where) -> Region:
    return where & jnp.isfinite(image) & jnp.isfinite(variance) & (variance > 0)


def _squared_scatter(values, good):
    low, high = plane_quantiles(values, (0.25, 0.75), where=good)
    few = jnp.sum(good, dtype=jnp.int32) < 2
    return jnp.where(few, 1, (_SIGMA_PER_IQR * (high - low)) ** 2)


def _flatten(image, background, mask, bits):
    """Take a background off, and tell which pixels count."""
    return image - background, ~has_any(mask, bits)


def _restore(flat, background, variance, factor):
    """Put the background back, and scale the variance."""
    return flat + background, variance * factor


_compiled_flattening = jax.jit(_flatten, static_argnames="bits")
_compiled_restoration = jax.jit(_restore)
_compiled_pixel_factor = jax.jit(pixel_factor)
_compiled_image_factor = jax.jit(image_factor)
