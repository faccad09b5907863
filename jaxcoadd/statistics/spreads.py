"""Variances, standard deviations and mean squares."""

import equinox as eqx
import jax.numpy as jnp

from jaxcoadd.arrays import FloatScalar, PixelKept, PixelValues
from jaxcoadd.statistics.clipping import sigma_clip
from jaxcoadd.statistics.means import AbstractStatistic
from jaxcoadd.statistics.moments import Moments, moments, open_fence
from jaxcoadd.statistics.order import quantiles
from jaxcoadd.statistics.samples import Combined, Samples


def _all_moments(samples):
    return moments(samples, open_fence(samples))


def _clipped_moments(samples, width, iterations) -> tuple[Moments, PixelKept]:
    fence = sigma_clip(samples, width, iterations)
    kept = moments(samples, fence)
    return kept, kept.count < samples.count


def _variance_of_variance(used: Moments) -> PixelValues:
    """Return that of a Gaussian sample, 2 (n - 1) s⁴ / n², also where weighted."""
    n = used.count
    return 2 * (n - 1) * used.variance**2 / (n * n)


def _deviation(samples, used, clipped):
    """Combine to the standard deviation; its error by propagation."""
    value = jnp.sqrt(used.variance)
    error = 0.5 * jnp.sqrt(_variance_of_variance(used)) / value
    return _combined(samples, used, value, error * error, clipped)


def _combined(samples, used, value, variance, clipped=None):
    if clipped is None:
        clipped = jnp.zeros_like(value, bool)
    return Combined(value, variance, used.weight * samples.weight_unit, clipped)


class Variance(AbstractStatistic):
    """The weighted sample variance (``VARIANCE``); differentiable like `Mean`."""

    def combine(self, samples: Samples) -> Combined:
        """Combine the values of every pixel to their variance."""
        used = _all_moments(samples)
        return _combined(samples, used, used.variance, _variance_of_variance(used))


class StandardDeviation(AbstractStatistic):
    """The weighted sample standard deviation (``STDEV``); differentiable."""

    def combine(self, samples: Samples) -> Combined:
        """Combine the values of every pixel to their standard deviation."""
        return _deviation(samples, _all_moments(samples), None)


class MeanSquare(AbstractStatistic):
    """The mean of the squared values, ``(n - 1) / n * variance + mean**2``.

    LSST's ``MEANSQUARE``; differentiable like `Mean`.
    """

    def combine(self, samples: Samples) -> Combined:
        """Combine the values of every pixel to their mean square."""
        used = _all_moments(samples)
        n = used.count
        value = (n - 1) / n * used.variance + used.mean**2
        return _combined(samples, used, value, 2 * (value / n) ** 2)


class ClippedVariance(AbstractStatistic):
    """The variance of what a sigma clip keeps (``VARIANCECLIP``).

    Its own variance is NaN, as in the original, which never fills it in.
    """

    sigma_clip: FloatScalar = 3.0
    clip_iter: int = eqx.field(static=True, default=2)

    def combine(self, samples: Samples) -> Combined:
        """Combine the values of every pixel to their clipped variance."""
        kept, clipped = _clipped_moments(samples, self.sigma_clip, self.clip_iter)
        unknown = jnp.full_like(kept.weight, jnp.nan)
        return _combined(samples, kept, kept.variance, unknown, clipped)


class ClippedStandardDeviation(AbstractStatistic):
    """The standard deviation of what a sigma clip keeps (``STDEVCLIP``)."""

    sigma_clip: FloatScalar = 3.0
    clip_iter: int = eqx.field(static=True, default=2)

    def combine(self, samples: Samples) -> Combined:
        """Combine the values of every pixel to their clipped standard deviation."""
        kept, clipped = _clipped_moments(samples, self.sigma_clip, self.clip_iter)
        return _deviation(samples, kept, clipped)


class Median(AbstractStatistic):
    """The median, always unweighted (``MEDIAN``).

    Its variance is that of the median of a Gaussian sample, π/2 s²/n, from the
    weighted scatter. Differentiable: the one or two central values have a share.
    """

    def combine(self, samples: Samples) -> Combined:
        """Combine the values of every pixel to their median."""
        used = _all_moments(samples)
        median = quantiles(samples.values, samples.count, (0.5,))[0]
        variance = 0.5 * jnp.pi * used.variance / used.count
        return _combined(samples, used, median, variance)


class InterquartileRange(AbstractStatistic):
    """The distance of the quartiles, unweighted (``IQRANGE``); its variance is NaN."""

    def combine(self, samples: Samples) -> Combined:
        """Combine the values of every pixel to their interquartile range."""
        found = quantiles(samples.values, samples.count, (0.25, 0.75))
        value = found.offsets[1] - found.offsets[0]
        used = _all_moments(samples)
        return _combined(samples, used, value, jnp.full_like(value, jnp.nan))
