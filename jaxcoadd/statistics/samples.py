"""What a statistic is given of a run of pixels, and what it returns."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp

from jaxcoadd.arrays import (
    AnyKept,
    AnyValues,
    FloatScalar,
    PixelKept,
    PixelValues,
    Present,
    Values,
    Weights,
)
from jaxcoadd.statistics.order import rejected_value


def fence_around(
    origin: PixelValues, shift: PixelValues, half_width: PixelValues
) -> "Fence":
    """Make a fence so narrow that `rejected_value` is never within it."""
    gap = rejected_value(origin.dtype) - jnp.abs(origin + shift)
    return Fence(origin, shift, jnp.minimum(half_width, 0.5 * gap))


class Fence(NamedTuple):
    """Values within ``half_width`` of ``origin + shift`` are used; None: all.

    The half-width must keep `rejected_value` out, see `fence_around`.

    The centre has two parts because deviations from a value of the stack are exact
    where the values are large and lie close together, and those from a mean are not.
    """

    origin: PixelValues
    shift: PixelValues
    half_width: PixelValues | None


class Samples(eqx.Module):
    """The values of some pixels through the stack.

    Parameters
    ----------
    values
        (warp, pixel), `rejected_value` where a value does not count.
    variances
        Their variances, (warp, pixel).
    weights
        (warp, pixel) or (warp, 1), in units of `weight_unit`.
    weight_unit
        A power of two that brings the weights near to 1, so that their squares
        neither overflow nor vanish in 32 bits.
    present
        False for a warp that is padding.
    count
        How many values of each pixel count, before any clipping.
    """

    values: Values
    variances: Values
    weights: Weights
    weight_unit: FloatScalar
    present: Present
    count: PixelValues

    @property
    def rejected(self) -> PixelValues:
        """How many inputs do not count: masked, or not finite."""
        return self.present.astype(self.values.dtype).sum() - self.count


def is_kept(values: AnyValues, fence: Fence) -> AnyKept:
    """Tell which values count and lie within a fence, its limit included."""
    if fence.half_width is None:
        return values != rejected_value(values.dtype)
    return jnp.abs(deviations(values, fence)) <= fence.half_width


def deviations(values: AnyValues, fence: Fence) -> AnyValues:
    """Return the deviations of values from the centre of a fence."""
    return (values - fence.origin) - fence.shift


class Combined(eqx.Module):
    """The result of a statistic for some pixels.

    Parameters
    ----------
    value, variance
        The statistic and its variance.
    weight
        The summed weight of the values that made the result.
    clipped
        Whether a value was clipped.
    fence
        What the values that made the result lie within.
    """

    value: PixelValues
    variance: PixelValues
    weight: PixelValues
    clipped: PixelKept
    fence: Fence
