"""Order statistics and clipped means of whole planes, without sorting them."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxcoadd.arrays import FloatScalar, Image, Region

# Standard deviations of a Gaussian in one interquartile range.
_SIGMA_PER_IQR = 0.741301109252802
# Bits of the answer that one pass over the plane decides.
_DIGIT = 2


def _ordered_keys(
    values: Float[Array, "*shape"], where: Bool[Array, "*shape"]
) -> Int[Array, "*shape"]:
    """Turn floats into integers of the same order; what is left out comes last."""
    info = jnp.iinfo(f"int{jnp.finfo(values.dtype).bits}")
    bits = lax.bitcast_convert_type(values, info.dtype)
    keys = bits ^ ((bits >> (info.bits - 1)) & info.max)
    return jnp.where(where, keys, info.max)


def _floats_of_keys(
    keys: Int[Array, " rank"], dtype: jnp.dtype
) -> Float[Array, " rank"]:
    """Turn ordered integers back into floats."""
    info = jnp.iinfo(keys.dtype)
    return lax.bitcast_convert_type(
        keys ^ ((keys >> (info.bits - 1)) & info.max), dtype
    )


def _count_up_to(
    keys: Int[Array, "*shape"], pivots: Sequence[Int[Array, ""]]
) -> Int[Array, " pivot"]:
    """Count the keys up to each pivot, all in one pass over the plane."""
    # One reduction of several operands reads the plane once and vectorises; as a
    # reduction for each pivot it took six times as long on a CPU.
    hits = [(keys <= pivot).astype(jnp.int32) for pivot in pivots]
    zeros = [jnp.int32(0)] * len(hits)
    counts = lax.reduce(
        hits,
        zeros,
        lambda a, b: [x + y for x, y in zip(a, b, strict=True)],
        tuple(range(keys.ndim)),
    )
    return jnp.stack(counts)


def _select_keys(
    keys: Int[Array, "*shape"], ranks: Int[Array, " rank"]
) -> Int[Array, " rank"]:
    """Find the keys of the given ranks, two bits a pass from the highest down."""
    info = jnp.iinfo(keys.dtype)
    steps = range(1, 2**_DIGIT)

    def narrow(index, found):
        shift = (info.bits - _DIGIT * (index + 1)).astype(info.dtype)
        pivots = found[:, None] + (jnp.array(steps, info.dtype)[None] << shift) - 1
        counts = _count_up_to(keys, list(pivots.reshape(-1)))
        digit = jnp.sum(
            counts.reshape(pivots.shape) <= ranks[:, None], axis=1, dtype=info.dtype
        )
        return found + (digit << shift)

    lowest = jnp.full(ranks.shape, info.min, info.dtype)
    return lax.fori_loop(0, info.bits // _DIGIT, narrow, lowest)


def _usable(
    values: Float[Array, "*shape"], where: Bool[Array, "*shape"]
) -> Bool[Array, "*shape"]:
    """Where there is a number to count; refuse planes that differ in shape."""
    if values.shape != where.shape:
        raise ValueError(
            f"values have shape {values.shape} and where has {where.shape}; "
            "they must be equal"
        )
    return where & ~jnp.isnan(values)


def select_ranks(
    values: Float[Array, "*shape"],
    ranks: Int[Array, " rank"],
    *,
    where: Bool[Array, "*shape"],
) -> Float[Array, " rank"]:
    """Select the smallest values of given ranks, over all axes.

    Parameters
    ----------
    values
        Any shape and unit; infinities are allowed, NaN is left out.
    ranks
        0 for the smallest value, 1 for the next one, and so on; a rank beyond the
        ends is taken as the end.
    where
        Which values count.

    Returns
    -------
    Float[Array, " rank"]
        Values of the input, exactly; NaN where there is none to select from.

    Raises
    ------
    ValueError
        `where` has another shape than `values`.

    Notes
    -----
    No derivatives. The bits of the result are found from the highest down, each
    pass over the plane counting the values up to three pivots a rank: 16 passes for
    32 bits, whatever the values are. Counts are 32-bit integers.

    Examples
    --------
    >>> values = jnp.array([5.0, 1.0, jnp.nan, 3.0])
    >>> select_ranks(values, jnp.array([0, 2]), where=jnp.full(4, True))
    Array([1., 5.], dtype=float32)
    """
    usable = _usable(values, where)
    count = jnp.sum(usable, dtype=jnp.int32)
    clipped = jnp.clip(ranks.astype(jnp.int32), 0, jnp.maximum(count - 1, 0))
    keys = _ordered_keys(lax.stop_gradient(values), usable)
    found = _floats_of_keys(_select_keys(keys, clipped), values.dtype)
    return jnp.where(count > 0, found, jnp.nan)


def _next_keys(
    keys: Int[Array, "*shape"],
    found: Int[Array, " rank"],
    ranks: Int[Array, " rank"],
) -> Int[Array, " rank"]:
    """Find the keys one rank above those that are known."""
    last = jnp.iinfo(keys.dtype).max
    hits = [(keys <= one).astype(jnp.int32) for one in found]
    above = [jnp.where(keys > one, keys, last) for one in found]
    size = len(hits)

    def combine(a, b):
        counts = [x + y for x, y in zip(a[:size], b[:size], strict=True)]
        return counts + [lax.min(x, y) for x, y in zip(a[size:], b[size:], strict=True)]

    starts = [jnp.int32(0)] * size + [jnp.asarray(last, keys.dtype)] * size
    results = lax.reduce(hits + above, starts, combine, tuple(range(keys.ndim)))
    repeated = jnp.stack(results[:size]) > ranks + 1
    return jnp.where(repeated, found, jnp.stack(results[size:]))


def _split_rank(
    fraction: float, steps: Int[Array, ""], dtype: jnp.dtype
) -> tuple[Int[Array, ""], Float[Array, ""]]:
    """Return the whole and the broken part of fraction * steps."""
    # A float32 has no room for a rank above 2**24 and its broken part: the product
    # is formed in pieces, exact for quarters.
    block = 4096
    whole, broken = divmod(fraction * block, 1)
    high, low = steps // block, steps % block
    rest = high.astype(dtype) * broken + low.astype(dtype) * fraction
    floor = jnp.floor(rest)
    return high * int(whole) + floor.astype(jnp.int32), rest - floor


def plane_quantiles(
    values: Float[Array, "*shape"],
    fractions: tuple[float, ...],
    *,
    where: Bool[Array, "*shape"],
) -> Float[Array, " fraction"]:
    """Return quantiles of all the values, by linear interpolation between ranks.

    Parameters
    ----------
    values
        Any shape and unit; infinities are allowed, NaN is left out.
    fractions
        0.5 for the median, 0.25 for the lower quartile.
    where
        Which values count.

    Returns
    -------
    Float[Array, " fraction"]
        With u = fraction * (n - 1) and a its whole part,
        ``(a + 1 - u) * sorted[a] + (u - a) * sorted[a + 1]``; NaN if n is 0.

    Raises
    ------
    ValueError
        A fraction outside of 0 to 1; `where` has another shape than `values`.

    Notes
    -----
    No derivatives. The rule of LSST's ``makeStatistics`` for floating-point pixels,
    and NumPy's default one.

    Examples
    --------
    >>> plane_quantiles(jnp.array([7.0, 5.0]), (0.25, 0.5), where=jnp.full(2, True))
    Array([5.5, 6. ], dtype=float32)
    """
    wrong = [fraction for fraction in fractions if not 0 <= fraction <= 1]
    if wrong:
        raise ValueError(f"the fraction of a quantile is 0 to 1, not {wrong[0]}")
    usable = _usable(values, where)
    keys = _ordered_keys(lax.stop_gradient(values), usable)
    count = jnp.sum(usable, dtype=jnp.int32)
    steps = jnp.maximum(count - 1, 0)
    split = [_split_rank(fraction, steps, values.dtype) for fraction in fractions]
    ranks, parts = (jnp.stack(column) for column in zip(*split, strict=True))
    found = _select_keys(keys, ranks)
    low = _floats_of_keys(found, values.dtype)
    high = _floats_of_keys(_next_keys(keys, found, ranks), values.dtype)
    # At a whole rank the next value may not exist, and 0 * inf is not 0.
    between = (1 - parts) * low + parts * jnp.where(parts > 0, high, low)
    return jnp.where(count > 0, jnp.where(parts > 0, between, low), jnp.nan)


def _sum_of_rows(values: Float[Array, "y x"]) -> Float[Array, ""]:
    """Sum rows first: the error grows with rows plus columns, not with pixels."""
    return jnp.sum(jnp.sum(values, axis=1))


def plane_mean(values: Image, *, where: Region) -> Float[Array, ""]:
    """Return the mean of the values of a plane; NaN if there is none.

    Parameters
    ----------
    values
        Plane, (y, x), of any unit.
    where
        Which values count; what the others hold does not matter.

    Notes
    -----
    Differentiable in `values`. Deviations from a first mean are summed, rows first.

    Examples
    --------
    >>> values = jnp.array([[1.0, 2.0, jnp.nan]])
    >>> plane_mean(values, where=jnp.isfinite(values))
    Array(1.5, dtype=float32)
    """
    count = jnp.sum(where, dtype=jnp.int32).astype(values.dtype)
    known = lax.stop_gradient(jnp.where(where, values, 0))
    rough = _sum_of_rows(known) / count
    return _moments_of_kept(values, where, rough)[0]


def _moments_of_kept(
    values: Image, kept: Region, centre: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""], Int[Array, ""]]:
    """Return mean, debiased variance and number of what is kept."""
    deviations = jnp.where(kept, values, centre) - centre
    kept_count = jnp.sum(kept, dtype=jnp.int32)
    count = kept_count.astype(values.dtype)
    shift = _sum_of_rows(deviations) / count
    square = _sum_of_rows(lax.stop_gradient(deviations) ** 2) / count
    variance = (square - lax.stop_gradient(shift) ** 2) * count / (count - 1)
    variance = jnp.where(kept_count > 1, jnp.maximum(variance, 0), jnp.nan)
    return centre + shift, variance, kept_count


def plane_clipped_mean(
    values: Image,
    *,
    where: Region,
    sigma_clip: FloatScalar = 3.0,
    clip_iter: int = 2,
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """Return the clipped mean of a plane and how many values it leaves out.

    Parameters
    ----------
    values
        Plane, (y, x), of any unit.
    where
        Which values count, all of them finite; what the others hold does not matter.
    sigma_clip
        Half width of what is kept, in standard deviations. The first pass takes the
        median as the centre and the interquartile range as the measure of the width;
        the others take mean and deviation of what the pass before kept.
    clip_iter
        Number of passes; each starts again from all values.

    Returns
    -------
    mean
        Mean of what the last pass kept. NaN if it kept nothing, or if the pass
        before it kept one of several values.
    n_clipped
        Number of values that the last pass left out.

    Raises
    ------
    ValueError
        `clip_iter` is less than 1, or `where` has another shape than `values`.

    Notes
    -----
    Differentiable in `values`, for what is kept stays the same under a small change:
    the derivative of centre and limits is zero. Matches MEANCLIP and NCLIPPED of
    LSST's ``makeStatistics``, without weights.

    Examples
    --------
    >>> values = jnp.array([[1.0, 2.0, 3.0, 4.0, 100.0]])
    >>> plane_clipped_mean(values, where=jnp.isfinite(values))
    (Array(2.5, dtype=float32), Array(1, dtype=int32))
    """
    mean, _, n_clipped = _clip_plane(values, where, sigma_clip, clip_iter)
    return mean, n_clipped


def plane_clipped_deviation(
    values: Image,
    *,
    where: Region,
    sigma_clip: FloatScalar = 3.0,
    clip_iter: int = 2,
) -> Float[Array, ""]:
    """Return the standard deviation of what a clip of a plane keeps.

    Parameters
    ----------
    values, where, sigma_clip, clip_iter
        As for `plane_clipped_mean`.

    Raises
    ------
    ValueError
        `clip_iter` is less than 1, or `where` has another shape than `values`.

    Notes
    -----
    No derivatives. Matches STDEVCLIP of LSST's ``makeStatistics``; NaN for one value.
    """
    return jnp.sqrt(_clip_plane(values, where, sigma_clip, clip_iter)[1])


def _clip_plane(
    values: Image, where: Region, sigma_clip: FloatScalar, clip_iter: int
) -> tuple[Float[Array, ""], Float[Array, ""], Int[Array, ""]]:
    """Return mean and variance of what a clip keeps, and how many it leaves out."""
    if clip_iter < 1:
        raise ValueError(f"clip_iter must be 1 or more, not {clip_iter}")
    sigma = jnp.asarray(sigma_clip).astype(values.dtype)
    lower, centre, upper = plane_quantiles(values, (0.25, 0.5, 0.75), where=where)
    first_limit = sigma * _SIGMA_PER_IQR * (upper - lower)
    count = jnp.sum(where, dtype=jnp.int32)
    limit, mean, kept_count = first_limit, centre, count
    variance = jnp.full_like(centre, jnp.nan)
    for _ in range(clip_iter):
        centre = lax.stop_gradient(mean)
        kept = where & (jnp.abs(lax.stop_gradient(values) - centre) <= limit)
        mean, variance, kept_count = _moments_of_kept(values, kept, centre)
        later_limit = sigma * jnp.sqrt(lax.stop_gradient(variance))
        limit = jnp.where(count > 1, later_limit, first_limit)
    return mean, variance, count - kept_count
