"""Order statistics along the warps, by networks of minimum and maximum.

XLA sorts with a scalar comparator on a CPU; a sorting network works on whole rows
of pixels at once. Rejected values are `rejected_value`, the largest finite number,
so they sort to the end.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from jaxcoadd.arrays import PixelValues, Values
from jaxcoadd.folding import fold_warps
from jaxcoadd.selection import plane_quantiles

UNROLLED = 100
"""Up to this number of warps the network is written out; above it is staged."""

SORTED = 1024
"""Above this number there is no network: quantiles are found by bisection."""


def rejected_value(dtype: DTypeLike) -> float:
    """Return the number that stands for a rejected value."""
    return float(jnp.finfo(dtype).max)


def _in_order(a, b):
    """Return the smaller and the larger of numbers that are not NaN.

    A minimum would look for NaN: twice the instructions of a CPU.
    """
    swap = lax.lt(b, a)
    return lax.select(swap, b, a), lax.select(swap, a, b)


def _batcher_stages(n):
    """Yield the sizes of the sorted blocks, and the strides at which they merge."""
    block = 1
    while block < n:
        stride = block
        while stride >= 1:
            yield block, stride
            stride //= 2
        block *= 2


def _batcher_pairs(n):
    """Yield the exchanges of Batcher's odd-even merge sort for any n."""
    for block, stride in _batcher_stages(n):
        for low in range(stride % block, n - stride):
            is_lower = (low - stride % block) // stride % 2 == 0
            if is_lower and low // (2 * block) == (low + stride) // (2 * block):
                yield low, low + stride


def _sort_unrolled(values):
    rows = list(values)
    for low, high in _batcher_pairs(len(rows)):
        rows[low], rows[high] = _in_order(rows[low], rows[high])
    return rows


def _sort_staged(values):
    """Sort with the bitonic network, a whole stage at a time."""
    n, n_pixels = values.shape
    size = 1 << (n - 1).bit_length()
    array = jnp.pad(
        values,
        [(0, size - n), (0, 0)],
        constant_values=rejected_value(values.dtype),
    )
    block = 2
    while block <= size:
        # The first stage of a merge compares mirrored places, the others equal ones.
        half = array.reshape(-1, 2, block // 2, n_pixels)
        low, high = _in_order(half[:, 0], half[:, 1, ::-1])
        array = jnp.stack([low, high[:, ::-1]], axis=1)
        array = lax.optimization_barrier(array)
        stride = block // 4
        while stride >= 1:
            half = array.reshape(-1, 2, stride, n_pixels)
            array = jnp.stack(_in_order(half[:, 0], half[:, 1]), axis=1)
            array = lax.optimization_barrier(array)
            stride //= 2
        block *= 2
    return array.reshape(size, n_pixels)[:n]


def sort_along_warps(values: Values) -> list[PixelValues] | Values:
    """Sort the values of every pixel.

    Parameters
    ----------
    values
        (warp, pixel), `rejected_value` where a value does not count.

    Returns
    -------
    list or array
        Row k has the k-th smallest value of every pixel.
    """
    if values.shape[0] <= UNROLLED:
        return _sort_unrolled(values)
    return _sort_staged(values)


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


def _around_rank(ordered, rank):
    """Return the row at or below a rank, and the way from there to the rank.

    The way is linear between the two rows next to the rank. There is no gather.
    """
    below = jnp.floor(rank)

    def step(found, row):
        k, lower, upper = found
        lower = jnp.where(below == k, row, lower)
        return k + 1, lower, jnp.where(below == k - 1, row, upper)

    start = (jnp.zeros((), rank.dtype), ordered[0], ordered[0])
    if isinstance(ordered, list):
        found = start
        for row in ordered:
            found = step(found, row)
    else:
        found = fold_warps(step, start, ordered)
    _, lower, upper = found
    share = rank - below
    return lower, share * (jnp.where(share > 0, upper, lower) - lower)


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
    ordered = sort_along_warps(values)
    found = []
    for fraction in fractions:
        # Ranks above this belong to more values than there are.
        last = int(fraction * (len(ordered) - 1)) + 2
        found.append(_around_rank(ordered[:last], fraction * (count - 1)))
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
