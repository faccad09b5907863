"""How much each warp, or each of its pixels, counts."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from jaxcoadd.arrays import (
    FloatScalar,
    Images,
    PerWarp,
    PixelValues,
    Present,
    Values,
    Weights,
)
from jaxcoadd.folding import fold_warps
from jaxcoadd.masks import has_any
from jaxcoadd.selection import plane_clipped_mean
from jaxcoadd.warps import WarpStack


def inverse_variance_weights(
    variance: Images,
    *,
    where: jax.Array,
    sigma_clip: FloatScalar = 3.0,
    clip_iter: int = 2,
) -> PerWarp:
    """Weigh each warp by the inverse of the clipped mean of its variance plane.

    Parameters
    ----------
    variance
        Whole variance planes on the common zero point, (warp, y, x).
    where
        Pixels without a bad mask bit, (warp, y, x). Variances that are not finite
        are left out as well.
    sigma_clip, clip_iter
        Of the clipped mean, see `ClippedMean`.

    Returns
    -------
    PerWarp
        0 for a warp that cannot be used: its clipped mean is not positive and finite.

    Notes
    -----
    Differentiable in the variances that the clip keeps. LSST:
    ``AssembleCoaddTask.prepareInputs``.
    """

    def weigh(plane, good):
        good = good & jnp.isfinite(plane)
        mean, _ = plane_clipped_mean(
            plane, where=good, sigma_clip=sigma_clip, clip_iter=clip_iter
        )
        usable = (mean > 0) & jnp.isfinite(mean)
        return jnp.where(usable, 1 / jnp.where(usable, mean, 1), 0)

    return jax.vmap(weigh)(variance, where)


def power_of_two(values: jax.Array) -> jax.Array:
    """Return powers of two near to the sizes of some numbers; 1 where there is none."""
    size = lax.stop_gradient(jnp.abs(values))
    usable = jnp.isfinite(size) & (size > 0)
    _, exponent = jnp.frexp(jnp.where(usable, size, 0.5))
    return jnp.ldexp(jnp.ones_like(size), exponent)


def _as_stored(weights: jax.Array) -> jax.Array:
    """Round weights to 32 bits, as the original does whatever it computes in."""
    return weights.astype(jnp.float32).astype(weights.dtype)


class AbstractWeighting(eqx.Module):
    """Where the weights of a coadd come from."""

    @abc.abstractmethod
    def weigh_warps(self, stack: WarpStack, bad: int) -> tuple[PerWarp, Present]:
        """Return a weight a warp, and which warps can be used."""

    @abc.abstractmethod
    def weigh_pixels(
        self, weights: PerWarp, variances: Values
    ) -> tuple[Weights, PixelValues | FloatScalar]:
        """Return the weights of a run of pixels, and the unit they are in."""


class WarpWeights(AbstractWeighting):
    """One weight a warp: those of the stack, or the inverse of its typical variance.

    Parameters
    ----------
    sigma_clip, clip_iter
        Of the clipped mean of the variance plane.

    Notes
    -----
    A warp whose image is NaN everywhere, or whose mean variance is not positive and
    finite, is left out. LSST: ``AssembleCoaddTask.prepareInputs``.
    """

    sigma_clip: FloatScalar = 3.0
    clip_iter: int = eqx.field(static=True, default=2)

    def weigh_warps(self, stack: WarpStack, bad: int) -> tuple[PerWarp, Present]:
        """Return a weight a warp, and which warps can be used."""
        if stack.weight is not None:
            return stack.weight, stack.present
        weights = inverse_variance_weights(
            stack.variance,
            where=~has_any(stack.mask, bad),
            sigma_clip=self.sigma_clip,
            clip_iter=self.clip_iter,
        )
        empty = jnp.isnan(stack.image).all(axis=(1, 2))
        usable = stack.present & (weights > 0) & ~empty
        return jnp.where(usable, _as_stored(weights), 0), usable

    def weigh_pixels(
        self, weights: PerWarp, variances: Values
    ) -> tuple[Weights, PixelValues | FloatScalar]:
        """Return the weights of a run of pixels, and the unit they are in."""
        unit = power_of_two(jnp.abs(weights).max())
        return (weights / unit)[:, None], unit


class VarianceWeights(AbstractWeighting):
    """The inverse of each pixel's own variance.

    As in the original, a variance of 0 gives an infinite weight and a negative one a
    negative weight; nothing is skipped for it.
    """

    def weigh_warps(self, stack: WarpStack, bad: int) -> tuple[PerWarp, Present]:
        """Return ones, and the warps that are present."""
        return jnp.ones_like(stack.zero_point), stack.present

    def weigh_pixels(
        self, weights: PerWarp, variances: Values
    ) -> tuple[Weights, PixelValues | FloatScalar]:
        """Return the inverse variances, in units of the largest finite one."""
        inverse = _as_stored(1 / variances)
        size = fold_warps(
            lambda most, row: jnp.maximum(
                most, jnp.where(jnp.isfinite(row), jnp.abs(row), 0)
            ),
            jnp.zeros_like(inverse[0]),
            inverse,
        )
        unit = power_of_two(size)
        return inverse / unit[None], unit


class EqualWeights(AbstractWeighting):
    """No weights: every input counts as 1."""

    def weigh_warps(self, stack: WarpStack, bad: int) -> tuple[PerWarp, Present]:
        """Return ones, and the warps that are present."""
        return jnp.ones_like(stack.zero_point), stack.present

    def weigh_pixels(
        self, weights: PerWarp, variances: Values
    ) -> tuple[Weights, PixelValues | FloatScalar]:
        """Return ones."""
        return jnp.ones_like(weights)[:, None], jnp.ones_like(weights[0])
