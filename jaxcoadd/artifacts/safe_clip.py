"""SafeClip: what the mean has and the clipped mean has not, in the warp it is from."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxcoadd.arrays import Image, Mask
from jaxcoadd.artifacts.alternatives import (
    coadd_without,
    compiled_coadd,
    weigh_once,
)
from jaxcoadd.coadds import Coadd, CoaddConfig
from jaxcoadd.detection import (
    Detection,
    DetectionConfig,
    Footprints,
    count_pixels,
    detect,
    find_footprints,
    merge_footprints,
)
from jaxcoadd.masks import MaskPlanes
from jaxcoadd.spans import SpanSet
from jaxcoadd.statistics import AbstractStatistic, ClippedMean, Mean
from jaxcoadd.warps import WarpStack
from jaxcoadd.weights import WarpWeights

_DETECTED = ("DETECTED", "DETECTED_NEGATIVE")
# A footprint that is known on no more than this part of its pixels is not judged.
_KNOWN = 0.5


@dataclasses.dataclass(frozen=True)
class SafeClipConfig:
    """How to clip by footprints. The defaults are those of LSST's last version.

    Parameters
    ----------
    coadd
        How warps are coadded in the end; CLIPPED is bad there as well.
    clipped_statistic
        The statistic of the coadd that the mean is compared with.
    detection
        How the difference of both is searched.
    min_overlap_single
        The part of a footprint that must be detected in a warp to clip it there, if it
        is detected in one warp alone.
    min_overlap
        The same if it is detected in several: in one of them it is more than this.
    min_overlap_double, max_overlap_double
        A footprint is clipped in two warps of more than three, if in those two it is
        more than the first, and in all others at most the second.
    min_big_overlap
        A detection of a warp of which more than so many pixels are clipped is clipped
        whole.
    """

    coadd: CoaddConfig = dataclasses.field(
        default_factory=lambda: CoaddConfig(
            statistic=Mean(), weighting=WarpWeights(sigma_clip=1.5, clip_iter=3)
        )
    )
    clipped_statistic: AbstractStatistic = dataclasses.field(
        default_factory=lambda: ClippedMean(sigma_clip=1.5, clip_iter=3)
    )
    detection: DetectionConfig = DetectionConfig(  # noqa: RUF009
        threshold=2.0,
        polarity="both",
        min_pixels=4,
        n_sigma_to_grow=2.0,
        background=None,
    )
    min_overlap: float = 0.6
    min_overlap_single: float = 0.5
    min_overlap_double: float = 0.45
    max_overlap_double: float = 0.15
    min_big_overlap: int = 100


SAFE_CLIP = SafeClipConfig()
"""The defaults of LSST's ``SafeClipAssembleCoaddTask``, which was removed in 2022."""


@dataclasses.dataclass(frozen=True)
class MeanDifference:
    """The mean of warps less their clipped mean.

    Parameters
    ----------
    image, variance, mask
        Pixels, (y, x): the variance is the sum of both, the mask has the bits of both.
    planes
        Planes of the mask.
    """

    image: Image
    variance: Image
    mask: Mask
    planes: MaskPlanes


@dataclasses.dataclass(frozen=True)
class SafelyClipped:
    """A coadd, and what was clipped for it.

    Parameters
    ----------
    coadd
        The coadd.
    difference
        The mean less the clipped mean.
    detection
        What was detected on the difference.
    footprints
        Its footprints, of either sign.
    chosen
        Which footprint is clipped in which warp, (footprint, warp).
    clipped
        Regions that are left out, of each warp: its chosen footprints, and then the
        detections of the warp that are clipped whole.
    """

    coadd: Coadd
    difference: MeanDifference
    detection: Detection
    footprints: Footprints
    chosen: Bool[np.ndarray, "footprint warp"]
    clipped: tuple[Footprints, ...]


def safe_clip(
    stack: WarpStack,
    *,
    sigma: float,
    config: SafeClipConfig = SAFE_CLIP,
    origin: tuple[int, int] = (0, 0),
) -> SafelyClipped:
    """Coadd warps without what a clipped mean would clip, by whole footprints.

    Parameters
    ----------
    stack
        Warps, whole, with DETECTED and DETECTED_NEGATIVE in their masks.
    sigma
        Standard deviation of the PSF of the mean coadd, pixels.
    config
        How; by default as LSST did.
    origin
        Position (x, y) of the pixel [0, 0].

    Returns
    -------
    SafelyClipped
        The coadd, and what was left out of it.

    Notes
    -----
    LSST: ``SafeClipAssembleCoaddTask`` of version 24.
    """
    weighed, settled = weigh_once(stack, config.coadd)
    settled_config = dataclasses.replace(config, coadd=settled)
    return clip_footprints(
        weighed,
        difference_of_means(weighed, settled_config),
        sigma=sigma,
        config=settled_config,
        origin=origin,
    )


def clip_footprints(
    stack: WarpStack,
    difference: MeanDifference,
    *,
    sigma: float,
    config: SafeClipConfig,
    origin: tuple[int, int] = (0, 0),
) -> SafelyClipped:
    """Coadd warps without the footprints of a difference, each in its own warps.

    Parameters
    ----------
    stack
        Warps with weights.
    difference
        Their mean less their clipped mean.
    sigma, config, origin
        As for `safe_clip`.
    """
    detection = detect(
        difference.image,
        difference.variance,
        difference.mask,
        sigma=sigma,
        config=config.detection,
        planes=difference.planes,
        origin=origin,
    )
    footprints = merge_footprints(detection.positive, detection.negative)
    masks = np.asarray(stack.mask)[np.asarray(stack.present)]
    chosen = choose_warps(footprints, masks, stack.planes, config, origin=origin)
    clipped = [
        clip_in_warp(footprints, own, mask, stack.planes, config=config, origin=origin)
        for own, mask in zip(chosen.T, masks, strict=True)
    ]
    return SafelyClipped(
        coadd=coadd_without(
            stack,
            _for_all(clipped, np.asarray(stack.present)),
            config.coadd,
            origin=origin,
        ),
        difference=difference,
        detection=detection,
        footprints=footprints,
        chosen=chosen,
        clipped=tuple(clipped),
    )


def _for_all(clipped, present) -> list[dict[str, Sequence[SpanSet]]]:
    """Return alternative masks of all warps of a stack, from those of the present."""
    left = iter(clipped)
    return [{"CLIPPED": next(left) if here else ()} for here in present]


def difference_of_means(stack: WarpStack, config: SafeClipConfig) -> MeanDifference:
    """Return the mean of warps less their clipped mean, holes not filled.

    Parameters
    ----------
    stack
        Warps with weights.
    config
        How both are coadded.
    """
    unfilled = dataclasses.replace(config.coadd, interpolate=False)
    mean = compiled_coadd(stack, unfilled)
    clipped = compiled_coadd(
        stack, dataclasses.replace(unfilled, statistic=config.clipped_statistic)
    )
    return MeanDifference(
        mean.image - clipped.image,
        mean.variance + clipped.variance,
        mean.mask | clipped.mask,
        mean.planes,
    )


def choose_warps(
    footprints: Sequence[SpanSet],
    masks: np.ndarray,
    planes: MaskPlanes,
    config: SafeClipConfig,
    *,
    origin: tuple[int, int] = (0, 0),
) -> Bool[np.ndarray, "footprint warp"]:
    """Tell in which warps each footprint is clipped.

    Parameters
    ----------
    footprints
        Footprints on the difference of the means.
    masks
        Masks of the warps, (warp, y, x).
    planes
        Their planes.
    config
        How much must be detected, and which planes are bad.
    origin
        Position (x, y) of the pixel [0, 0].
    """
    overlaps = [
        measure_overlap(footprints, mask, planes, config, origin=origin)
        for mask in masks
    ]
    return choose_by_overlap(
        np.reshape(overlaps, (len(masks), len(footprints))).T, config
    )


def measure_overlap(
    footprints: Sequence[SpanSet],
    mask: np.ndarray,
    planes: MaskPlanes,
    config: SafeClipConfig,
    *,
    origin: tuple[int, int] = (0, 0),
) -> Float[np.ndarray, " footprint"]:
    """Return the `overlap` of each footprint in one warp.

    Parameters
    ----------
    footprints, planes, config, origin
        As for `choose_warps`.
    mask
        Mask of the warp, (y, x).
    """
    bad = (mask & np.uint32(planes.bits(config.coadd.bad_planes))) != 0
    detected = ~bad & ((mask & np.uint32(planes.bits(_DETECTED))) != 0)
    area = np.array([footprint.area for footprint in footprints], np.int64)
    return overlap(
        count_pixels(footprints, detected, origin),
        count_pixels(footprints, bad, origin),
        area,
    )


def choose_by_overlap(
    overlaps: Float[np.ndarray, "footprint warp"], config: SafeClipConfig
) -> Bool[np.ndarray, "footprint warp"]:
    """Tell in which warps footprints are clipped that are detected so much in each.

    Parameters
    ----------
    overlaps
        From `measure_overlap`, of every warp.
    config
        How much must be detected.
    """
    return np.array([_choose(row, config) for row in overlaps], bool).reshape(
        overlaps.shape
    )


def overlap(
    detected: Int[np.ndarray, " footprint"],
    ignored: Int[np.ndarray, " footprint"],
    area: Int[np.ndarray, " footprint"],
) -> Float[np.ndarray, " footprint"]:
    """Return the part of each footprint that is detected in a warp.

    Parameters
    ----------
    detected, ignored, area
        Pixels that are detected, that are bad, and all.

    Returns
    -------
    Float[np.ndarray, " footprint"]
        Of the pixels that are not bad; NaN for a footprint that is not detected, or of
        which so much is bad that the warp cannot tell.
    """
    known = area - ignored
    judged = (ignored <= detected) & (known > _KNOWN * area) & (detected > 0)
    return np.where(judged, detected / np.where(known > 0, known, 1), np.nan)


def _choose(overlaps, config: SafeClipConfig) -> Bool[np.ndarray, " warp"]:
    """Tell in which warps a footprint is clipped that is detected so much in each."""
    judged = ~np.isnan(overlaps)
    n = int(judged.sum())
    if n == 1:
        return judged & (overlaps > config.min_overlap_single)
    large = judged & (overlaps > config.min_overlap_double)
    if large.sum() == 2 and n > 3:
        others = overlaps[judged & ~large]
        if others.max() <= config.max_overlap_double:
            return large
    most = judged & (overlaps > config.min_overlap)
    return most if most.sum() == 1 else np.zeros(len(overlaps), bool)


def clip_in_warp(
    footprints: Sequence[SpanSet],
    chosen: Bool[np.ndarray, " footprint"],
    mask: np.ndarray,
    planes: MaskPlanes,
    *,
    config: SafeClipConfig,
    origin: tuple[int, int] = (0, 0),
) -> Footprints:
    """Return what is clipped in a warp: also detections that are clipped so much.

    Parameters
    ----------
    footprints, chosen
        Footprints, and whether they are clipped in the warp.
    mask
        Mask of the warp, (y, x).
    planes
        Its planes.
    config
        How much.
    origin
        Position (x, y) of the pixel [0, 0].
    """
    clipped = tuple(f for f, one in zip(footprints, chosen, strict=True) if one)
    region = SpanSet().union(*clipped).to_image(mask.shape, origin)
    detected = (mask & np.uint32(planes.bits(_DETECTED))) != 0
    large = find_footprints(detected, min_pixels=config.min_big_overlap, origin=origin)
    counts = count_pixels(large, region, origin)
    enough = counts > config.min_big_overlap
    return clipped + tuple(f for f, one in zip(large, enough, strict=True) if one)
