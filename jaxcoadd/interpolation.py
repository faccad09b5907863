"""Interpolation over missing pixels, along the rows of an image.

A missing pixel is predicted from at most two good ones on each side of it, with the
weights of a linear prediction for a field that is as smooth as an image of stars
with a Gaussian profile of one pixel. The rules are those of LSST's
``InterpImageTask`` and ``interpolateOverDefects``, known oddities included.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from jaxcoadd.arrays import FloatScalar, Image, Region
from jaxcoadd.selection import plane_clipped_mean, plane_mean, plane_quantiles

FALLBACK_KINDS = ("MEAN", "MEDIAN", "MEANCLIP", "USER")

# Runs up to this width have weights of their own, one set a width.
_NARROW = 10
# A wider run has weights of its own for this many pixels at each end; of a long run
# at an edge of the image this many are predicted, the others take the fallback.
_END = 6
# What the original reads for an outer point that its class of run does not have.
_DUMMY = -1.0
# The original clamps float32 pixels; float64 ones hold the same numbers here.
_LOWEST = float(np.finfo(np.float32).min)

# The entries of the table of weights, in this order. Runs with good pixels on both
# sides, narrow ones by pattern, width and position, wide ones by pattern and slot
# (six at the left end, the plateau, six at the right end); then runs at the left and
# at the right edge by the distance from the good pixels; then copies of the next
# good pixel, and pixels that take the fallback value. A pattern is the sum of 1 (the
# outer left point is used) and 2 (the outer right point is used).
_SLOTS = 2 * _END + 1
_WIDE = 4 * _NARROW * _NARROW
_LEFT = _WIDE + 4 * _SLOTS
_RIGHT = _LEFT + _END + 1
_COPY = _RIGHT + _END + 1
_FILL = _COPY + 1

Columns = Int[Array, "y x"]
Chosen = Int[Array, "y pixel"]
Picked = Float[Array, "y pixel"]
Scalar = Float[Array, ""]


def _kriging_weights(points: np.ndarray, target: int) -> np.ndarray:
    """Weights of the best unbiased prediction at `target`, to four decimals.

    The covariance at a distance d is exp(-d²/4); unrounded, the weights add up to 1.
    """
    system = np.ones((len(points) + 1, len(points) + 1))
    system[:-1, :-1] = np.exp(-((points[:, None] - points) ** 2) / 4)
    system[-1, -1] = 0
    wanted = np.append(np.exp(-((points - target) ** 2) / 4), 1)
    return np.round(np.linalg.solve(system, wanted)[:-1], 4)


@functools.cache
def _weight_table() -> np.ndarray:
    """Make the weights of the points L2, L1, R1 and R2, a row for each entry."""
    table = np.zeros((_FILL + 1, 4))
    long = 4 * _END
    slots = [*range(_END), long // 2, *range(long - _END, long)]
    for pattern in range(4):
        used = np.array([pattern & 1, 1, 1, pattern & 2], bool)
        for width in range(1, _NARROW + 1):
            points = np.array([-2.0, -1.0, width, width + 1.0])[used]
            start = (pattern * _NARROW + width - 1) * _NARROW
            for position in range(width):
                table[start + position, used] = _kriging_weights(points, position)
        points = np.array([-2.0, -1.0, long, long + 1.0])[used]
        for slot, position in enumerate(slots):
            entry = _WIDE + pattern * _SLOTS + slot
            table[entry, used] = _kriging_weights(points, position)
    for distance in range(1, _END + 2):
        near_and_far = _kriging_weights(np.array([0.0, -1.0]), distance)
        table[_LEFT + distance - 1, 2:] = near_and_far
        table[_RIGHT + distance - 1, 1::-1] = near_and_far
    table[_COPY, 2] = 1
    return table


class _Plan(eqx.Module):
    """How each missing pixel is filled, the same for every plane of an image."""

    where: Region
    # The points are next to these columns: the ends of the run or, where a long run
    # at an edge was cut, of what is left of it.
    first: Columns
    last: Columns
    cut_left: Region
    cut_right: Region
    entry: Columns
    # The column of a row that is read after it was filled, or -1.
    reread: Int[Array, "y 1"]


def _find_runs(where: Region) -> tuple[Columns, Columns, Region, Region]:
    """Return the ends of each pixel's run, and whether its outer points are good."""
    columns = where.shape[1]
    column = jnp.broadcast_to(jnp.arange(columns, dtype=jnp.int32), where.shape)
    missing = jnp.pad(where, ((0, 0), (1, 1))).astype(jnp.int32)
    # The nearest good pixel and, in the lowest bit, whether the one beyond is missing.
    left = jnp.where(where, -2, 2 * column + missing[:, :-2])
    right = jnp.where(where, 2 * columns, 2 * column + missing[:, 2:])
    left = jax.lax.cummax(left, axis=1)
    right = jax.lax.cummin(right, axis=1, reverse=True)
    return (left >> 1) + 1, (right >> 1) - 1, left & 1 == 0, right & 1 == 0


def _two_sided_entry(
    uses_left: Region, uses_right: Region, width: Columns, position: Columns
) -> Columns:
    """Return the entries of runs with good pixels on both sides."""
    pattern = uses_left.astype(jnp.int32) + 2 * uses_right.astype(jnp.int32)
    narrow = (pattern * _NARROW + width - 1) * _NARROW + position
    from_end = width - 1 - position
    # The right end is written last: the middle one of 11 pixels is part of it.
    slot = jnp.where(from_end < _END, 2 * _END - from_end, jnp.minimum(position, _END))
    return jnp.where(width > _NARROW, _WIDE + pattern * _SLOTS + slot, narrow)


def _make_plan(where: Region, use_fallback_at_edge: bool) -> _Plan:
    """Classify the runs, and choose points and weights for each pixel."""
    columns = where.shape[1]
    column = jnp.broadcast_to(jnp.arange(columns, dtype=jnp.int32), where.shape)
    start, stop, left_is_good, right_is_good = _find_runs(where)
    narrow = stop - start < _NARROW
    # The first that fits of: left, near left, near right, right, in the middle.
    left, near_left = start == 0, start == 1
    right = (stop == columns - 1) & (start > 1)

    cut = use_fallback_at_edge & (stop - start >= _END)
    cut_left, cut_right = cut & left, cut & right
    first = jnp.where(cut_left, stop - _END + 1, start)
    last = jnp.where(cut_right, start + _END - 1, stop)

    # A narrow run near the left edge does not look whether R2 is good, and one that
    # was cut does not look whether the filled points are.
    uses_left = cut_left | cut_right | ((start > 1) & left_is_good)
    looks_right = (cut_left | (stop < columns - 2)) & right_is_good
    uses_right = cut_right | (near_left & narrow) | looks_right
    width = last - first + 1
    entry = _two_sided_entry(uses_left, uses_right, width, column - first)
    from_right = _LEFT + jnp.minimum(stop - column, _END)
    from_left = _RIGHT + jnp.minimum(column - start, _END)
    one_sided = jnp.where(right_is_good, from_right, _COPY)
    entry = jnp.where(left & ~cut_left, one_sided, entry)
    entry = jnp.where(right & ~cut_right, from_left, entry)

    starts_left = left | (near_left & ~narrow)
    one_good = ~narrow & ~cut_left & (stop == columns - 2)
    entry = jnp.where(starts_left & one_good, _COPY, entry)
    none_good = starts_left & (stop == columns - 1)
    entry = jnp.where(none_good | (column < first) | (column > last), _FILL, entry)

    rereads = where & right & ~left_is_good
    reread = jnp.where(rereads, start - 2, -1)[:, -1:]
    return _Plan(where, first, last, cut_left, cut_right, entry, reread)


def _plan(where: Region, use_fallback_at_edge: bool) -> _Plan:
    """Make the plan, or an empty one where nothing is missing."""
    make = functools.partial(_make_plan, use_fallback_at_edge=use_fallback_at_edge)
    shapes = jax.eval_shape(make, where)
    # The branch also keeps the compiler from making the plan anew wherever it is used,
    # which took four times as long for two planes on a CPU.
    return jax.lax.cond(
        jnp.any(where), make, lambda _: jax.tree.map(jnp.zeros_like, shapes), where
    )


def _at(plane: Shaped[Array, "y x"], columns: Chosen) -> Shaped[Array, "y pixel"]:
    """Take the values of a plane at columns, the nearest one where outside."""
    return jnp.take_along_axis(plane, columns, axis=1, mode="clip")


def _outer_left(image: Image, plan: _Plan, fallback: Scalar) -> Picked:
    """Return the outer left points, as they were before anything was filled."""
    filled = jnp.where(plan.first == 1, _DUMMY, fallback)
    return jnp.where(plan.cut_left, filled, _at(image, plan.first - 2))


def _right_points(image: Image, plan: _Plan, fallback: Scalar) -> list[Picked]:
    """Return the inner and the outer right points."""
    room = image.shape[1] - 1 - plan.last
    inner = jnp.where(plan.cut_right | (room < 1), fallback, _at(image, plan.last + 1))
    # Where the original would read beyond a short row, the fallback value serves.
    dummy = (plan.cut_left | plan.cut_right) & (room == 1) & (plan.first > 1)
    filled = jnp.where(dummy, _DUMMY, fallback)
    outer = jnp.where(plan.cut_right | (room < 2), filled, _at(image, plan.last + 2))
    return [inner, outer]


def _clamp(value: Picked, substitute: Picked, entry: Chosen) -> Picked:
    """Replace NaN, minus infinity and some negative values, as the original does."""
    two_of_two = (entry == _NARROW) | (entry == _NARROW + 1)
    kept = two_of_two | (entry == _COPY)
    for pattern in (0, 2):
        kept |= entry == _WIDE + pattern * _SLOTS + _END
    clamped = jnp.where(kept | (value >= _LOWEST), value, substitute)
    return jnp.where(two_of_two & (value < 0), 0, clamped)


def _predict(image: Image, outer_left: Picked, plan: _Plan, fallback: Scalar) -> Picked:
    """Return what the pixels of a plan are filled with."""
    table = jnp.asarray(_weight_table(), image.dtype)
    weights = [table[:, i].at[plan.entry].get(mode="clip") for i in range(4)]
    inner_left = jnp.where(plan.cut_left, fallback, _at(image, plan.first - 1))
    points = [outer_left, inner_left, *_right_points(image, plan, fallback)]
    # A point that is not used may be NaN; the weight of one that is used is not 0.
    used = [weight != 0 for weight in weights]
    points = [jnp.where(u, point, 0) for u, point in zip(used, points, strict=True)]
    terms = [w * point for w, point in zip(weights, points, strict=True)]
    nearest = (points[1] + points[2]) * jnp.where(used[1] & used[2], 0.5, 1.0)
    clamped = _clamp(sum(terms[1:], start=terms[0]), nearest, plan.entry)
    return jnp.where(plan.entry == _FILL, fallback, clamped)


def _apply(image: Image, plan: _Plan, fallback: FloatScalar) -> Image:
    """Fill the missing pixels of one plane."""
    fallback = jnp.asarray(fallback).astype(image.dtype)
    outer_left = _outer_left(image, plan, fallback)
    # Runs do not read what another one filled, but for the one at the right edge.
    source = jax.tree.map(lambda leaf: _at(leaf, plan.reread), plan)
    filled = _predict(image, _outer_left(image, source, fallback), source, fallback)
    # The original reads it back from a float32 image.
    filled = jax.lax.reduce_precision(filled, exponent_bits=8, mantissa_bits=23)
    reads = (plan.reread >= 0) & (plan.first - 2 == plan.reread)
    outer_left = jnp.where(reads, filled, outer_left)
    predicted = _predict(image, outer_left, plan, fallback)
    return jnp.where(plan.where, predicted, image)


def interpolate_planes(
    planes: tuple[Image, ...],
    *,
    where: Region,
    fallback: FloatScalar = 0.0,
    use_fallback_at_edge: bool = True,
) -> tuple[Image, ...]:
    """Interpolate several planes over the same missing pixels.

    Parameters
    ----------
    planes
        Image, variance and so on, each (y, x). All are filled with the same weights
        and the same fallback value.
    where, fallback, use_fallback_at_edge
        As for `interpolate_over`.

    Returns
    -------
    tuple
        The planes, filled. The variance of a filled pixel is the prediction from the
        variances beside it, not the variance of the prediction, as in LSST.

    Raises
    ------
    ValueError
        A plane has another shape than `where`.

    Notes
    -----
    Differentiable in the planes and in `fallback`.

    Examples
    --------
    >>> image = jnp.array([[2.0, 2.0, jnp.nan, 2.0, 2.0]])
    >>> interpolate_planes((image, 2 * image), where=jnp.isnan(image))[1]
    Array([[4., 4., 4., 4., 4.]], dtype=float32)
    """
    for plane in planes:
        if plane.shape != where.shape:
            raise ValueError(
                f"a plane has shape {plane.shape} and where has {where.shape}; "
                "they must be equal"
            )
    plan = _plan(where, use_fallback_at_edge)
    return tuple(_apply(plane, plan, fallback) for plane in planes)


def interpolate_over(
    image: Image,
    *,
    where: Region,
    fallback: FloatScalar = 0.0,
    use_fallback_at_edge: bool = True,
) -> Image:
    """Interpolate along the rows over missing pixels.

    For an interpolation along the columns transpose image and `where`, and the result.

    Parameters
    ----------
    image
        Image, (y, x), of any linear unit.
    where
        Which pixels are missing. What they hold does not matter, with one exception:
        a run of up to ten that starts in the second column reads the second pixel
        beyond its end also where that one is missing.
    fallback
        Value for pixels without good ones near them, in the unit of the image;
        `fallback_value` computes one.
    use_fallback_at_edge
        Whether of more than six missing pixels at the left or right edge only the six
        next to good ones are predicted, towards the fallback value which all others
        take. Otherwise the prediction goes on to the edge.

    Returns
    -------
    Image
        The image with every missing pixel replaced; good pixels as they were. A
        prediction that is NaN is replaced by the mean of the two nearest good pixels,
        with some exceptions. The mask is the caller's: set INTRP on `where`.

    Raises
    ------
    ValueError
        The image has another shape than `where`.

    Notes
    -----
    Differentiable in the image, linear in its good pixels unless something is clamped,
    and in `fallback`. Matches LSST's ``interpolateOverDefects``; where that would read
    beyond a short row, the fallback value serves. The limits are those of float32.

    Examples
    --------
    >>> image = jnp.array([[4.0, 4.0, jnp.nan, 4.0, 4.0]])
    >>> interpolate_over(image, where=jnp.isnan(image))
    Array([[4., 4., 4., 4., 4.]], dtype=float32)
    """
    options = {"fallback": fallback, "use_fallback_at_edge": use_fallback_at_edge}
    return interpolate_planes((image,), where=where, **options)[0]


def fallback_value(
    image: Image,
    *,
    kind: str = "MEDIAN",
    user_value: FloatScalar = 0.0,
    negative_allowed: bool = False,
) -> Scalar:
    """Return the value for pixels that cannot be interpolated.

    Parameters
    ----------
    image
        Image, (y, x).
    kind
        Which statistic of all finite pixels: ``"MEAN"``, ``"MEDIAN"``, ``"MEANCLIP"``
        (three passes at three sigma), or ``"USER"`` for `user_value`.
    user_value
        The value for ``"USER"``, in the unit of the image.
    negative_allowed
        Whether the value may be negative; otherwise 0 takes its place.

    Returns
    -------
    Float[Array, ""]
        In the unit of the image; NaN if no pixel is finite.

    Raises
    ------
    ValueError
        `kind` is none of the four, or `user_value` is a number that is not allowed.

    Notes
    -----
    Differentiable in the image for the means, in `user_value` for ``"USER"``.

    Examples
    --------
    >>> fallback_value(jnp.array([[1.0, 2.0, jnp.nan, 6.0]]))
    Array(2., dtype=float32)
    """
    if kind not in FALLBACK_KINDS:
        raise ValueError(f"no fallback value {kind!r}; there are {FALLBACK_KINDS}")
    finite = jnp.isfinite(image)
    if kind == "USER":
        known = isinstance(user_value, int | float)
        if known and user_value < 0 and not negative_allowed:
            raise ValueError(f"user_value is {user_value}, which may not be negative")
        value = jnp.asarray(user_value).astype(image.dtype)
    elif kind == "MEAN":
        value = plane_mean(image, where=finite)
    elif kind == "MEDIAN":
        value = plane_quantiles(image, (0.5,), where=finite)[0]
    else:
        value, _ = plane_clipped_mean(image, where=finite, clip_iter=3)
    return value if negative_allowed else jnp.where(value < 0, 0, value)
