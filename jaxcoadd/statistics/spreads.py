"""Variances, standard deviations and mean squares."""

import equinox as eqx
import jax.numpy as jnp

from jaxcoadd.arrays import FloatScalar, PixelValues
from jaxcoadd.statistics.clipping import sigma_clip
from jaxcoadd.statistics.means import AbstractStatistic
from jaxcoadd.statistics.moments import Moments, moments, open_fence
from jaxcoadd.statistics.order import quantiles
from jaxcoadd.statistics.samples import Combined, Fence, Samples


def _all(samples) -> tuple[Moments, Fence]:
    fence = open_fence(samples)
    return moments(samples, fence), fence


def _clipped(samples, width, iterations) -> tuple[Moments, Fence]:
    fence = sigma_clip(samples, width, iterations)
    return moments(samples, fence), fence


def _combined(samples, used: tuple[Moments, Fence], value, variance) -> Combined:
    sums, fence = used
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


def _deviation(samples, used: tuple[Moments, Fence]) -> Combined:
    """Combine to the standard deviation; its error by propagation."""
    sums, _ = used
    value = jnp.sqrt(sums.variance)
    error = 0.5 * jnp.sqrt(_variance_of_variance(sums)) / value
    return _combined(samples, used, value, error * error)


class Variance(AbstractStatistic):
    """The weighted sample variance (``VARIANCE``); differentiable like `Mean`."""

    def combine(self, samples: Samples) -> Combined:
        """Combine the values of every pixel to their variance."""
        used = sums, _ = _all(samples)
        return _combined(samples, used, sums.variance, _variance_of_variance(sums))


class StandardDeviation(AbstractStatistic):
    """The weighted sample standard deviation (``STDEV``); differentiable."""

    def combine(self, samples: Samples) -> Combined:
        """Combine the values of every pixel to their standard deviation."""
        return _deviation(samples, _all(samples))


class MeanSquare(AbstractStatistic):
    """The mean of the squared values, ``(n - 1) / n * variance + mean**2``.

    LSST's ``MEANSQUARE``; differentiable like `Mean`.
    """

    def combine(self, samples: Samples) -> Combined:
        """Combine the values of every pixel to their mean square."""
        used = sums, _ = _all(samples)
        n = sums.count
        value = (n - 1) / n * sums.variance + sums.mean**2
        return _combined(samples, used, value, 2 * (value / n) ** 2)


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

    def combine(self, samples: Samples) -> Combined:
        """Combine the values of every pixel to their clipped variance."""
        used = sums, _ = _clipped(samples, self.sigma_clip, self.clip_iter)
        unknown = jnp.full_like(sums.weight, jnp.nan)
        return _combined(samples, used, sums.variance, unknown)


class ClippedStandardDeviation(AbstractStatistic):
    """The standard deviation of what a sigma clip keeps (``STDEVCLIP``).

    Parameters
    ----------
    sigma_clip, clip_iter
        Half-width in standard deviations, and number of passes; see `ClippedMean`.
    """

    sigma_clip: FloatScalar = 3.0
    clip_iter: int = eqx.field(static=True, default=2)

    def combine(self, samples: Samples) -> Combined:
        """Combine the values of every pixel to their clipped standard deviation."""
        return _deviation(samples, _clipped(samples, self.sigma_clip, self.clip_iter))


class Median(AbstractStatistic):
    """The median, always unweighted (``MEDIAN``).

    Its variance is that of the median of a Gaussian sample, π/2 s²/n, from the
    weighted scatter. Differentiable: the one or two central values have a share.
    """

    def combine(self, samples: Samples) -> Combined:
        """Combine the values of every pixel to their median."""
        used = sums, _ = _all(samples)
        median = quantiles(samples.values, samples.count, (0.5,))[0]
        variance = 0.5 * jnp.pi * sums.variance / sums.count
        return _combined(samples, used, median, variance)


class InterquartileRange(AbstractStatistic):
    """The distance of the quartiles, unweighted (``IQRANGE``); its variance is NaN."""

    def combine(self, samples: Samples) -> Combined:
        """Combine the values of every pixel to their interquartile range."""
        found = quantiles(samples.values, samples.count, (0.25, 0.75))
        value = found.offsets[1] - found.offsets[0]
        used = _all(samples)
        return _combined(samples, used, value, jnp.full_like(value, jnp.nan))
