"""Weighted sums, means and variances along the warps, within a fence."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxcoadd.arrays import PixelKept, PixelValues
from jaxcoadd.folding import fold_warps, sum_warps
from jaxcoadd.statistics.order import rejected_value
from jaxcoadd.statistics.samples import Fence, Samples, deviations, is_kept


class Moments(NamedTuple):
    """Sums over the values within a fence, deviations taken from its centre.

    ``weight`` and ``weight2`` are the sums of w and of w², ``first`` and ``second``
    those of w d and of w d², d being the deviation from ``origin + shift``; ``error``
    is that of the term of an error model.
    """

    origin: PixelValues
    shift: PixelValues
    count: PixelValues
    weight: PixelValues
    weight2: PixelValues
    first: PixelValues
    second: PixelValues
    error: PixelValues

    @property
    def mean(self) -> PixelValues:
        """The weighted mean."""
        return self.origin + self.mean_shift

    @property
    def mean_shift(self) -> PixelValues:
        """The weighted mean as a deviation from the origin."""
        return self._mean_deviation + self.shift

    @property
    def _mean_deviation(self):
        return quotient(self.first, self.weight, where=self.count > 0)

    @property
    def variance(self) -> PixelValues:
        """The weighted sample variance, without bias for reliability weights.

        For a single value it is 0 times infinity: NaN, or an infinity of any sign
        where round-off makes the 0 a tiny number. So it is in the original.
        """
        shift, some = self._mean_deviation, self.count > 0
        biased = quotient(self.second, self.weight, where=some) - shift * shift
        square = self.weight * self.weight
        single = self.count <= 1
        rest = square - self.weight2
        # A single value has a result but no slope, not even one of 0 times infinity.
        return jnp.where(
            single,
            lax.stop_gradient(biased * (square / rest)),
            biased * (square / jnp.where(single, 1, rest)),
        )


def quotient(top: PixelValues, bottom: PixelValues, *, where: PixelKept) -> PixelValues:
    """Divide where it makes sense; NaN elsewhere, which has no slope."""
    return jnp.where(where, top / jnp.where(where, bottom, 1), jnp.nan)


def _weighted_totals(samples):
    """Sum 1, w and w x over all values that count."""
    zero = jnp.zeros_like(samples.values[0])

    def step(sums, x, w):
        kept = x != rejected_value(x.dtype)
        return (
            sums[0] + jnp.where(kept, 1, zero),
            sums[1] + jnp.where(kept, w, 0),
            sums[2] + jnp.where(kept, w * x, 0),
        )

    return fold_warps(step, (zero,) * 3, samples.values, samples.weights)


def open_fence(samples: Samples) -> Fence:
    """Return a fence around the weighted mean that keeps every value that counts."""
    _, weight, total = _weighted_totals(jax.tree.map(lax.stop_gradient, samples))
    known = weight != 0
    mean = jnp.where(known, total / jnp.where(known, weight, 1), 0)
    mean = lax.optimization_barrier(mean)
    return Fence(mean, jnp.zeros_like(mean), None)


def sum_over_count(samples: Samples) -> PixelValues:
    """Return the sum of w x over the number of values, or 0 where there is none.

    It is not the weighted mean; the original starts the search for a minimum or a
    maximum from it.
    """
    count, _, total = _weighted_totals(samples)
    return total * samples.weight_unit / jnp.maximum(count, 1)


def no_error(variance: PixelValues, weight: PixelValues) -> PixelValues:
    """Return 0, the term of an error that does not come from the variances."""
    return jnp.zeros_like(variance)


def moments(samples: Samples, fence: Fence, error_term: Callable = no_error) -> Moments:
    """Sum the values within a fence, as deviations from its centre.

    Also ``error_term(variance, weight)``.
    """
    arrays = (samples.values, samples.weights, samples.variances)
    sums = sum_warps(partial(_moment_terms, error_term), fence, *arrays)
    return Moments(fence.origin, fence.shift, *sums)


def _moment_terms(error_term, fence, x, w, v):
    kept = is_kept(x, fence)
    deviation = deviations(x, fence)
    weighted = w * deviation
    one = jnp.ones_like(x)
    # The derivative by a weight that others have too must not see what is left out.
    error = error_term(jnp.where(kept, v, 0), w)
    terms = (one, w, w * w, weighted, weighted * deviation, error)
    return tuple(jnp.where(kept, term, 0) for term in terms)
