"""Interpolation over missing pixels, along the rows of an image.

Missing pixels are filled from at most two good ones on each side, with the weights
of a linear prediction (Rybicki & Press 1992) of a source whose profile is a
Gaussian of one pixel. The rules are those of LSST's ``InterpImageTask`` and
``interpolateOverDefects``, known oddities included.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from jaxcoadd.arrays import FloatScalar, Image, Region

FALLBACK_KINDS = ("MEAN", "MEDIAN", "MEANCLIP", "USER")

# The weights of a run depend on its width up to this one.
_NARROW = 10
# Of a wider run this many pixels at each end have weights of their own; of a long
# run at an edge this many are interpolated.
_END = 6
# The value of an outer point that does not exist, where the pattern wants one.
_DUMMY = -1.0

# Entries of the table of weights: two-sided narrow runs by pattern, width and
# position; two-sided wide runs by pattern and slot (six at the left end, the
# plateau, six at the right end); one-sided runs by the distance from the good
# pixels, 1 to 7; and runs that copy one good pixel or take the fallback value.
# A pattern is the sum of 1 (the outer left point is used) and 2 (the outer right).
_SLOTS = 2 * _END + 1
_WIDE = 4 * _NARROW * _NARROW
_LEFT = _WIDE + 4 * _SLOTS
_RIGHT = _LEFT + _END + 1
_COPY = _RIGHT + _END + 1
_FILL = _COPY + 1

Columns = Int[Array, "y x"]


def _kriging_weights(points: list[int], target: int) -> np.ndarray:
    """Weights of the best unbiased prediction at `target`, to four decimals.

    The covariance at distance d is exp(-d²/4); the weights add up to 1 before they
    are rounded.
    """
    near = np.array(points, float)
    system = np.ones((near.size + 1, near.size + 1))
    system[:-1, :-1] = np.exp(-((near[:, None] - near) ** 2) / 4)
    system[-1, -1] = 0
    wanted = np.append(np.exp(-((near - target) ** 2) / 4), 1)
    return np.round(np.linalg.solve(system, wanted)[:-1], 4)


def _row_of_table(used: list[bool], width: int, position: int) -> np.ndarray:
    """Weights of the four neighbours of a run; 0 for those that are not used."""
    points = [-2, -1, width, width + 1]
    row = np.zeros(4)
    row[used] = _kriging_weights([p for p, u in zip(points, used, strict=True) if u], position)
    return row


@functools.cache
def _weight_table() -> np.ndarray:
    """Make the weights of (L2, L1, R1, R2), one row an entry."""
    table = np.zeros((_FILL + 1, 4))
    wide = 4 * _END
    slots = [*range(_END), wide // 2, *range(wide - _END, wide)]
    for pattern in range(4):
        used = [bool(pattern & 1), True, True, bool(pattern & 2)]
        for width in range(1, _NARROW + 1):
            for k in range(width):
                entry = (pattern * _NARROW + width - 1) * _NARROW + k
                table[entry] = _row_of_table(used, width, k)
        for slot, k in enumerate(slots):
            entry = _WIDE + pattern * _SLOTS + slot
            table[entry] = _row_of_table(used, wide, k)
    for index in range(_END + 1):
        one_sided = _kriging_weights([0, -1], index + 1)
        table[_LEFT + index, 2:] = one_sided
        table[_RIGHT + index, :2] = one_sided[::-1]
    table[_COPY, 2] = 1
    table.flags.writeable = False
    return table


class _Runs(eqx.Module):
    """The run of missing pixels that each pixel is in, and what is next to it."""

    first: Columns
    last: Columns
    left_is_good: Region
    right_is_good: Region


class _Plan(eqx.Module):
    """How each missing pixel is filled, the same for every plane of an image."""

    where: Region
    # The points are next to these columns; not always those of the run.
    first: Columns
    last: Columns
    entry: Columns
    cut_left: Region
    cut_right: Region
    # In each row the column whose filled value a run at the right edge reads, or -1.
    reread: Columns


def _find_runs(where: Region) -> _Runs:
    """Find the ends of each run, and whether its outer points are good."""
    columns = where.shape[1]
    column = jnp.broadcast_to(jnp.arange(columns, dtype=jnp.int32), where.shape)
    padded = jnp.pad(where, ((0, 0), (1, 1))).astype(jnp.int32)
    # The nearest good pixel and, in the lowest bit, whether the one beyond is missing.
    left = jnp.where(where, -2, 2 * column + padded[:, :-2])
    right = jnp.where(where, 2 * columns, 2 * column + padded[:, 2:])
    left = jax.lax.cummax(left, axis=1)
    right = jax.lax.cummin(right, axis=1, reverse=True)
    return _Runs((left >> 1) + 1, (right >> 1) - 1, left & 1 == 0, right & 1 == 0)


def _two_sided_entry(
    uses_left: Region, uses_right: Region, width: Columns, position: Columns
) -> Columns:
    """Return the entry of a run with good pixels on both sides."""
    pattern = uses_left.astype(jnp.int32) + 2 * uses_right.astype(jnp.int32)
    narrow = (pattern * _NARROW + width - 1) * _NARROW + position
    from_end = width - 1 - position
    # The right end is written last: the middle of 11 pixels is part of it.
    slot = jnp.where(from_end < _END, 2 * _END - from_end, jnp.minimum(position, _END))
    return jnp.where(width > _NARROW, _WIDE + pattern * _SLOTS + slot, narrow)


def _plan(where: Region, use_fallback_at_edge: bool) -> _Plan:
    """Find the points and the entry of every pixel."""
    columns = where.shape[1]
    column = jnp.broadcast_to(jnp.arange(columns, dtype=jnp.int32), where.shape)
    runs = _find_runs(where)
    first, last = runs.first, runs.last
    width = last - first + 1
    wide = width > _NARROW
    at_left = first == 0
    at_right = (last == columns - 1) & (first > 1)
    # A long run at an edge becomes one of six pixels between good ones and filled ones.
    cut = use_fallback_at_edge & (width > _END)
    cut_left, cut_right = cut & at_left, cut & at_right
    point_first = jnp.where(cut_left, last - _END + 1, first)
    point_last = jnp.where(cut_right, first + _END - 1, last)

    inside_right = (first == 1) & ~wide | (last < columns - 2) & runs.right_is_good
    entry = _two_sided_entry(
        cut_left | cut_right | (first > 1) & runs.left_is_good,
        cut_right | jnp.where(cut_left, runs.right_is_good, inside_right),
        point_last - point_first + 1,
        column - point_first,
    )
    from_right = jnp.minimum(last - column, _END)
    from_left = jnp.minimum(column - first, _END)
    one_sided = jnp.where(runs.right_is_good, _LEFT + from_right, _COPY)
    entry = jnp.where(at_left & ~cut_left, one_sided, entry)
    entry = jnp.where(at_right & ~cut_right, _RIGHT + from_left, entry)
    hugs_left = (first <= 1) & wide & ~cut_left
    entry = jnp.where(hugs_left & (last == columns - 2), _COPY, entry)
    fill = (at_left | (first == 1) & wide) & (last == columns - 1)
    fill |= (column < point_first) | (column > point_last)
    entry = jnp.where(fill & where, _FILL, entry)

    rereads = where & at_right & ~runs.left_is_good
    reread = jnp.where(rereads, first - 2, -1)[:, -1:]
    return _Plan(where, point_first, point_last, entry, cut_left, cut_right, reread)


def _at(plane: Shaped[Array, "y x"], columns: Columns) -> Shaped[Array, "y some"]:
    """Take the values of a plane at columns, the nearest one where outside."""
    return jnp.take_along_axis(plane, columns, axis=1, mode="clip")


def _outer_left(image: Image, plan: _Plan, fallback: Float[Array, ""]) -> Image:
    """Return the outer left points as they were before."""
    filled = jnp.where(plan.first == 1, _DUMMY, fallback)
    return jnp.where(plan.cut_left, filled, _at(image, plan.first - 2))


def _predict(
    image: Image, outer_left: Image, plan: _Plan, fallback: Float[Array, ""]
) -> Image:
    """Return the predictions of a plan."""
    columns = image.shape[1]
    table = jnp.asarray(_weight_table(), image.dtype)
    weights = [table[:, i].at[plan.entry].get(mode="clip") for i in range(4)]
    inside = ~plan.cut_right & (plan.last + 1 < columns)
    dummy = jnp.where(plan.cut_left | plan.cut_right & (plan.last + 2 == columns), _DUMMY, fallback)
    points = [
        outer_left,
        jnp.where(plan.cut_left, fallback, _at(image, plan.first - 1)),
        jnp.where(inside, _at(image, plan.last + 1), fallback),
        jnp.where(inside & (plan.last+2 < columns), _at(image, plan.last + 2), dummy),
    ]
    # No weight of a point that is used is 0; one that is not used may be NaN.
    points = [
        jnp.where(weight != 0, point, 0)
        for weight, point in zip(weights, points, strict=True)
    ]
    value = weights[0] * points[0]
    for weight, point in zip(weights[1:], points[1:], strict=True):
        value = value + weight * point
    both = (weights[1] != 0) & (weights[2] != 0)
    substitute = (points[1] + points[2]) * jnp.where(both, 0.5, 1.0)
    clamped = _clamp(value, substitute, plan.entry)
    return jnp.where(plan.entry == _FILL, fallback, clamped)


def _clamp(value: Image, substitute: Image, entry: Columns) -> Image:
    """Replace predictions that are NaN or -inf, as far as the original does it."""
    lowest = jnp.finfo(value.dtype).min
    kept = (entry == _COPY) | (entry == _FILL)
    for pattern in (0, 2):
        kept |= entry == _WIDE + pattern * _SLOTS + _END
    two_missing = (entry >= _NARROW) & (entry < _NARROW + 2)
    clamped = jnp.where((value >= lowest) | kept, value, substitute)
    return jnp.where(two_missing, jnp.where(value < 0, 0, value), clamped)


def _apply(image: Image, plan: _Plan, fallback: FloatScalar) -> Image:
    """Fill the missing pixels of one plane."""
    fallback = jnp.asarray(fallback).astype(image.dtype)
    # The only values that are read after they were filled: one a row at most.
    ends = jax.tree.map(lambda field: _at(field, plan.reread), plan)
    end_value = _predict(image, _outer_left(image, ends, fallback), ends, fallback)
    end_value = jax.lax.reduce_precision(end_value, 8, 23)
    again = (plan.reread>=0) & (plan.first == plan.reread+2)
    outer_left = jnp.where(again, end_value, _outer_left(image, plan, fallback))
    predicted = _predict(image, outer_left, plan, fallback)
    return jnp.where(plan.where, predicted, image)


def interpolate_planes(
    planes: tuple[Image, ...],
    *,
    where: Region,
    fallback: FloatScalar = 0.0,
    use_fallback_at_edge: bool = True,
) -> tuple[Image, ...]:
    for plane in planes:
        if plane.shape != where.shape:
            raise ValueError("")
    plan = _plan(where, use_fallback_at_edge)
    return tuple(_apply(plane, plan, fallback) for plane in planes)


def interpolate_over(
    image: Image,
    *,
    where: Region,
    fallback: FloatScalar = 0.0,
    use_fallback_at_edge: bool = True,
) -> Image:
    planes = interpolate_planes(
        (image,),
        where=where,
        fallback=fallback,
        use_fallback_at_edge=use_fallback_at_edge,
    )
    return planes[0]
