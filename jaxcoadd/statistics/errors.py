"""Where the variance of a mean comes from."""

import abc

import equinox as eqx

from jaxcoadd.arrays import PixelValues
from jaxcoadd.statistics.moments import Moments, no_error, quotient


class AbstractErrorModel(eqx.Module):
    """How a mean finds its own variance."""

    @abc.abstractmethod
    def term(self, variance: PixelValues, weight: PixelValues) -> PixelValues:
        """Return what `Moments.error` sums over the values that are used."""

    @abc.abstractmethod
    def variance_of_mean(self, kept: Moments) -> PixelValues:
        """Return the variance of the mean of the values that are used."""


class FromVariances(AbstractErrorModel):
    """From the variances of the inputs: the sum of w² v over the square of that of w.

    LSST's ``calcErrorFromInputVariance``, and the default of a coadd.
    """

    def term(self, variance: PixelValues, weight: PixelValues) -> PixelValues:
        """Return w² v."""
        return variance * (weight * weight)

    def variance_of_mean(self, kept: Moments) -> PixelValues:
        """Return the sum of w² v over the squared sum of w."""
        square = kept.weight * kept.weight
        return quotient(kept.error, square, where=kept.count > 0)


class FromScatter(AbstractErrorModel):
    """From the scatter of the inputs: the sample variance over the effective number."""

    def term(self, variance: PixelValues, weight: PixelValues) -> PixelValues:
        """Return 0: the variances of the inputs do not matter."""
        return no_error(variance, weight)

    def variance_of_mean(self, kept: Moments) -> PixelValues:
        """Return the sample variance times the sum of w² over that of w, squared."""
        square = kept.weight * kept.weight
        return quotient(kept.variance * kept.weight2, square, where=kept.count > 0)


class Mosaic(AbstractErrorModel):
    """The mean variance of the inputs, for mosaics of images that hardly overlap.

    LSST's ``calcErrorMosaicMode``.
    """

    def term(self, variance: PixelValues, weight: PixelValues) -> PixelValues:
        """Return w v."""
        return variance * weight

    def variance_of_mean(self, kept: Moments) -> PixelValues:
        """Return the weighted mean of the variances."""
        return quotient(kept.error, kept.weight, where=kept.count > 0)
