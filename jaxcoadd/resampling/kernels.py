"""Interpolation kernels: the weight of each pixel around a position, on one axis.

A position is split into ``floor(x)`` and a fraction. Of a kernel of half-width n, the
pixels at the offsets ``-(n - 1)`` to ``n`` from ``floor(x)`` have a weight.
"""

import abc
import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcoadd.stages import compute_once

# Nearer to a pixel's centre than this, 1e-5 in radians, Lanczos' weight is 1.
_CENTRED = 1e-5 / math.pi
# At whole pixels the other weights are of this order, not 0: computed as in double
# precision, where sin(pi) is not 0, they spread NaN and infinite pixels.
_TINY = 1e-17


class AbstractKernel(eqx.Module):
    """A kernel that is the same in x and y, and separable."""

    @property
    @abc.abstractmethod
    def half_width(self) -> int:
        """Half the number of weights, n."""

    @abc.abstractmethod
    def weights(self, fraction: Float[Array, "*s"]) -> tuple[Float[Array, "*s"], ...]:
        """Return the weight of each of the 2 n pixels around positions.

        Parameters
        ----------
        fraction
            Positions less their floor, from 0 to 1.

        Returns
        -------
        tuple of array
            One array a pixel, in increasing order of offsets. Their sum need not be 1.
        """

    @property
    @abc.abstractmethod
    def footprints(self) -> tuple[range, ...]:
        """Every set of offsets that can be touched: have a weight that is not 0."""

    @abc.abstractmethod
    def footprint(self, fraction: Float[Array, "*s"]) -> Int[Array, "*s"]:
        """Return which of `footprints` a position touches."""


class Lanczos(AbstractKernel):
    """A sinc, damped by a wider one: ``sinc(t) sinc(t / order)``.

    Parameters
    ----------
    order
        The half-width, usually 3 to 5.

    Notes
    -----
    Smooth in the fraction.
    """

    order: int = eqx.field(static=True, default=3)

    def __check_init__(self):
        """Refuse an order that is no kernel."""
        if self.order < 1:
            raise ValueError(f"order of a Lanczos kernel is {self.order}; at least 1")

    @property
    def half_width(self) -> int:
        """The order."""
        return self.order

    def weights(self, fraction: Float[Array, "*s"]) -> tuple[Float[Array, "*s"], ...]:
        """Return the weight of each of the 2 n pixels around positions."""
        n, turn = self.order, math.pi / self.order
        upper = fraction > 0.5
        # One sine and one cosine, of the distance from the nearest pixel, give all the
        # others by addition theorems. Next to a pixel a weight is a ratio of small
        # numbers: there the sines must be as good as their arguments.
        sine, cosine = compute_once(
            self._waves, jnp.where(upper, 1 - fraction, fraction)
        )
        away = math.sin(turn) * cosine - math.cos(turn) * sine
        from_lower = jnp.where(upper, away, sine)
        from_upper = jnp.where(upper, sine, away)
        along = math.cos(turn) * cosine + math.sin(turn) * sine
        along = jnp.where(upper, along, cosine)
        # This is sin(pi f).
        fast = _sine_of_multiple(sine, cosine, n) + _TINY
        found = []
        for offset in range(1 - n, n + 1):
            wide = math.sin(turn * offset) * along
            wide = wide - math.cos(turn * offset) * from_lower
            wide = from_upper if offset == 1 else wide
            sign = -math.cos(math.pi * offset) * n / math.pi**2
            distance = offset - fraction
            centred = jnp.abs(distance) <= _CENTRED
            distance = jnp.where(centred, 1, distance)
            weight = sign * fast * wide / (distance * distance)
            found.append(jnp.where(centred, 1, weight))
        return tuple(found)

    def _waves(self, fraction):
        """Return the sine and the cosine of the wider of the two waves."""
        angle = math.pi / self.order * fraction
        return jnp.sin(angle), jnp.cos(angle)

    @property
    def footprints(self) -> tuple[range, ...]:
        """All offsets, always."""
        return (range(1 - self.order, self.order + 1),)

    def footprint(self, fraction: Float[Array, "*s"]) -> Int[Array, "*s"]:
        """Return 0: also at whole pixels no weight is 0 exactly."""
        return jnp.zeros(fraction.shape, jnp.int32)


def _sine_of_multiple(sine, cosine, n):
    """Return the sine of n times an angle."""
    before, current = jnp.zeros_like(sine), sine
    for _ in range(n - 1):
        before, current = current, 2 * cosine * current - before
    return current


class Bilinear(AbstractKernel):
    """Linear interpolation between two pixels.

    Notes
    -----
    Linear in the fraction, and so differentiable in it, with steps at whole pixels.
    """

    @property
    def half_width(self) -> int:
        """One pixel on either side."""
        return 1

    def weights(self, fraction: Float[Array, "*s"]) -> tuple[Float[Array, "*s"], ...]:
        """Return the weights of the two pixels around positions."""
        return 1 - fraction, fraction

    @property
    def footprints(self) -> tuple[range, ...]:
        """The pixel alone, or both."""
        return range(1), range(2)

    def footprint(self, fraction: Float[Array, "*s"]) -> Int[Array, "*s"]:
        """Return 0 at whole pixels, else 1."""
        return (fraction != 0).astype(jnp.int32)


class Nearest(AbstractKernel):
    """The nearest pixel; the upper one where both are as near.

    Notes
    -----
    A step function: its derivative by the position is 0.
    """

    @property
    def half_width(self) -> int:
        """One pixel on either side, of which one has no weight."""
        return 1

    def weights(self, fraction: Float[Array, "*s"]) -> tuple[Float[Array, "*s"], ...]:
        """Return the weights of the two pixels around positions: 0 and 1."""
        upper = jnp.asarray(fraction >= 0.5, fraction.dtype)
        return 1 - upper, upper

    @property
    def footprints(self) -> tuple[range, ...]:
        """The lower or the upper pixel."""
        return range(1), range(1, 2)

    def footprint(self, fraction: Float[Array, "*s"]) -> Int[Array, "*s"]:
        """Return 0 for the lower pixel, 1 for the upper one."""
        return (fraction >= 0.5).astype(jnp.int32)
