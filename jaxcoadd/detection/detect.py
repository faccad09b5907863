"""Detection of sources, and of holes, on one image."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxcoadd.arrays import Image, Mask, Region
from jaxcoadd.detection.backgrounds import BackgroundConfig, measure_background
from jaxcoadd.detection.footprints import (
    Footprints,
    find_footprints,
    grow_footprints,
    growth_stencil,
)
from jaxcoadd.detection.smoothing import gaussian_taps, smooth_planes
from jaxcoadd.detection.thresholds import is_above, is_significant
from jaxcoadd.masks import LSST_PLANES, MaskPlanes, has_any
from jaxcoadd.selection import plane_clipped_deviation
from jaxcoadd.spans import Box, SpanSet, apply_alternative_masks

Polarity = Literal["positive", "negative", "both"]
Unit = Literal["value", "stdev", "pixel_stdev"]

POSITIVE: str = "DETECTED"
NEGATIVE: str = "DETECTED_NEGATIVE"
"""The planes that detection sets, for either sign."""


@dataclasses.dataclass(frozen=True)
class DetectionConfig:
    """How to detect. The defaults are those of LSST's source detection.

    Parameters
    ----------
    threshold, unit
        The threshold, and what it counts: "value" is the unit of the image, "stdev"
        the clipped standard deviation of all pixels, and "pixel_stdev" the root of the
        variance of each pixel.
    polarity
        "positive" for what is above it, "negative" for what is below its opposite, or
        "both".
    include_multiplier
        A footprint needs one pixel at this many times the threshold.
    min_pixels
        A footprint needs so many pixels, before it grows.
    n_sigma_to_grow
        How much footprints grow, in standard deviations of the PSF.
    isotropic_grow
        Whether they grow by a circle, or by a diamond.
    return_original
        Whether the footprints are those before growth; the masks have all of them.
    smooth
        Whether the image is smoothed by its PSF before.
    n_sigma_for_kernel
        Width of the smoothing kernel, in standard deviations of the PSF.
    background
        How to measure the background again, without what was detected, and subtract
        it; ``None``: not at all.
    stats_planes
        Planes whose pixels do not count for the clipped standard deviation.

    Raises
    ------
    ValueError
        A polarity or unit that does not exist.
    """

    threshold: float = 5.0
    unit: Unit = "pixel_stdev"
    polarity: Polarity = "positive"
    include_multiplier: float = 1.0
    min_pixels: int = 1
    n_sigma_to_grow: float = 2.4
    isotropic_grow: bool = True
    return_original: bool = False
    smooth: bool = True
    n_sigma_for_kernel: float = 7.0
    background: BackgroundConfig | None = dataclasses.field(
        default_factory=BackgroundConfig
    )
    stats_planes: tuple[str, ...] = ("BAD", "SAT", "EDGE", "NO_DATA")

    def __post_init__(self):
        """Refuse names that mean nothing."""
        for name, known in (
            ("polarity", ("positive", "negative", "both")),
            ("unit", ("value", "stdev", "pixel_stdev")),
        ):
            value = getattr(self, name)
            if value not in known:
                listed = ", ".join(known)
                raise ValueError(f"{name} is one of {listed}, not {value!r}")


@dataclasses.dataclass(frozen=True)
class Detection:
    """What was detected on an image.

    Parameters
    ----------
    positive, negative
        Footprints of either sign; none of a sign that was not asked for.
    mask
        The mask with DETECTED and DETECTED_NEGATIVE in the grown footprints, and
        with EDGE where the image could not be smoothed.
    planes
        Planes of the mask.
    image
        The image, less the background that was measured again.
    """

    positive: Footprints
    negative: Footprints
    mask: Mask
    planes: MaskPlanes
    image: Image


def detect(
    image: Image,
    variance: Image,
    mask: Mask,
    *,
    sigma: float,
    config: DetectionConfig | None = None,
    planes: MaskPlanes = LSST_PLANES,
    origin: tuple[int, int] = (0, 0),
    factor: float = 1.0,
    negative_factor: float | None = None,
) -> Detection:
    """Detect connected regions above a threshold, and below its opposite.

    Parameters
    ----------
    image, variance, mask
        Pixels, (y, x).
    sigma
        Standard deviation of the PSF, pixels: the fourth root of the determinant of
        its second moments.
    config
        How; by default as LSST does.
    planes
        Planes of the mask.
    origin
        Position (x, y) of the pixel [0, 0].
    factor, negative_factor
        What multiplies the thresholds of either sign; the second is the first by
        default.

    Returns
    -------
    Detection
        Footprints in order of their first pixels.

    Raises
    ------
    ValueError
        `sigma` is not positive and finite, or the kernel is larger than the image.
    BackgroundError
        The background is to be measured again, and no pixel is left for it.

    Notes
    -----
    LSST: ``SourceDetectionTask.detectFootprints`` with the masks cleared first, but
    for peaks, which do not change footprints.
    """
    config = DetectionConfig() if config is None else config
    search = _prepare(image, variance, mask, sigma, config)
    factors = factor, factor if negative_factor is None else negative_factor
    signs = _signs(config)
    found = [
        _find(search, config, planes, sign=sign, factor=scale, origin=origin)
        if wanted
        else ()
        for sign, scale, wanted in zip((1, -1), factors, signs, strict=True)
    ]
    box = _box_of(image, origin)
    grown = [_grow(some, sigma, config, box) for some in found]
    mask, planes = _flag(mask, planes, grown, margin=search.margin, box=box)
    if config.background is not None:
        image = image - measure_background(
            image, mask, planes=planes, config=config.background
        )
    return _as_wanted(
        found if config.return_original else grown, mask, planes, image, config
    )


@dataclasses.dataclass(frozen=True)
class _Search:
    """The planes that are searched, and how wide a border they lack."""

    image: Image
    variance: Image
    mask: Mask
    margin: int


def _prepare(image, variance, mask, sigma, config) -> _Search:
    taps = gaussian_taps(sigma, n_sigma=config.n_sigma_for_kernel)
    if not config.smooth:
        return _Search(image, variance, mask, 0)
    image, variance, mask = _compiled_smoothing(image, variance, mask, tuple(taps))
    return _Search(image, variance, mask, len(taps) // 2)


def _signs(config: DetectionConfig) -> tuple[bool, bool]:
    """Tell which signs to look for: a new background needs the masks of both."""
    both = config.background is not None or config.polarity == "both"
    return both or config.polarity == "positive", both or config.polarity == "negative"


def _find(search: _Search, config, planes, *, sign, factor, origin) -> Footprints:
    threshold = config.threshold * factor
    if config.unit == "stdev":
        good = ~has_any(search.mask, planes.bits(config.stats_planes))
        threshold *= float(_compiled_deviation(search.image, good))
    image = search.image if sign > 0 else -search.image

    def reach(threshold: float) -> Region:
        if config.unit == "pixel_stdev":
            return _compiled_significance(image, search.variance, threshold)
        return is_above(image, threshold)

    strong = config.include_multiplier != 1
    return find_footprints(
        reach(threshold),
        min_pixels=config.min_pixels,
        strong=reach(threshold * config.include_multiplier) if strong else None,
        origin=(origin[0] + search.margin, origin[1] + search.margin),
    )


def _box_of(image: Image, origin: tuple[int, int]) -> Box:
    rows, columns = image.shape
    return (*origin, origin[0] + columns - 1, origin[1] + rows - 1)


def _flag(mask, planes, signed, *, margin: int, box: Box) -> tuple[Mask, MaskPlanes]:
    """Set the planes of either sign, and EDGE in the border that was not searched."""
    flagged = dict(zip((POSITIVE, NEGATIVE), signed, strict=True))
    if margin:
        x0, y0, x1, y1 = box
        inner = SpanSet.box(x0 + margin, y0 + margin, x1 - margin, y1 - margin)
        flagged["EDGE"] = (SpanSet.box(*box) - inner,)
    cleared = clear_planes(mask, planes, (POSITIVE, NEGATIVE))
    flagged_mask, planes = apply_alternative_masks(
        np.asarray(cleared), planes, flagged, origin=box[:2]
    )
    return jnp.asarray(flagged_mask), planes


def growth_radius(sigma: float, n_sigma: float) -> int:
    """Return by how many pixels footprints grow, for a PSF of some width."""
    return int(n_sigma * sigma + 0.5) if n_sigma > 0 else 0


def _grow(footprints, sigma, config, box) -> Footprints:
    radius = growth_radius(sigma, config.n_sigma_to_grow)
    if not radius:
        return footprints
    stencil = growth_stencil(radius, isotropic=config.isotropic_grow)
    return grow_footprints(footprints, stencil, within=box)


def clear_planes(mask: Mask, planes: MaskPlanes, names: tuple[str, ...]) -> Mask:
    """Return a mask without some planes."""
    return mask & jnp.uint32(~planes.bits(names) & 0xFFFFFFFF)


def _as_wanted(footprints, mask, planes, image, config) -> Detection:
    """Leave out the sign that only the background needed."""
    positive, negative = footprints
    if config.polarity == "positive":
        mask, negative = clear_planes(mask, planes, (NEGATIVE,)), ()
    if config.polarity == "negative":
        mask, positive = clear_planes(mask, planes, (POSITIVE,)), ()
    return Detection(positive, negative, mask, planes, image)


def _smooth(image, variance, mask, taps):
    return smooth_planes(image, variance, mask, np.array(taps))


def _deviation(image, good):
    return plane_clipped_deviation(image, where=good & jnp.isfinite(image), clip_iter=3)


_compiled_smoothing = jax.jit(_smooth, static_argnames="taps")
_compiled_significance = jax.jit(is_significant, static_argnames="threshold")
_compiled_deviation = jax.jit(_deviation)
