"""Where the variance of a mean comes from."""

import abc

import equinox as eqx
import jax.numpy as jnp

from jaxcoadd.arrays import PixelValues
from jaxcoadd.folding import sum_warps
from jaxcoadd.statistics.moments import Moments, quotient
from jaxcoadd.statistics.samples import Fence, Samples, is_kept


class AbstractErrorModel(eqx.Module):
    """How a mean finds its own variance."""

    @abc.abstractmethod
    def variance_of_mean(
        self, samples: Samples, kept: Moments, fence: Fence
    ) -> PixelValues:
        """Return the variance of the mean of the values within a fence."""


def _sum_variances(samples, fence, term):
    """Sum a term of (variance, weight) over the values within a fence."""

    def kept_term(fence, x, v, w):
        return jnp.where(is_kept(x, fence), term(v, w), 0)

    return sum_warps(
        kept_term, fence, samples.values, samples.variances, samples.weights
    )


class FromVariances(AbstractErrorModel):
    """From the variances of the inputs: the sum of w² v over the square of that of w.

    LSST's ``calcErrorFromInputVariance``, and the default of a coadd.
    """

    def variance_of_mean(
        self, samples: Samples, kept: Moments, fence: Fence
    ) -> PixelValues:
        """Return the sum of w² v over the squared sum of w."""
        total = _sum_variances(samples, fence, lambda v, w: v * (w * w))
        square = kept.weight * kept.weight
        return quotient(total, square, where=kept.count > 0)


class FromScatter(AbstractErrorModel):
    """From the scatter of the inputs: the sample variance over the effective number."""

    def variance_of_mean(
        self, samples: Samples, kept: Moments, fence: Fence
    ) -> PixelValues:
        """Return the sample variance times the sum of w² over that of w, squared."""
        square = kept.weight * kept.weight
        return quotient(kept.variance * kept.weight2, square, where=kept.count > 0)


class Mosaic(AbstractErrorModel):
    """The mean variance of the inputs, for mosaics of images that hardly overlap.

    LSST's ``calcErrorMosaicMode``.
    """

    def variance_of_mean(
        self, samples: Samples, kept: Moments, fence: Fence
    ) -> PixelValues:
        """Return the weighted mean of the variances."""
        total = _sum_variances(samples, fence, lambda v, w: v * w)
        return quotient(total, kept.weight, where=kept.count > 0)
