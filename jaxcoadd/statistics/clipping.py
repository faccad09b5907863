"""Rejection of outliers by repeated sigma clipping."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxcoadd.arrays import FloatScalar
from jaxcoadd.folding import fold_warps
from jaxcoadd.stages import compute_once
from jaxcoadd.statistics.moments import moments
from jaxcoadd.statistics.order import quantiles, rejected_value
from jaxcoadd.statistics.samples import Fence, Samples, fence_around

SIGMA_PER_IQR = 0.741301109252802
"""Standard deviation of a Gaussian in units of its interquartile range."""


def sigma_clip(samples: Samples, width: FloatScalar, iterations: int) -> Fence:
    """Find the fence that the last pass of a sigma clip keeps values within.

    Parameters
    ----------
    samples
        The values, with weights.
    width
        Half-width of the fence, in standard deviations.
    iterations
        Number of passes; every pass starts again from all values.

    Returns
    -------
    Fence
        The first pass is median ± width * 0.7413 * interquartile range, unweighted;
        the others are weighted mean ± width * standard deviation of the pass before.
        NaN where the pass before kept one value of several, or none: then the last
        pass keeps nothing.

    Notes
    -----
    Not differentiable, and need not be: a fence only decides what is kept, so the
    derivative of a clipped mean through it is zero wherever it exists.
    """
    samples = jax.tree.map(lax.stop_gradient, samples)
    centre, narrow = compute_once(_first_fence, samples, width)
    if samples.values.dtype == jnp.float64:
        # Enough digits for a centre in one piece, as the original has it: whether a
        # single value that is left lies within a width of 0 hangs on the last one.
        fence = Fence(jnp.where(jnp.isnan(centre), centre, 0), centre, narrow)
    else:
        shift = compute_once(_way_to_median, samples, centre)
        fence = Fence(centre, shift, narrow)
    for _ in range(iterations - 1):
        shift, half_width = compute_once(_next_fence, samples, fence, narrow, width)
        fence = Fence(fence.origin, shift, half_width)
    return fence


def _first_fence(samples, width):
    """Return a centre and the half-width of the first pass.

    In 64 bits the centre is the median, in 32 bits the value at or below it.
    """
    found = quantiles(samples.values, samples.count, (0.25, 0.5, 0.75))
    wide = samples.values.dtype == jnp.float64
    centre = found[1] if wide else found.origin
    half_width = width * SIGMA_PER_IQR * (found.offsets[2] - found.offsets[0])
    return centre, fence_around(centre, jnp.zeros_like(centre), half_width).half_width


def _way_to_median(samples, lower):
    """Return how far the median is from the value at or below it: 0 for odd counts."""
    none = rejected_value(lower.dtype)
    zero = jnp.zeros_like(lower)
    upto, above = fold_warps(
        lambda found, x: (
            jnp.where(x <= lower, found[0] + 1, found[0]),
            jnp.where((x > lower) & (x < found[1]), x, found[1]),
        ),
        (zero, jnp.full_like(lower, none)),
        samples.values,
    )
    half = 0.5 * samples.count
    between = (half == jnp.floor(half)) & (upto == half)
    return jnp.where(between, 0.5 * (jnp.where(between, above, lower) - lower), zero)


def _next_fence(samples, fence, narrow, width):
    kept = moments(samples, fence)
    half_width = width * jnp.sqrt(_not_negative(kept.variance))
    half_width = jnp.where(samples.count <= 1, narrow, half_width)
    return fence_around(fence.origin, kept.mean_shift, half_width)[1:]


def _not_negative(variance):
    """Take a negative variance, which is round-off, as 0; NaN stays."""
    return jnp.where(variance < 0, 0, variance)
