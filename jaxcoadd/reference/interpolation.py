"""Filling of bad pixels along the rows."""

import functools
from collections.abc import Sequence

import numpy as np

from .statistics import is_finite, statistic

LARGEST = float(np.finfo(np.float32).max)

WIDE = 11
"""Length from which a run has the weights of an endless one."""

EDGE = 6
"""Number of pixels at each end of a run that are really interpolated."""

ENDLESS = 60

POINTS = {
    "LEFT": ("R1", "R2"),
    "NEAR_LEFT": ("L1", "R1", "R2"),
    "MIDDLE": ("L2", "L1", "R1", "R2"),
    "NEAR_RIGHT": ("L2", "L1", "R1"),
    "RIGHT": ("L2", "L1"),
}
"""The two good pixels on each side, where the row has them, by place of the run."""


@functools.cache
def _kriging_weights(points: tuple[str, ...], n: int, k: int) -> tuple[float, ...]:
    """Return the weights for pixel `k` of a run of `n`, rounded to four decimals.

    The best linear prediction, with weights that sum to 1, of a field whose pixels
    at distance d have the covariance ``exp(-d^2 / 4)``, that of point sources with
    a Gaussian PSF of one pixel standard deviation.
    """
    place = {"L2": -2, "L1": -1, "R1": n, "R2": n + 1}
    at = np.array([place[point] for point in points], float)
    count = len(at)
    system = np.ones((count + 1, count + 1))
    system[:count, :count] = np.exp(-((at[:, None] - at) ** 2) / 4)
    system[count, count] = 0
    target = np.append(np.exp(-((at - k) ** 2) / 4), 1.0)
    solution = np.linalg.solve(system, target)[:count]
    return tuple(np.round(solution, 4).tolist())


def _two_sided(points) -> bool:
    """Tell whether there are good pixels on both sides of a run."""
    return "L1" in points and "R1" in points


def _weights(points, n, k) -> tuple[float, ...]:
    """Return the weights; a wide run has those of the ends of an endless one."""
    if n < WIDE or not _two_sided(points):
        return _kriging_weights(points, n, k)
    if k >= n - EDGE:
        return _kriging_weights(points, ENDLESS, ENDLESS - n + k)
    return _kriging_weights(points, ENDLESS, k if k < EDGE else ENDLESS // 2)


def _runs(bad) -> list[tuple[int, int]]:
    """Return first and last column of every unbroken run of bad pixels."""
    step = np.diff(np.concatenate([[0], np.asarray(bad, int), [0]]))
    first, after = np.flatnonzero(step == 1), np.flatnonzero(step == -1)
    return [(int(a), int(b) - 1) for a, b in zip(first, after, strict=True)]


def _place(first, last, columns) -> str:
    """Name the place of a run in its row; the first that fits."""
    if first == 0:
        return "LEFT"
    if first == 1:
        return "NEAR_LEFT"
    if last == columns - 2:
        return "NEAR_RIGHT"
    return "RIGHT" if last == columns - 1 else "MIDDLE"


def _usable_points(place, wide, after_run, before_run) -> tuple[str, ...]:
    """Leave out far points that belong to another run, one good pixel away."""
    unusable = set()
    if after_run and place in ("MIDDLE", "NEAR_RIGHT"):
        unusable.add("L2")
    # A narrow run at column 1 does not look: it may use a pixel that is still bad.
    if before_run and (place in ("MIDDLE", "LEFT") or (place == "NEAR_LEFT" and wide)):
        unusable.add("R2")
    return tuple(point for point in POINTS[place] if point not in unusable)


def _fill(row, run, points, values, largest) -> None:
    """Write the weighted sums of the points into a run."""
    first, last = run
    n = last - first + 1
    if _two_sided(points):
        substitute = 0.5 * float(values["L1"] + values["R1"])
    else:
        substitute = values["L1"] if "L1" in points else values["R1"]
    for k in range(n):
        value = 0.0
        for point, weight in zip(points, _weights(points, n, k), strict=True):
            value += weight * float(values[point])
        plateau = n >= WIDE and EDGE <= k < n - EDGE
        if n == 2 and points == ("L1", "R1"):
            value = 0.0 if value < 0 else value
        elif plateau and points in (("L1", "R1"), ("L1", "R1", "R2")):
            pass  # the one place where a NaN stays
        elif not value >= -largest:
            value = substitute
        row[first + k] = value


def _taper(row, run, points, values, *, fallback, largest) -> None:
    """Fill a long run at an edge: fallback value, then a taper to the good pixels."""
    dummy = row.dtype.type(-1.0)
    first, last = run
    n = last - first + 1
    if n == len(row):
        row[:] = fallback
        return
    if first == 0:
        first = last - EDGE + 1
        row[:first] = fallback
        points = ("L2", "L1", *points)
        values = {**values, "L2": fallback, "L1": fallback}
        # The original takes -1 for a pixel that its class of run does not read.
        if n == EDGE + 1:
            values["L2"] = dummy
        elif last == len(row) - 2:
            values["R2"] = dummy
    else:
        last = first + EDGE - 1
        row[last + 1 :] = fallback
        points = POINTS["MIDDLE"]
        values = {**values, "R1": fallback, "R2": fallback}
        if n == EDGE + 1:
            values["R2"] = dummy
    _fill(row, (first, last), points, values, largest)


def _interpolate_run(
    row, run, near, *, fallback, use_fallback_at_edge, largest
) -> None:
    """Fill one run of a row in place.

    `near` says whether another run is one good pixel before it, and one after it.
    """
    first, last = run
    n, columns = last - first + 1, len(row)
    place = _place(first, last, columns)
    points = _usable_points(place, n >= WIDE, *near)
    at = {"L2": first - 2, "L1": first - 1, "R1": last + 1, "R2": last + 2}
    values = {
        point: row[column] if 0 <= column < columns else fallback
        for point, column in at.items()
    }
    if use_fallback_at_edge and place in ("LEFT", "RIGHT") and n > EDGE:
        _taper(row, run, points, values, fallback=fallback, largest=largest)
    elif n >= WIDE and first < 2 and last >= columns - 2:
        row[first : last + 1] = row[-1] if last == columns - 2 else fallback
    else:
        _fill(row, run, points, values, largest)


@np.errstate(invalid="ignore", over="ignore")
def interpolate_over(
    image: np.ndarray,
    bad: np.ndarray,
    *,
    fallback: float,
    use_fallback_at_edge: bool = True,
    largest: float = LARGEST,
) -> np.ndarray:
    """Fill bad pixels from up to two good ones on each side in their row.

    Parameters
    ----------
    image
        Image or variance, (y, x). The result has its type, and what is filled is
        rounded to it before it is used again.
    bad
        Pixels to fill, (y, x), whatever they hold.
    fallback
        Value where a row has no pixel to interpolate from.
    use_fallback_at_edge
        Of a run of more than six pixels at the left or right edge, fill only the
        six next to good pixels, tapering to the fallback value of the others.
    largest
        Largest number of the type of pixels. A sum below minus this, or NaN, is
        replaced by the nearest good pixel, or by the mean of the nearest two.

    Returns
    -------
    numpy.ndarray
        The image with the bad pixels filled. Matches the image and the variance of
        ``interpolateOverDefects`` of meas_algorithms, with its quirks; where that
        reads outside of the row, `fallback` is read.
    """
    image, bad = np.asarray(image), np.asarray(bad, bool)
    floating = np.issubdtype(image.dtype, np.floating)
    out = image.astype(image.dtype if floating else np.float64)
    value = out.dtype.type(fallback)
    for row, bad_row in zip(out, bad, strict=True):
        runs = _runs(bad_row)
        for i, (first, last) in enumerate(runs):
            after_run = i > 0 and runs[i - 1][1] == first - 2
            before_run = i + 1 < len(runs) and runs[i + 1][0] == last + 2
            _interpolate_run(
                row,
                (first, last),
                (after_run, before_run),
                fallback=value,
                use_fallback_at_edge=use_fallback_at_edge,
                largest=largest,
            )
    return out


def fallback_value(
    image: np.ndarray,
    kind: str = "MEDIAN",
    user: float = 0.0,
    negative_allowed: bool = False,
) -> float:
    """Return the value for pixels that cannot be interpolated.

    Parameters
    ----------
    image
        Image, (y, x); all its finite pixels count.
    kind
        "MEAN", "MEDIAN", "MEANCLIP" (3 standard deviations, 3 iterations) or "USER".
    user
        The value for "USER".
    negative_allowed
        Whether the value may be below 0; if not, it is 0 then.

    Returns
    -------
    float
        NaN if the image has no finite pixel.

    Raises
    ------
    ValueError
        Unknown kind.
    """
    kinds: Sequence[str] = ("MEAN", "MEDIAN", "MEANCLIP", "USER")
    if kind not in kinds:
        raise ValueError(f"no fallback value {kind!r}; there are {kinds}")
    value = float(user)
    if kind != "USER":
        x = np.asarray(image, np.float64).ravel()
        value = float(statistic(kind, x, x, None, is_finite(x), clip_iter=3).value)
    return 0.0 if value < 0 and not negative_allowed else value
