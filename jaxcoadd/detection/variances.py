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
    pixel_factor
        From pixels in units of their own deviations.
    image_factor
        From the scatter of the image, and the median of the variance.
    """

    image: Image
    variance: Image
    factor: float
    pixel_factor: float
    image_factor: float


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
        nan = float("nan")
        return ScaledVariance(image, variance, nan, nan, nan)
    flat = image - background
    ignored = has_any(mask, planes.bits(config.ignored_planes))
    pixel, whole, count = map(float, _compiled_factors(flat, variance, ~ignored))
    pixel, whole = (1.0, 1.0) if count < 2 else (pixel, whole)
    believed = [factor for factor in (pixel, whole) if not factor > config.limit]
    factor = believed[0] if believed else float("nan")
    scaled = variance * factor if believed else variance
    return ScaledVariance(flat + background, scaled, factor, pixel, whole)


def variance_factors(
    image: Image, variance: Image, where: Region
) -> Float[Array, " factor"]:
    """Return the factor of the pixels, that of the image, and the number of pixels.

    Parameters
    ----------
    image, variance
        Pixels without a background, (y, x).
    where
        Which of them count; those that are not finite or whose variance is not
        positive do not.
    """
    good = where & jnp.isfinite(image) & jnp.isfinite(variance) & (variance > 0)
    known = jnp.where(good, variance, 1)
    low, high = plane_quantiles(image / jnp.sqrt(known), (0.25, 0.75), where=good)
    pixel = (_SIGMA_PER_IQR * (high - low)) ** 2
    low, high = plane_quantiles(image, (0.25, 0.75), where=good)
    typical = plane_quantiles(known, (0.5,), where=good)[0]
    whole = (_SIGMA_PER_IQR * (high - low) / jnp.sqrt(typical)) ** 2
    return jnp.stack([pixel, whole, jnp.sum(good, dtype=jnp.int32).astype(pixel.dtype)])


_compiled_factors = jax.jit(variance_factors)
