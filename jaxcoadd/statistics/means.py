"""Means: plain, clipped, and clipped smoothly."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxcoadd.arrays import FloatScalar
from jaxcoadd.folding import sum_warps
from jaxcoadd.stages import compute_once
from jaxcoadd.statistics.clipping import SIGMA_PER_IQR, sigma_clip
from jaxcoadd.statistics.errors import AbstractErrorModel, FromVariances
from jaxcoadd.statistics.moments import moments, open_fence
from jaxcoadd.statistics.order import quantiles, rejected_value
from jaxcoadd.statistics.samples import Combined, Fence, Samples, fence_around


class AbstractStatistic(eqx.Module):
    """What a coadd makes of the values of one pixel, in two steps."""

    @abc.abstractmethod
    def settle(self, samples: Samples) -> Any:
        """Find what has no derivative, such as which values are used.

        It is a pytree of rows of pixels. The reverse pass does not find it again.
        """

    @abc.abstractmethod
    def combine(self, samples: Samples, settled: Any) -> Combined:
        """Combine the values of every pixel to one, with its variance."""


class Mean(AbstractStatistic):
    """The weighted mean (LSST's ``MEAN``).

    Parameters
    ----------
    error
        Where the variance of the mean comes from.

    Notes
    -----
    Differentiable in values, variances and weights.
    """

    error: AbstractErrorModel = FromVariances()

    def settle(self, samples: Samples) -> Fence:
        """Find a fence that keeps every value."""
        return open_fence(samples)

    def combine(self, samples: Samples, settled: Fence) -> Combined:
        """Combine the values of every pixel to their weighted mean."""
        return _mean_within(samples, settled, self.error)


class ClippedMean(AbstractStatistic):
    """The weighted mean of the values within `sigma_clip` deviations (``MEANCLIP``).

    Parameters
    ----------
    sigma_clip
        Half-width of the clip, in standard deviations.
    clip_iter
        Number of passes; each starts again from all values.
    error
        Where the variance of the mean comes from.

    Notes
    -----
    Differentiable in values, variances and weights; the limits carry no derivative,
    see `sigma_clip`. LSST: ``afw.math.statisticsStack`` with ``MEANCLIP``.
    """

    sigma_clip: FloatScalar = 3.0
    clip_iter: int = eqx.field(static=True, default=2)
    error: AbstractErrorModel = FromVariances()

    def settle(self, samples: Samples) -> Fence:
        """Find the fence of the last pass."""
        return sigma_clip(samples, self.sigma_clip, self.clip_iter)

    def combine(self, samples: Samples, settled: Fence) -> Combined:
        """Combine the values of every pixel to their clipped mean."""
        return _mean_within(samples, settled, self.error)


def _mean_within(samples, fence, error):
    kept = moments(samples, fence, error.term)
    return Combined(
        value=kept.mean,
        variance=error.variance_of_mean(kept),
        weight=kept.weight * samples.weight_unit,
        clipped=kept.count < samples.count,
        fence=fence,
    )


class SoftClippedMean(AbstractStatistic):
    r"""A weighted mean whose weights fall off smoothly for outliers.

    Parameters
    ----------
    sigma_clip
        Deviation, in standard deviations, at which a value has half its weight.
    softness
        Width of the fall, in standard deviations.
    clip_iter
        Number of passes.

    Notes
    -----
    A value at :math:`r` standard deviations from the centre has its weight
    multiplied by

    .. math:: g(r) = \frac{1}{1 + \exp((r - r_0) / s)},

    with `sigma_clip` as :math:`r_0` and `softness` as :math:`s`. The first centre
    and standard deviation are the median and 0.7413 interquartile ranges, the
    others the weighted mean and standard deviation of the pass before. For
    :math:`s \to 0` this is `ClippedMean`. Where the standard deviation is 0, only
    values at the centre count.

    The variance is that of a weighted mean with these weights held fixed. CLIPPED is
    set where a value lost more than half of its weight.

    Differentiable in values, variances, weights, `sigma_clip` and `softness`, through
    the centre and the standard deviation too.
    """

    sigma_clip: FloatScalar = 3.0
    softness: FloatScalar = 0.3
    clip_iter: int = eqx.field(static=True, default=2)

    def settle(self, samples: Samples) -> None:
        """Settle nothing: derivatives go through the centre and the deviation too."""

    def combine(self, samples: Samples, settled: None) -> Combined:
        """Combine the values of every pixel to their softly clipped mean."""
        centre, spread = compute_once(_robust_centre, samples)
        for _ in range(self.clip_iter - 1):
            centre, spread = compute_once(self._next_centre, samples, centre, spread)
        return self._combine_shares(samples, centre, spread)

    def _next_centre(self, samples, centre, spread):
        sums = self._sums(samples, centre, spread)
        mean = sums["first"] / sums["weight"]
        variance = sums["second"] / sums["weight"] - mean * mean
        effective = 1 - sums["weight2"] / (sums["weight"] * sums["weight"])
        variance = variance / jnp.where(effective > 0, effective, 1)
        return centre + mean, _safe_sqrt(jnp.where(effective > 0, variance, 0))

    def _combine_shares(self, samples, centre, spread):
        sums = self._sums(samples, centre, spread)
        return Combined(
            value=sums["first"] / sums["weight"] + centre,
            variance=sums["variance"] / (sums["weight"] * sums["weight"]),
            weight=sums["weight"] * samples.weight_unit,
            clipped=sums["halved"] > 0,
            fence=fence_around(
                centre, jnp.zeros_like(centre), self.sigma_clip * spread
            ),
        )

    def _share(self, distance, spread):
        """Return g for distances from the centre."""
        known = spread > 0
        deviations = jnp.where(known, distance / jnp.where(known, spread, 1), 0)
        share = jax.nn.sigmoid((self.sigma_clip - deviations) / self.softness)
        return jnp.where(known | (distance == 0), share, 0)

    def _sums(self, samples, centre, spread):
        return sum_warps(
            _soft_terms,
            (self, centre, spread),
            samples.values,
            samples.variances,
            samples.weights,
        )


def _soft_terms(shared, x, v, w):
    statistic, centre, spread = shared
    counts = x != rejected_value(x.dtype)
    deviation = jnp.where(counts, x - centre, 0)
    share = statistic._share(jnp.abs(deviation), spread)
    weight = jnp.where(counts, w * share, 0)
    terms = {
        "weight": weight,
        "weight2": weight * weight,
        "first": weight * deviation,
        "second": weight * deviation * deviation,
        "variance": jnp.where(counts, v, 0) * weight * weight,
        "halved": jnp.where(share < 0.5, jnp.ones_like(x), 0),
    }
    return {name: jnp.where(counts, term, 0) for name, term in terms.items()}


def _robust_centre(samples):
    """Return the median, and the standard deviation that the quartiles speak of."""
    found = quantiles(samples.values, samples.count, (0.25, 0.5, 0.75))
    return found[1], SIGMA_PER_IQR * (found.offsets[2] - found.offsets[0])


def _safe_sqrt(values):
    """Take the root, with derivative 0 instead of infinity at 0."""
    positive = values > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, values, 1)), 0)
