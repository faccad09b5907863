"""All pixels of a stack of warps, with their masks."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from .statistics import RANGE, is_finite, moments, statistic, total

_statistic = statistic  # `stack` has an argument of the same name


@dataclasses.dataclass(frozen=True)
class Stack:
    """Planes of a stack, (y, x).

    Parameters
    ----------
    image, variance
        The statistic and the square of its error, float64.
    mask
        Bits, uint32.
    n_point
        Number of values used, before clipping.
    weight
        Summed weight of the values that made the result.
    """

    image: np.ndarray
    variance: np.ndarray
    mask: np.ndarray
    n_point: np.ndarray
    weight: np.ndarray


def _empty_stack(shape) -> Stack:
    """Make the planes to fill in."""
    return Stack(
        image=np.zeros(shape),
        variance=np.zeros(shape),
        mask=np.zeros(shape, np.uint32),
        n_point=np.zeros(shape, int),
        weight=np.zeros(shape),
    )


def _inputs(images, variances, masks):
    """Check the planes of a stack, and take them as float64 and as bits."""
    images, variances, masks = (np.asarray(a) for a in (images, variances, masks))
    if images.ndim != 3 or not len(images):
        raise ValueError(f"images are (warp, y, x), at least one, not {images.shape}")
    for name, planes in (("variances", variances), ("masks", masks)):
        if planes.shape != images.shape:
            raise ValueError(f"{name} are {planes.shape}, the images {images.shape}")
    # NumPy wraps negative integers, which is what a set bit 31 needs.
    bits = masks.astype(np.uint32)
    return images.astype(np.float64), variances.astype(np.float64), bits


def _union(masks) -> int:
    """Return every bit that some mask has."""
    union = 0
    for mask in masks:
        union |= int(mask)
    return union


def _propagated(masks, weights, rejected, good_weight, thresholds) -> int:
    """Return the bits that too much of the weight was rejected with.

    The fraction of a bit is (weight rejected with it) / (that + weight used); the
    other rejected inputs are not in the denominator. Equal is not too much.
    """
    bits = 0
    for bit, threshold in thresholds:
        having = rejected & ((masks >> np.uint32(bit)) & np.uint32(1)).astype(bool)
        lost = total(weights[having])
        if lost / (good_weight + lost) > threshold:
            bits |= 1 << bit
    return bits


def _all_thresholds(thresholds: Mapping[int, float]) -> list[tuple[int, float]]:
    """Give a threshold to every bit up to the highest named; 1 if it has no own.

    A threshold of 1 can be exceeded where weights are negative.
    """
    highest = max(thresholds, default=-1)
    return [(bit, thresholds.get(bit, 1.0)) for bit in range(highest + 1)]


def _weights(weighting, weights, variances, dtype) -> np.ndarray:
    """Return the weights, (warp, y, x)."""
    if weighting == "warp":
        weights = np.asarray(weights, np.float64)
        if weights.shape != variances.shape[:1]:
            raise ValueError(f"{len(variances)} warps need as many weights")
        return np.broadcast_to(weights[:, None, None], variances.shape)
    if weighting == "variance":
        # They are stored in the type of the variances, as LSST does with float32.
        kind = dtype if np.issubdtype(dtype, np.floating) else np.float64
        return (1.0 / variances).astype(kind).astype(np.float64)
    if weighting == "none":
        return np.ones(variances.shape)
    raise ValueError(f"no weighting {weighting!r}: 'warp', 'variance' or 'none'")


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def stack(
    images: np.ndarray,
    variances: np.ndarray,
    masks: np.ndarray,
    weights: Sequence[float] | np.ndarray | None,
    *,
    statistic: str = "MEANCLIP",
    sigma_clip: float = 3.0,
    clip_iter: int = 2,
    error: str = "variance",
    weighting: str = "warp",
    bad_bits: int = 0,
    nan_safe: bool = True,
    no_data_bits: int = 0,
    clipped_bits: int = 0,
    thresholds: Mapping[int, float] | None = None,
    mask_map: Iterable[tuple[int, int]] = (),
    present: np.ndarray | None = None,
) -> Stack:
    """Stack the warps pixel by pixel, as afw's ``statisticsStack``.

    Parameters
    ----------
    images, variances, masks
        Warps, (warp, y, x).
    weights
        One a warp, for ``weighting="warp"``; in float32 if LSST is to be matched.
    statistic, sigma_clip, clip_iter, error
        See `statistic`.
    weighting
        "warp", "variance" (the inverse of each pixel's variance) or "none".
    bad_bits
        An input with one of these bits is rejected.
    nan_safe
        Whether an input that is not a finite number is rejected, too.
    no_data_bits
        The mask of a pixel without any input used.
    clipped_bits
        Bits of a pixel where an input was clipped.
    thresholds
        Bit number to fraction of the weight. A bit of the rejected inputs goes to
        the result if they have more of the weight than this.
    mask_map
        Pairs of bits: where any input was rejected, and any input, used or not, has
        a bit of the first, the result gets those of the second.
    present
        False for a warp that is not an input at all; all are by default.

    Returns
    -------
    Stack
        NaN, with `no_data_bits`, where no input is used.

    Raises
    ------
    ValueError
        Planes that differ in shape, or names that are not known.
    """
    dtype = np.asarray(variances).dtype
    images, variances, masks = _inputs(images, variances, masks)
    columns = _weights(weighting, weights, variances, dtype)
    here = inputs_here(present, len(images))
    images, variances, masks, columns = (
        planes[here] for planes in (images, variances, masks, columns)
    )

    finite = is_finite(images)
    good = ((masks & np.uint32(bad_bits)) == 0) & (finite | (not nan_safe))
    # For the least and the greatest, only the start of the search is not NaN-safe.
    used = good & finite if statistic in RANGE else good
    rules = {"sigma_clip": sigma_clip, "clip_iter": clip_iter, "error": error}
    limits, pairs = _all_thresholds(thresholds or {}), list(mask_map)
    out = _empty_stack(images.shape[1:])
    for y, x in np.ndindex(out.image.shape):
        pixel = (slice(None), y, x)
        result = _statistic(
            statistic,
            *(images[pixel], variances[pixel]),
            None if weighting == "none" else columns[pixel],
            good[pixel],
            **rules,
        )
        _put(out, (y, x), result)
        mask = no_data_bits
        if result.n_point > 0:
            mask = _stack_mask(masks[pixel], columns[pixel], used[pixel], limits)
        mask |= clipped_bits if result.n_clipped else 0
        if not used[pixel].all():
            mask |= _mapped(_union(masks[pixel]), pairs)
        out.mask[y, x] = mask
    return out


def inputs_here(present: np.ndarray | None, n: int) -> np.ndarray:
    """Return which of n warps are inputs; all are if nothing else is said."""
    return np.ones(n, bool) if present is None else np.asarray(present, bool)


def _put(out, pixel, result) -> None:
    """Write all but the mask of a pixel."""
    out.image[pixel], out.variance[pixel] = result.value, result.variance
    out.n_point[pixel], out.weight[pixel] = result.n_point, result.weight


def _stack_mask(masks, weights, used, limits) -> int:
    """Unite the masks of the inputs used, and add what the rejected ones propagate."""
    good_weight = total(weights[used])
    propagated = _propagated(masks, weights, ~used, good_weight, limits)
    return _union(masks[used]) | propagated


def _mapped(bits, pairs) -> int:
    """Return the bits that the pairs give for some bits."""
    return _union(after for before, after in pairs if bits & before)


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def online_mean(
    images: np.ndarray,
    variances: np.ndarray,
    masks: np.ndarray,
    weights: Sequence[float] | np.ndarray,
    *,
    bad_bits: int = 0,
    thresholds: Mapping[int, float] | None = None,
    mask_map: Iterable[tuple[int, int]] = (),
    no_data_bits: int = 0,
    error: str = "variance",
) -> Stack:
    """Compute the weighted mean with the mask rules of the accumulator.

    Parameters
    ----------
    images, variances, masks
        Warps, (warp, y, x).
    weights
        One a warp.
    bad_bits
        An input with one of these bits is rejected.
    thresholds
        Bit number to fraction of the weight, as for `stack`. Only bits that are
        named here and among `bad_bits` are tracked.
    mask_map
        Pairs of bits: where any input has a tracked bit of the first, the result
        gets those of the second.
    no_data_bits
        Bits added to the mask where the sum of the weights is not positive.
    error
        "variance" or "scatter", see `statistic`.

    Returns
    -------
    Stack
        With the number of inputs used as `n_point`.

    Raises
    ------
    ValueError
        Planes or weights that differ in shape, or an error that is not known.

    Notes
    -----
    LSST's ``AccumulatorMeanStack``, but for two differences: a pixel that is NaN or
    infinite is rejected, and nothing is rounded to float32 on the way.
    """
    images, variances, masks = _inputs(images, variances, masks)
    columns = _weights("warp", weights, variances, variances.dtype)
    used = ((masks & np.uint32(bad_bits)) == 0) & is_finite(images)
    tracked = {b: t for b, t in (thresholds or {}).items() if bad_bits >> b & 1}
    tracked_bits = _union(1 << bit for bit in tracked)
    limits, pairs = sorted(tracked.items()), list(mask_map)
    out = _empty_stack(images.shape[1:])
    for y, x in np.ndindex(out.image.shape):
        pixel = (slice(None), y, x)
        keep = used[pixel]
        values, factors = images[pixel][keep], columns[pixel][keep]
        mean = total(factors * values) / total(factors)
        sums = moments(values, variances[pixel][keep], factors, mean, error)
        out.image[y, x] = mean
        out.variance[y, x] = sums.mean_error2
        out.n_point[y, x] = sums.n
        out.weight[y, x] = sums.weight
        mask = _stack_mask(masks[pixel], columns[pixel], keep, limits)
        mask |= _mapped(_union(masks[pixel]) & tracked_bits, pairs)
        if sums.weight <= 0:
            mask |= no_data_bits
        out.mask[y, x] = mask
    return out
