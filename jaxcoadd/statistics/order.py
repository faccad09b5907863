"""Order statistics along the warps.

Rejected values are `rejected_value`, the largest finite number, so they sort to the
end.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxcoadd.arrays import PixelValues, Values
from jaxcoadd.folding import fold_warps
from jaxcoadd.selection import plane_quantiles
from jaxcoadd.statistics.networks import sort_along_warps

SORTED = 1024
"""Above this number there is no network: quantiles are found by bisection."""


def rejected_value(dtype: DTypeLike) -> float:
    """Return the number that stands for a rejected value."""
    return float(jnp.finfo(dtype).max)


class Quantiles(NamedTuple):
    """Quantiles as offsets from a value near to them.

    So their differences keep their precision where the values are large and lie
    close together.
    """

    origin: PixelValues
    offsets: tuple[PixelValues, ...]

    def __getitem__(self, index) -> PixelValues:
        """Return one of the quantiles."""
        return self.origin + self.offsets[index]


def _around_ranks(ordered, ranks, ends):
    """Return each row at or below a rank, and the way from there to the rank.

    A way is linear between the two rows next to the rank. There is no gather. Each
    rank lies before its end.
    """
    below = [jnp.floor(rank) for rank in ranks]

    def step(found, row, k):
        return [
            _next_to_rank(b, pair, row, k) for b, pair in zip(below, found, strict=True)
        ]

    start = [(ordered[0], ordered[0])] * len(ranks)
    if isinstance(ordered, list):
        found = []
        for at, pair, end in zip(below, start, ends, strict=True):
            for k, row in enumerate(ordered[:end]):
                pair = _next_to_rank(at, pair, row, k)
            found.append(pair)
    else:
        last = min(max(ends), len(ordered))
        numbers = jnp.arange(last, dtype=ordered.dtype)[:, None]
        found = fold_warps(step, start, ordered[:last], numbers)
    ways = []
    for (lower, upper), rank, at in zip(found, ranks, below, strict=True):
        share = rank - at
        ways.append((lower, share * (jnp.where(share > 0, upper, lower) - lower)))
    return ways


def _next_to_rank(below, found, row, k):
    lower, upper = found
    return jnp.where(below == k, row, lower), jnp.where(below == k - 1, row, upper)


def _select(values, fractions):
    """Find quantiles of so many values that a network would not compile."""
    found = jax.vmap(
        lambda column, kept: plane_quantiles(column, fractions, where=kept),
        in_axes=1,
        out_axes=1,
    )(values, values != rejected_value(values.dtype))
    # The origin is a value of the stack, as it is where a network sorts.
    middle = found[len(fractions) // 2]
    least = jnp.where(jnp.isnan(middle), jnp.nan, -rejected_value(values.dtype))
    origin = fold_warps(
        lambda below, x: jnp.where(x <= middle, jnp.maximum(below, x), below),
        least.astype(values.dtype),
        values,
    )
    return Quantiles(origin, tuple(row - origin for row in found))


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def quantiles(
    values: Values, count: PixelValues, fractions: tuple[float, ...]
) -> Quantiles:
    """Interpolate quantiles at ``fraction * (count - 1)`` of the sorted values.

    Parameters
    ----------
    values
        (warp, pixel), `rejected_value` where a value does not count.
    count
        How many values of each pixel count.
    fractions
        Between 0 and 1.

    Returns
    -------
    Quantiles
        One row of pixels a fraction; NaN where nothing counts.

    Notes
    -----
    Differentiable in the values: the one or two values that make a quantile have a
    share each, equal values the same.
    """
    if len(values) > SORTED:
        return _select(values, fractions)
    ordered = sort_along_warps(values, rejected_value(values.dtype))
    # Ranks above these belong to more values than there are.
    ends = [int(fraction * (len(ordered) - 1)) + 2 for fraction in fractions]
    found = _around_ranks(ordered, [f * (count - 1) for f in fractions], ends)
    origin = jnp.where(count > 0, found[len(found) // 2][0], jnp.nan)
    return Quantiles(origin, tuple((lower - origin) + way for lower, way in found))


@quantiles.defjvp
def _quantiles_jvp(fractions, primals, tangents):
    values, count = primals
    found = quantiles(values, count, fractions)
    moves = tuple(
        _quantile_move(values, tangents[0], found[index])
        for index in range(len(fractions))
    )
    return found, Quantiles(jnp.zeros_like(found.origin), moves)


def _quantile_move(values, moves, quantile):
    """Return how far a quantile moves when the values do."""
    none = rejected_value(values.dtype)
    below, above = fold_warps(
        lambda ends, row: (
            jnp.maximum(ends[0], jnp.where(row <= quantile, row, -none)),
            jnp.minimum(ends[1], jnp.where(row >= quantile, row, none)),
        ),
        (jnp.full_like(quantile, -none), jnp.full_like(quantile, none)),
        values,
    )
    gap = above - below
    share = jnp.where(gap > 0, (quantile - below) / jnp.where(gap > 0, gap, 1), 0)
    low = _mean_move(values, moves, below)
    return (1 - share) * low + share * _mean_move(values, moves, above)


def _mean_move(values, moves, at):
    """Return the mean move of the values that are equal to `at`."""
    zero = jnp.zeros_like(at)
    total, number = fold_warps(
        lambda sums, row, move: (
            sums[0] + jnp.where(row == at, move, 0),
            sums[1] + jnp.where(row == at, 1, zero),
        ),
        (zero, zero),
        values,
        moves,
    )
    return total / jnp.maximum(number, 1)
