"""Extremes, sums and counts. Their variance is 0, as in the original."""

import jax.numpy as jnp

from jaxcoadd.folding import fold_warps
from jaxcoadd.statistics.means import AbstractStatistic
from jaxcoadd.statistics.moments import moments, open_fence, sum_over_count
from jaxcoadd.statistics.order import rejected_value
from jaxcoadd.statistics.samples import Combined, Fence, Samples


def _exact(samples, fence, value):
    """Combine to a value without an error."""
    return Combined(
        value=value,
        variance=jnp.zeros_like(value),
        weight=moments(samples, fence).weight * samples.weight_unit,
        clipped=jnp.zeros_like(value, bool),
        fence=fence,
    )


def _extreme(samples, fence, pick, start):
    """Pick the extreme of the finite values, NaN where nothing counts."""
    none = rejected_value(samples.values.dtype)
    value = fold_warps(
        lambda best, x: jnp.where(jnp.isfinite(x) & (x != none), pick(best, x), best),
        start,
        samples.values,
    )
    return _exact(samples, fence, jnp.where(samples.count > 0, value, jnp.nan))


class Minimum(AbstractStatistic):
    """The smallest value (``MIN``).

    The search starts from the sum of w x over the number of values, as in the
    original: with weights the result may be smaller than every value.
    """

    def settle(self, samples: Samples) -> Fence:
        """Find a fence that keeps every value."""
        return open_fence(samples)

    def combine(self, samples: Samples, settled: Fence) -> Combined:
        """Combine the values of every pixel to the smallest."""
        return _extreme(samples, settled, jnp.minimum, sum_over_count(samples))


class Maximum(AbstractStatistic):
    """The largest value (``MAX``), with the same start as `Minimum`."""

    def settle(self, samples: Samples) -> Fence:
        """Find a fence that keeps every value."""
        return open_fence(samples)

    def combine(self, samples: Samples, settled: Fence) -> Combined:
        """Combine the values of every pixel to the largest."""
        return _extreme(samples, settled, jnp.maximum, sum_over_count(samples))


class Sum(AbstractStatistic):
    """The sum of weights times values (``SUM``); 0 where nothing counts."""

    def settle(self, samples: Samples) -> Fence:
        """Find a fence that keeps every value."""
        return open_fence(samples)

    def combine(self, samples: Samples, settled: Fence) -> Combined:
        """Combine the values of every pixel to their weighted sum."""
        used = moments(samples, settled)
        total = used.first + used.weight * used.origin
        return _exact(samples, settled, total * samples.weight_unit)


class UsedCount(AbstractStatistic):
    """How many values count, before clipping (``NPOINT``)."""

    def settle(self, samples: Samples) -> Fence:
        """Find a fence that keeps every value."""
        return open_fence(samples)

    def combine(self, samples: Samples, settled: Fence) -> Combined:
        """Combine the values of every pixel to their number."""
        return _exact(samples, settled, samples.count)


class MaskedCount(AbstractStatistic):
    """How many inputs are masked or not finite (``NMASKED``)."""

    def settle(self, samples: Samples) -> Fence:
        """Find a fence that keeps every value."""
        return open_fence(samples)

    def combine(self, samples: Samples, settled: Fence) -> Combined:
        """Combine the values of every pixel to the number of rejected inputs."""
        return _exact(samples, settled, samples.rejected)


class ClippedCount(AbstractStatistic):
    """Always 0 (``NCLIPPED``): asked for alone, the original does not clip."""

    def settle(self, samples: Samples) -> Fence:
        """Find a fence that keeps every value."""
        return open_fence(samples)

    def combine(self, samples: Samples, settled: Fence) -> Combined:
        """Combine the values of every pixel to 0."""
        return _exact(samples, settled, jnp.zeros_like(samples.values[0]))
