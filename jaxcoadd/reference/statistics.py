"""Statistics of a column of values, one value a warp."""

import dataclasses
import math

import numpy as np

SIGMA_PER_IQR = 0.741301109252802
"""Standard deviation of a Gaussian in units of its interquartile range."""

CLIPPED = ("MEANCLIP", "STDEVCLIP", "VARIANCECLIP")
RANGE = ("MIN", "MAX")
ERRORS = ("variance", "scatter", "mosaic")


@dataclasses.dataclass(frozen=True)
class Result:
    """What a statistic gives for one pixel.

    Parameters
    ----------
    value, variance
        The statistic, and the square of its error.
    n_point
        Number of good values, before clipping.
    n_clipped
        Number of good values that the last iteration of clipping left out.
    weight
        Summed weight of the values that made the result.
    """

    value: float
    variance: float
    n_point: int
    n_clipped: int
    weight: float


@dataclasses.dataclass(frozen=True)
class Moments:
    """Sums over some of the values."""

    n: int
    weight: float
    total: float
    mean: float
    variance: float
    mean_error2: float


def is_finite(values: np.ndarray) -> np.ndarray:
    """Tell which values are finite numbers of float32, the type of LSST's pixels."""
    with np.errstate(over="ignore"):
        return np.isfinite(np.asarray(values).astype(np.float32))


def total(terms: np.ndarray) -> float:
    """Add in the order of the inputs, as the original does; 0 for no terms."""
    return np.add.accumulate(terms)[-1] if len(terms) else np.float64(0.0)


def order_statistics(values: np.ndarray) -> tuple[float, float, float]:
    """Return the quartiles and the median.

    Parameters
    ----------
    values
        Good values, in one dimension and any order.

    Returns
    -------
    tuple
        First quartile, median, third quartile: linear between the two values next
        to ``fraction * (n - 1)`` in order. NaN if there are no values.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    if len(ordered) < 2:
        only = ordered[0] if len(ordered) else np.float64(np.nan)
        return only, only, only
    result = []
    for fraction in (0.25, 0.5, 0.75):
        index = fraction * (len(ordered) - 1)
        below = int(index)
        left, right = ordered[below], ordered[below + 1]
        result.append((below + 1 - index) * left + (index - below) * right)
    return result[0], result[1], result[2]


def moments(
    x: np.ndarray, v: np.ndarray, w: np.ndarray, centre: float, error: str
) -> Moments:
    """Compute mean and scatter; `centre` is an origin that keeps the sums accurate."""
    if error not in ERRORS:
        raise ValueError(f"no error {error!r}; there are {ERRORS}")
    n, d = len(x), x - centre
    weight, weight2 = total(w), total(w**2)
    shift = total(w * d) / weight
    # (w d) d, not w d^2: the residue that a single value leaves can decide a clip.
    biased = total(w * d * d) / weight - shift**2
    variance = biased * weight**2 / (weight**2 - weight2)
    if error == "variance":
        mean_error2 = total(v * w**2) / weight**2
    elif error == "mosaic":
        mean_error2 = total(v * w) / weight
    else:
        mean_error2 = variance * weight2 / weight**2
    summed = total(w * d) + weight * centre
    return Moments(n, weight, summed, shift + centre, variance, mean_error2)


def _clip(x, v, w, *, sigma_clip, clip_iter, error) -> Moments:
    """Clip around the median by the quartiles, then around the mean by the scatter."""
    q1, median, q3 = order_statistics(x)
    centre, half_width = median, sigma_clip * SIGMA_PER_IQR * (q3 - q1)
    clipped = None
    for _ in range(clip_iter):
        if clipped is not None:
            centre = clipped.mean
            # One value has no scatter: it keeps the rule of the quartiles.
            if len(x) > 1:
                variance = 0.0 if clipped.variance < 0 else clipped.variance
                half_width = sigma_clip * np.sqrt(variance)
        # Each iteration starts from all good values, so a value can come back.
        # A NaN compares false and leaves nothing, with sums of 0 and a mean of NaN.
        keep = np.abs(x - centre) <= half_width
        clipped = moments(x[keep], v[keep], w[keep], centre, error)
    if clipped is None:
        raise ValueError(f"clip_iter is {clip_iter}; it must be at least 1")
    return clipped


def _variance_error2(variance, n) -> float:
    """Return the square of the error of a sample variance of Gaussian values."""
    return 2 * (n - 1) * variance**2 / np.float64(n) ** 2


def _stdev(variance, n) -> tuple[float, float]:
    """Return a standard deviation and the square of its error."""
    stdev = np.sqrt(variance)
    return stdev, (0.5 * np.sqrt(_variance_error2(variance, n)) / stdev) ** 2


def _value_and_error2(name, x, m, clipped, *, n_input, start) -> tuple[float, float]:
    """Return the value of a statistic and the square of its error."""
    n = np.float64(m.n)
    match name:
        case "MEAN":
            return m.mean, m.mean_error2
        case "MEANCLIP":
            return clipped.mean, clipped.mean_error2
        case "MEDIAN":
            return order_statistics(x)[1], math.pi / 2 * m.variance / n
        case "VARIANCE":
            return m.variance, _variance_error2(m.variance, n)
        case "VARIANCECLIP":
            return clipped.variance, np.nan
        case "STDEV":
            return _stdev(m.variance, n)
        case "STDEVCLIP":
            return _stdev(clipped.variance, clipped.n)
        case "IQRANGE":
            q1, _, q3 = order_statistics(x)
            return q3 - q1, np.nan
        case "MIN" | "MAX":
            # They start from sum(w x) / n, which with weights can be outside of the
            # values and then is the result.
            if not m.n:
                return np.nan, 0.0
            return (np.min if name == "MIN" else np.max)([start, *x]), 0.0
        case "MEANSQUARE":
            value = (n - 1) / n * m.variance + m.mean**2
            return value, 2 * (value / n) ** 2
        case "SUM":
            return m.total, 0.0
        case "NPOINT":
            return n, 0.0
        case "NMASKED":
            return np.float64(n_input - m.n), 0.0
        case "NCLIPPED":  # asked for alone, nothing is clipped
            return np.float64(0), 0.0
    raise ValueError(f"no statistic {name!r}; names are those of LSST, as 'MEANCLIP'")


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def statistic(
    name: str,
    values: np.ndarray,
    variances: np.ndarray,
    weights: np.ndarray | None,
    good: np.ndarray,
    *,
    sigma_clip: float = 3.0,
    clip_iter: int = 2,
    error: str = "variance",
) -> Result:
    """Compute one statistic of one pixel.

    Parameters
    ----------
    name
        Name of the statistic: MEAN, MEANCLIP, MEDIAN, STDEV, VARIANCE, STDEVCLIP,
        VARIANCECLIP, IQRANGE, MIN, MAX, SUM, MEANSQUARE, NPOINT, NMASKED, NCLIPPED.
    values, variances
        One a warp, in one dimension.
    weights
        One a warp; ``None`` for an unweighted statistic. Any number is taken as it
        is, also 0 and below. The median and the quartiles have no weights.
    good
        Which values to use; the others are not looked at.
    sigma_clip, clip_iter
        Limit, in standard deviations, and number of iterations of the clipped ones.
    error
        Variance of a mean: "variance", from the variances of the inputs,
        ``sum(w^2 v) / sum(w)^2``; "scatter", from the scatter of the values;
        "mosaic", ``sum(w v) / sum(w)``.

    Returns
    -------
    Result
        NaN where the statistic is not defined. Matches afw's ``makeStatistics``.

    Raises
    ------
    ValueError
        Unknown name or error.
    """
    good = np.asarray(good, bool)
    everywhere = np.ones(len(good)) if weights is None else weights
    x, v, w = (np.asarray(a, np.float64)[good] for a in (values, variances, everywhere))
    start = total(w * x) / len(x) if len(x) else np.float64(0.0)
    if name in RANGE:
        # Only the start can be infinite or NaN, if `good` lets such values in.
        finite = is_finite(x)
        x, v, w = x[finite], v[finite], w[finite]
    plain = moments(x, v, w, start, error)
    clipped = None
    if name in CLIPPED:
        rules = {"sigma_clip": sigma_clip, "clip_iter": clip_iter, "error": error}
        clipped = _clip(x, v, w, **rules)
    value, error2 = _value_and_error2(
        name, x, plain, clipped, n_input=len(good), start=start
    )
    return Result(
        value=value,
        # The original keeps the error, so a variance below 0 becomes NaN.
        variance=np.sqrt(error2) ** 2,
        n_point=plain.n,
        n_clipped=plain.n - clipped.n if clipped else 0,
        weight=clipped.weight if clipped else plain.weight,
    )


def plane_clipped_mean(
    variance: np.ndarray,
    bad: np.ndarray,
    *,
    sigma_clip: float = 3.0,
    clip_iter: int = 2,
) -> tuple[float, int]:
    """Return the clipped mean of a plane and the number of pixels clipped.

    Parameters
    ----------
    variance
        Any plane, (y, x); for the weight of a warp, its variance.
    bad
        Pixels to leave out, (y, x). NaN and infinite pixels are left out, too.
    sigma_clip, clip_iter
        Limit, in standard deviations, and number of iterations.
    """
    values = np.asarray(variance, np.float64).ravel()
    good = is_finite(values) & ~np.asarray(bad, bool).ravel()
    result = statistic(
        "MEANCLIP",
        values,
        np.zeros_like(values),
        None,
        good,
        sigma_clip=sigma_clip,
        clip_iter=clip_iter,
    )
    return result.value, result.n_clipped
