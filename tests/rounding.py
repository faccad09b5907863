"""How far a result may be from the reference by rounding alone.

With eps the distance of 1 from the next number, d the largest deviation of a value
from the mean, W and W2 the sums of weights and of their squares, and e what the
values themselves are off (after scaling, some eps of their size):

* a sum of n terms is off by n eps of the sum of their sizes, whatever the order, so
  a mean taken from near to it is off by n eps d + eps |mean| + e;
* the sample variance is (S/W - shift^2) W^2 / (W^2 - W2). Its first factor is off by
  some n eps d^2 + 2 d e, and the second one by n eps times itself.

The reference has 64 bits, but takes deviations from a centre c that need not be near
to the values: its sums are off by n eps64 (x - c), and by that squared. Sums of sums
and the few operations that follow them make the constants.
"""

import dataclasses

import numpy as np

from jaxcoadd import reference
from jaxcoadd.reference.statistics import SIGMA_PER_IQR

EPS64 = float(np.finfo(np.float64).eps)


@dataclasses.dataclass(frozen=True)
class Bounds:
    """By how much the mean and the sample variance of a column may be off."""

    mean: float
    variance: float


@np.errstate(all="ignore")
def bounds(values, weights, eps, *, scaling, centre=None):
    """Bound the rounding of a column.

    `scaling` is by how many eps the values may be off, and `centre` what the
    reference takes deviations from, by default a value among them.
    """
    n, size = len(values), np.max(np.abs(values), initial=0.0)
    spread = np.ptp(values) if n else 0.0
    centre = np.mean(values) if centre is None else centre
    distance = np.max(np.abs(values - centre), initial=spread)
    shift = scaling * eps * size
    total, square = np.sum(weights) ** 2, np.sum(weights**2)
    factor = total / (total - square) if n > 1 else np.inf
    terms = 4 * (n + 4)
    mean = terms * (eps * spread + EPS64 * distance) + 2 * eps * size + shift
    biased = terms * (eps * spread**2 + EPS64 * distance**2)
    biased += 4 * spread * shift + shift**2
    return Bounds(mean, factor**2 * biased)


@np.errstate(all="ignore")
def clip(values, weights, eps, *, scaling=0, sigma_clip=3.0, clip_iter=2):
    """Clip a column: what is kept, and whether rounding could change that in any pass.

    Where a pass keeps one value of several, its variance is round-off divided by 0,
    and what the next pass does hangs on the last bit.
    """
    kept, sure = np.ones(len(values), bool), True
    if len(values) < 2:
        return kept, sure
    first, centre, third = reference.order_statistics(values)
    half_width = sigma_clip * SIGMA_PER_IQR * (third - first)
    off = 4 * bounds(values, weights, eps, scaling=scaling).mean
    for _ in range(clip_iter):
        distance = np.abs(values - centre)
        kept = distance <= half_width
        sure &= np.min(np.abs(distance - half_width)) > off and kept.sum() > 1
        x, w = values[kept], weights[kept]
        sums = reference.statistics.moments(x, x, w, centre, "scatter")
        bound = bounds(x, w, eps, scaling=scaling)
        scatter = np.sqrt(np.maximum(sums.variance, 0))
        # The root of a + b is within b / root(a), and within root(b), of that of a.
        change = np.fmin(bound.variance / scatter, np.sqrt(bound.variance))
        centre, half_width = sums.mean, sigma_clip * scatter
        off = bound.mean + sigma_clip * (change + 4 * eps * scatter)
    return kept, sure


def stack_bounds(
    name, images, variances, weights, good, eps, *, scaling=0, error="variance"
):
    """Return whether each pixel is sure, and by how much its planes may be off.

    `weights` are one a pixel, like the others. A pixel is not sure, either, where its
    variance may be 0 or not.
    """
    shape = images.shape[1:]
    sure, value_off, variance_off = (
        np.ones(shape, bool),
        np.zeros(shape),
        np.zeros(shape),
    )
    for y, x in np.ndindex(*shape):
        column = good[:, y, x]
        values, v, w = (a[column, y, x] for a in (images, variances, weights))
        kept = np.ones(len(values), bool)
        if name.endswith("CLIP"):
            kept, sure[y, x] = clip(values, w, eps, scaling=scaling)
        value_off[y, x], variance_off[y, x] = allowed(
            name, values[kept], v[kept], w[kept], eps, scaling=scaling, error=error
        )
    return sure, value_off, variance_off


@np.errstate(all="ignore")
def allowed(name, values, variances, weights, eps, *, scaling=0, error="variance"):
    """Return by how much a statistic of values and its variance may be off.

    `values` are those that made the result. Infinite where rounding decides all.
    """
    n = len(values)
    if n == 0 or name in ("NPOINT", "NMASKED", "NCLIPPED"):
        return 0.0, 0.0
    # Where nothing is clipped, the reference starts from the sum of w x over n.
    start = None if name.endswith("CLIP") else np.sum(weights * values) / n
    bound = bounds(values, weights, eps, scaling=scaling, centre=start)
    sums = reference.statistics.moments(
        values, variances, weights, np.mean(values), error
    )
    off = np.where(np.isnan(bound.variance), np.inf, bound.variance)
    squares = 2 * (n - 1) / n**2
    scatter_off = off / np.sqrt(sums.variance) if sums.variance > 2 * off else np.inf
    # Some results are NaN where rounding makes the sample variance less than 0.
    sign_off = off if abs(sums.variance) > off else np.inf
    mean_off = _mean_error_off(sums, variances, weights, sign_off, eps, scaling, error)
    match name.removesuffix("CLIP"):
        case "MEAN":
            return bound.mean, mean_off
        case "MEDIAN":
            return bound.mean, np.pi / 2 / n * sign_off
        case "VARIANCE":
            return off, squares * off * (2 * abs(sums.variance) + off)
        case "STDEV":
            return scatter_off, squares * off if scatter_off < np.inf else np.inf
        case "IQRANGE":
            return 2 * bound.mean, 0.0
        case "MIN" | "MAX" | "SUM":
            # Both extremes may be the sum of w x over n.
            sizes = np.sum(np.abs(weights * values)) + np.max(np.abs(values))
            return (n + 4 + scaling) * eps * sizes, 0.0
        case "MEANSQUARE":
            value = (n - 1) / n * sums.variance + sums.mean**2
            change = off + bound.mean * (2 * abs(sums.mean) + bound.mean)
            change += 4 * eps * value
            return change, 2 / n**2 * change * (2 * value + change)
    raise ValueError(f"no statistic {name!r}")


def _mean_error_off(sums, variances, weights, off, eps, scaling, error):
    """Return by how much the variance of a mean may be off."""
    n = len(weights)
    if error == "scatter":
        part = np.sum(weights**2) / np.sum(weights) ** 2
        return part * (off + 2 * (n + 4) * eps * abs(sums.variance))
    # The terms are positive, so the relative errors of the sums add up.
    return (3 * n + 8 + 2 * scaling) * eps * sums.mean_error2
