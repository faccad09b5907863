"""The whole coadd, one step after the other."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from .interpolation import fallback_value, interpolate_over
from .stacks import Stack, inputs_here, stack
from .statistics import plane_clipped_mean


@dataclasses.dataclass(frozen=True)
class Coadd:
    """Planes of a coadd, (y, x), and the weights of its warps.

    Parameters
    ----------
    image, variance, mask
        The coadd, float64 and uint32.
    n_image
        Number of warps whose mask has no bad plane.
    weight
        Summed weight of the values that made the result.
    weights
        One a warp; 0 for a warp that was not used.
    """

    image: np.ndarray
    variance: np.ndarray
    mask: np.ndarray
    n_image: np.ndarray
    weight: np.ndarray
    weights: np.ndarray


def warp_weight(
    variance: np.ndarray,
    mask: np.ndarray,
    bad_bits: int,
    *,
    sigma_clip: float = 3.0,
    clip_iter: int = 2,
) -> float:
    """Return the inverse of the clipped mean of a variance plane.

    Parameters
    ----------
    variance, mask
        Planes of one warp, (y, x).
    bad_bits
        Pixels with one of these bits do not count.
    sigma_clip, clip_iter
        Limit, in standard deviations, and number of iterations.

    Returns
    -------
    float
        0 where the mean is not positive and finite: the warp cannot be used.
    """
    bad = (np.asarray(mask).astype(np.uint32) & np.uint32(bad_bits)) != 0
    mean, _ = plane_clipped_mean(
        variance, bad, sigma_clip=sigma_clip, clip_iter=clip_iter
    )
    return float(1.0 / mean) if mean > 0 and np.isfinite(mean) else 0.0


def coadd(
    images: np.ndarray,
    variances: np.ndarray,
    masks: np.ndarray,
    *,
    plane_bits: Mapping[str, int],
    weights: Sequence[float] | np.ndarray | None = None,
    zero_points: Sequence[float] | np.ndarray | None = None,
    zero_point: float | None = None,
    statistic: str = "MEANCLIP",
    sigma_clip: float = 3.0,
    clip_iter: int = 2,
    error: str = "variance",
    bad_planes: Sequence[str] = ("NO_DATA", "BAD", "SAT", "EDGE"),
    remove_planes: Sequence[str] = ("NOT_DEBLENDED",),
    mask_thresholds: Mapping[str, float] | None = None,
    interpolate: bool = True,
    present: np.ndarray | None = None,
) -> Coadd:
    """Coadd warps, as LSST's ``AssembleCoaddTask``.

    Parameters
    ----------
    images, variances, masks
        Warps, (warp, y, x).
    plane_bits
        Plane name to bit number. Needs NO_DATA, EDGE, INTRP, REJECTED, CLIPPED,
        SENSOR_EDGE, INEXACT_PSF, and those with a threshold.
    weights
        One a warp. By default the inverse of the clipped mean of the variance plane;
        then a warp that is NaN everywhere, or has no such mean, is not an input.
    zero_points
        AB magnitudes of one count, one a warp. By default nothing is scaled.
    zero_point
        The zero point of the result; the first warp's by default.
    statistic, sigma_clip, clip_iter, error
        See `statistic`.
    bad_planes, remove_planes
        Planes to reject, and planes to clear before. A name without a bit counts
        nothing.
    mask_thresholds
        Plane name to threshold, see `stack`; 0.1 for SAT by default.
    interpolate
        Whether to fill pixels without data, and set variances that are not positive
        to infinity.
    present
        False for a warp that is not an input at all; all are by default.

    Raises
    ------
    ValueError
        Planes that differ in shape, or names that are not known.
    """
    thresholds = {"SAT": 0.1} if mask_thresholds is None else mask_thresholds
    _check_planes(plane_bits, thresholds)
    bits = {name: 1 << bit for name, bit in plane_bits.items()}
    clip = {"sigma_clip": sigma_clip, "clip_iter": clip_iter}
    bad = sum(bits.get(name, 0) for name in set(bad_planes))
    removed = sum(bits.get(name, 0) for name in set(remove_planes))
    masks = np.asarray(masks).astype(np.uint32)
    here = inputs_here(present, len(masks))

    # 1. One photometric zero point.
    kind = np.result_type(np.asarray(images).dtype, np.float32)
    images, variances = _scale(images, variances, zero_points, zero_point)

    # 2. Weights, and which warps can be used.
    if weights is None:
        planes = zip(variances, masks, strict=True)
        weights = np.array([warp_weight(v, m, bad, **clip) for v, m in planes])
        here = here & ~np.isnan(images).all(axis=(1, 2)) & (weights > 0)
    weights = _only_here(weights, here)

    # 3. How many warps have a good mask; then planes that must not reach the coadd.
    n_image = np.sum((masks[here] & np.uint32(bad)) == 0, axis=0)
    masks = masks & ~np.uint32(removed)

    # 4. The statistic, with its mask.
    stacked = stack(
        *(images, variances, masks),
        weights.astype(kind),  # LSST keeps the weights in the type of the pixels
        statistic=statistic,
        **clip,
        error=error,
        bad_bits=bad,
        no_data_bits=bits["NO_DATA"],
        clipped_bits=bits["CLIPPED"],
        thresholds={plane_bits[name]: t for name, t in thresholds.items()},
        mask_map=_mask_map(bits, bad),
        present=here,
    )
    return _finish(stacked, bits, n_image, weights, interpolate)


def _only_here(weights, here) -> np.ndarray:
    """Set the weights of warps that are not inputs to 0."""
    weights = np.asarray(weights, np.float64)
    if len(weights) != len(here):
        raise ValueError(f"{len(here)} warps need as many weights")
    return np.where(here, weights, 0.0)


def _mask_map(bits, bad) -> list[tuple[int, int]]:
    """Say what a rejected input leaves in the mask of the coadd."""
    edge, clipped = bits["EDGE"], bits["CLIPPED"]
    other = bad & ~(bits["NO_DATA"] | edge | clipped)
    return [(other, bits["REJECTED"]), (edge, bits["SENSOR_EDGE"]), (clipped, clipped)]


def _finish(stacked: Stack, bits, n_image, weights, interpolate) -> Coadd:
    """Set the planes of the whole coadd, and fill its holes."""
    image, variance, mask = stacked.image, stacked.variance, stacked.mask

    # 5. Pixels whose inputs are not those that the PSF is made from.
    inexact = bits["SENSOR_EDGE"] | bits["CLIPPED"] | bits["REJECTED"]
    mask[(mask & np.uint32(inexact)) != 0] |= np.uint32(bits["INEXACT_PSF"])

    # 6. A variance of exactly 0 stands for no data.
    mask[variance == 0] |= np.uint32(bits["NO_DATA"])

    # 7. Holes filled in image and variance alike, with the image's fallback value.
    if interpolate:
        hole = (mask & np.uint32(bits["NO_DATA"])) != 0
        fallback = fallback_value(image)
        image = interpolate_over(image, hole, fallback=fallback)
        variance = interpolate_over(variance, hole, fallback=fallback)
        mask[hole] |= np.uint32(bits["INTRP"])
        variance = np.where(variance > 0, variance, np.inf)
    return Coadd(image, variance, mask, n_image, stacked.weight, weights)


def _check_planes(plane_bits, thresholds) -> None:
    """Refuse a coadd without the planes that it sets or has thresholds for."""
    needed = "NO_DATA EDGE INTRP REJECTED CLIPPED SENSOR_EDGE INEXACT_PSF".split()
    for name in (*needed, *thresholds):
        if name not in plane_bits:
            raise ValueError(f"no mask plane {name!r}; they are {tuple(plane_bits)}")


def _scale(images, variances, zero_points, zero_point):
    """Bring the warps to one zero point, in float64."""
    images, variances = (np.asarray(a, np.float64) for a in (images, variances))
    if zero_points is None:
        return images, variances
    inputs = np.asarray(zero_points, np.float64)
    common = inputs[0] if zero_point is None else zero_point
    scale = (10 ** (-0.4 * (inputs - common)))[:, None, None]
    return images * scale, variances * scale**2
