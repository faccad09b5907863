"""Variances, standard deviations and mean squares."""

import equinox as eqx
import jax.numpy as jnp

from jaxcoadd.arrays import FloatScalar, PixelValues
from jaxcoadd.statistics.clipping import sigma_clip
from jaxcoadd.statistics.means import AbstractStatistic
from jaxcoadd.statistics.moments import Moments, moments, open_fence
from jaxcoadd.statistics.order import quantiles
from jaxcoadd.statistics.samples import Combined, Fence, Samples


def _combined(samples, sums: Moments, fence: Fence, value, variance) -> Combined:
    return Combined(
        value=value,
        variance=variance,
        weight=sums.weight * samples.weight_unit,
        clipped=sums.count < samples.count,
        fence=fence,
    )


def _variance_of_variance(sums: Moments) -> PixelValues:
    """Return that of a Gaussian sample, 2 (n - 1) s⁴ / n², also where weighted."""
    n = sums.count
    return 2 * (n - 1) * sums.variance**2 / (n * n)


def _deviation(samples, fence: Fence) -> Combined:
    """Combine to the standard deviation; its error by propagation."""
    sums = moments(samples, fence)
    value = jnp.sqrt(sums.variance)
    error = 0.5 * jnp.sqrt(_variance_of_variance(sums)) / value
    return _combined(samples, sums, fence, value, error * error)


class Variance(AbstractStatistic):
    """The weighted sample variance (``VARIANCE``); differentiable like `Mean`."""

    def settle(self, samples: Samples) -> Fence:
        """Find a fence that keeps every value."""
        return open_fence(samples)

    def combine(self, samples: Samples, settled: Fence) -> Combined:
        """Combine the values of every pixel to their variance."""
        sums = moments(samples, settled)
        return _combined(
            samples, sums, settled, sums.variance, _variance_of_variance(sums)
        )


class StandardDeviation(AbstractStatistic):
    """The weighted sample standard deviation (``STDEV``); differentiable."""

    def settle(self, samples: Samples) -> Fence:
        """Find a fence that keeps every value."""
        return open_fence(samples)

    def combine(self, samples: Samples, settled: Fence) -> Combined:
        """Combine the values of every pixel to their standard deviation."""
        return _deviation(samples, settled)


class MeanSquare(AbstractStatistic):
    """The mean of the squared values, ``(n - 1) / n * variance + mean**2``.

    LSST's ``MEANSQUARE``; differentiable like `Mean`.
    """

    def settle(self, samples: Samples) -> Fence:
        """Find a fence that keeps every value."""
        return open_fence(samples)

    def combine(self, samples: Samples, settled: Fence) -> Combined:
        """Combine the values of every pixel to their mean square."""
        sums = moments(samples, settled)
        n = sums.count
        value = (n - 1) / n * sums.variance + sums.mean**2
        return _combined(samples, sums, settled, value, 2 * (value / n) ** 2)


class ClippedVariance(AbstractStatistic):
    """The variance of what a sigma clip keeps (``VARIANCECLIP``).

    Its own variance is NaN, as in the original, which never fills it in.

    Parameters
    ----------
    sigma_clip, clip_iter
        Half-width in standard deviations, and number of passes; see `ClippedMean`.
    """

    sigma_clip: FloatScalar = 3.0
    clip_iter: int = eqx.field(static=True, default=2)

    def settle(self, samples: Samples) -> Fence:
        """Find the fence of the last pass."""
        return sigma_clip(samples, self.sigma_clip, self.clip_iter)

    def combine(self, samples: Samples, settled: Fence) -> Combined:
        """Combine the values of every pixel to their clipped variance."""
        sums = moments(samples, settled)
        unknown = jnp.full_like(sums.weight, jnp.nan)
        return _combined(samples, sums, settled, sums.variance, unknown)


class ClippedStandardDeviation(AbstractStatistic):
    """The standard deviation of what a sigma clip keeps (``STDEVCLIP``).

    Parameters
    ----------
    sigma_clip, clip_iter
        Half-width in standard deviations, and number of passes; see `ClippedMean`.
    """

    sigma_clip: FloatScalar = 3.0
    clip_iter: int = eqx.field(static=True, default=2)

    def settle(self, samples: Samples) -> Fence:
        """Find the fence of the last pass."""
        return sigma_clip(samples, self.sigma_clip, self.clip_iter)

    def combine(self, samples: Samples, settled: Fence) -> Combined:
        """Combine the values of every pixel to their clipped standard deviation."""
        return _deviation(samples, settled)


class Median(AbstractStatistic):
    """The median, always unweighted (``MEDIAN``).

    Its variance is that of the median of a Gaussian sample, π/2 s²/n, from the
    weighted scatter. Differentiable: the one or two central values have a share.
    """

    def settle(self, samples: Samples) -> Fence:
        """Find a fence that keeps every value."""
        return open_fence(samples)

    def combine(self, samples: Samples, settled: Fence) -> Combined:
        """Combine the values of every pixel to their median."""
        sums = moments(samples, settled)
        median = quantiles(samples.values, samples.count, (0.5,))[0]
        variance = 0.5 * jnp.pi * sums.variance / sums.count
        return _combined(samples, sums, settled, median, variance)


class InterquartileRange(AbstractStatistic):
    """The distance of the quartiles, unweighted (``IQRANGE``); its variance is NaN."""

    def settle(self, samples: Samples) -> Fence:
        """Find a fence that keeps every value."""
        return open_fence(samples)

    def combine(self, samples: Samples, settled: Fence) -> Combined:
        """Combine the values of every pixel to their interquartile range."""
        found = quantiles(samples.values, samples.count, (0.25, 0.75))
        value = found.offsets[1] - found.offsets[0]
        sums = moments(samples, settled)
        return _combined(samples, sums, settled, value, jnp.full_like(value, jnp.nan))
