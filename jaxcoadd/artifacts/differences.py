"""One warp against the static sky: its difference, and the candidates on it."""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from jaxcoadd.arrays import Image, Mask, Region
from jaxcoadd.artifacts.background_matching import known_offset, sky_offset
from jaxcoadd.artifacts.config import CompareWarpConfig
from jaxcoadd.artifacts.filters import has_good_pixels
from jaxcoadd.coadds import Coadd
from jaxcoadd.detection import (
    Footprints,
    clear_planes,
    detect,
    merge_footprints,
    scale_variance,
)
from jaxcoadd.masks import MaskPlanes, has_any, remap_mask
from jaxcoadd.spans import SpanSet, apply_alternative_masks
from jaxcoadd.warps import Warp
from jaxcoadd.zero_points import scale_planes, zero_point_factors


@dataclasses.dataclass(frozen=True)
class Difference:
    """A PSF-matched warp less the static sky.

    Parameters
    ----------
    image, variance, mask
        Pixels, (y, x); the variance is the sum of both.
    planes
        Planes of the mask.
    sigma
        Standard deviation of the PSF, pixels.
    variance_factor
        What the variance of the warp was multiplied by; NaN: nothing.
    background
        What was taken off the warp, on average; NaN: it could not be measured.
    """

    image: Image
    variance: Image
    mask: Mask
    planes: MaskPlanes
    sigma: float
    variance_factor: float
    background: float = 0.0


StreakFinder = Callable[[Difference], Bool[np.ndarray, "y x"]]
"""What finds streaks on a difference: an image of them, from DETECTED candidates."""


@dataclasses.dataclass(frozen=True)
class Candidates:
    """What one difference has that may be an artifact.

    Parameters
    ----------
    found
        All footprints, of either sign.
    kept
        Those with enough good pixels.
    streaks
        Streaks, grown.
    no_data, edge
        Where the warp has no data, and where it has EDGE.
    counted
        Where the warp has data without a bad plane.
    variance_factor
        What the variance was multiplied by; NaN: nothing.
    background
        What was taken off the warp, on average; NaN: it could not be measured.
    """

    found: Footprints
    kept: Footprints
    streaks: Footprints
    no_data: SpanSet
    edge: SpanSet
    counted: SpanSet
    variance_factor: float
    background: float = 0.0


def subtract_static_sky(
    warp: Warp,
    template: Coadd,
    *,
    sigma: float,
    config: CompareWarpConfig,
    inherited: Mask | None = None,
) -> Difference:
    """Subtract the static sky from a PSF-matched warp.

    Parameters
    ----------
    warp
        The warp; it is brought to the zero point of the static sky.
    template
        The static sky; its mask does not matter.
    sigma
        Standard deviation of the warp's PSF, pixels.
    config
        How backgrounds are matched and variances scaled.
    inherited
        Bits that the difference gets beside those of the warp.

    Raises
    ------
    ValueError
        Warp and static sky differ in shape.
    """
    if warp.shape != template.image.shape:
        raise ValueError(
            f"a PSF-matched warp has shape {warp.shape} and the static sky "
            f"{template.image.shape}; they must be on one grid"
        )
    planes = template.planes.add(*warp.planes.used)
    factor = zero_point_factors(
        np.float64(warp.zero_point), np.float64(template.zero_point)
    )
    image, variance, mask = _compiled_scaling(
        warp.image,
        warp.variance,
        warp.mask,
        jnp.asarray(factor, warp.image.dtype),
        planes=warp.planes,
        target=planes,
    )
    background, variance_factor = 0.0, float("nan")
    if config.background is not None:
        offset = sky_offset(
            image, mask, template.image, planes=planes, model=config.background
        )
        image, background = image - known_offset(offset), float(jnp.mean(offset))
    if config.variance_scale is not None:
        scaled = scale_variance(
            image, variance, mask, planes=planes, config=config.variance_scale
        )
        image, variance, variance_factor = scaled.image, scaled.variance, scaled.factor
    return Difference(
        image - template.image,
        variance + template.variance,
        mask if inherited is None else jnp.asarray(mask | inherited),
        planes,
        sigma,
        variance_factor,
        background,
    )


def _at_zero_point(image, variance, mask, factor, *, planes, target):
    """Bring the planes of a warp to those of the static sky."""
    moved = jnp.asarray(remap_mask(mask, planes, target))
    return *map(jnp.asarray, scale_planes(image, variance, factor)), moved


_compiled_scaling = jax.jit(_at_zero_point, static_argnames=("planes", "target"))


def find_candidates(
    difference: Difference,
    config: CompareWarpConfig,
    *,
    sources: Sequence[SpanSet] = (),
    streaks: StreakFinder | None = None,
    origin: tuple[int, int] = (0, 0),
) -> Candidates:
    """Find what may be an artifact on the difference of one warp.

    Parameters
    ----------
    difference
        The warp less the static sky.
    config
        How to detect, and what is good enough.
    sources
        Footprints of the static sky: streaks within one of them are left out.
    streaks
        What finds streaks; ``None``: nothing does.
    origin
        Position (x, y) of the pixel [0, 0].
    """
    detection = detect(
        difference.image,
        difference.variance,
        difference.mask,
        sigma=difference.sigma,
        config=config.detection,
        planes=difference.planes,
        origin=origin,
    )
    planes = detection.planes
    missing, edge, counted, spoilt = map(
        np.asarray,
        _compiled_regions(
            difference.image,
            detection.mask,
            planes.bits(["EDGE"]),
            planes.bits(config.coadd.bad_planes),
            planes.bits(config.prefilter_planes),
        ),
    )
    found = merge_footprints(detection.positive, detection.negative)
    kept = found
    if config.prefilter_ratio is not None:
        ratio = config.prefilter_ratio
        good = has_good_pixels(found, spoilt, ratio=ratio, origin=origin)
        kept = tuple(f for f, enough in zip(found, good, strict=True) if enough)
    return Candidates(
        found=found,
        kept=kept,
        streaks=_grown_streaks(
            difference, kept, streaks, config=config, sources=sources, origin=origin
        ),
        no_data=SpanSet.from_image(missing, origin),
        edge=SpanSet.from_image(edge, origin),
        counted=SpanSet.from_image(counted, origin),
        variance_factor=difference.variance_factor,
        background=difference.background,
    )


def _regions(image, mask, edge, bad, spoiling) -> tuple[Region, ...]:
    """Tell where a difference is NaN, at the edge, counts, and is spoilt."""
    counted = jnp.isfinite(image) & ~has_any(mask, bad)
    return jnp.isnan(image), has_any(mask, edge), counted, has_any(mask, spoiling)


_compiled_regions = jax.jit(_regions, static_argnums=(2, 3, 4))


def _grown_streaks(difference, kept, find, *, config, sources, origin) -> Footprints:
    """Find streaks among the candidates that are left, and grow them."""
    if find is None:
        return ()
    marked = mark_detected(difference, kept, origin)
    parts = SpanSet.from_image(find(marked), origin).split()
    alone = [p for p in parts if p.area and not any(s.contains(p) for s in sources)]
    circle = SpanSet.circle(0, 0, int(config.streak_growth * difference.sigma))
    return tuple(part.dilated(circle) for part in alone)


def mark_detected(
    difference: Difference, footprints: Sequence[SpanSet], origin: tuple[int, int]
) -> Difference:
    """Set DETECTED in some footprints, and nowhere else."""
    mask = clear_planes(
        difference.mask, difference.planes, ("DETECTED", "DETECTED_NEGATIVE")
    )
    marked, planes = apply_alternative_masks(
        mask, difference.planes, {"DETECTED": footprints}, origin=origin
    )
    return dataclasses.replace(difference, mask=jnp.asarray(marked), planes=planes)
