"""Statistics of a pixel through the stack, each a strategy object."""

from jaxcoadd.statistics.errors import (
    AbstractErrorModel,
    FromScatter,
    FromVariances,
    Mosaic,
)
from jaxcoadd.statistics.extremes import (
    ClippedCount,
    MaskedCount,
    Maximum,
    Minimum,
    Sum,
    UsedCount,
)
from jaxcoadd.statistics.means import (
    AbstractStatistic,
    ClippedMean,
    Mean,
    SoftClippedMean,
)
from jaxcoadd.statistics.order import rejected_value
from jaxcoadd.statistics.samples import Combined, Fence, Samples, is_kept
from jaxcoadd.statistics.spreads import (
    ClippedStandardDeviation,
    ClippedVariance,
    InterquartileRange,
    MeanSquare,
    Median,
    StandardDeviation,
    Variance,
)

__all__ = [
    "AbstractErrorModel",
    "AbstractStatistic",
    "ClippedCount",
    "ClippedMean",
    "ClippedStandardDeviation",
    "ClippedVariance",
    "Combined",
    "Fence",
    "FromScatter",
    "FromVariances",
    "InterquartileRange",
    "MaskedCount",
    "Maximum",
    "Mean",
    "MeanSquare",
    "Median",
    "Minimum",
    "Mosaic",
    "Samples",
    "SoftClippedMean",
    "StandardDeviation",
    "Sum",
    "UsedCount",
    "Variance",
    "is_kept",
    "rejected_value",
]
