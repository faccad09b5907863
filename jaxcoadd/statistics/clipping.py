"""Rejection of outliers by repeated sigma clipping."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxcoadd.arrays import FloatScalar
from jaxcoadd.statistics.moments import moments
from jaxcoadd.statistics.order import quantiles
from jaxcoadd.statistics.samples import Fence, Samples

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
    count = samples.count
    found = quantiles(samples.values, count, (0.25, 0.5, 0.75))
    half_width = width * SIGMA_PER_IQR * (found.offsets[2] - found.offsets[0])
    origin, shift = found.origin, found.offsets[1]
    if samples.values.dtype == jnp.float64:
        # Enough digits for a centre in one piece, as the original has it: whether a
        # single value that is left lies within a width of 0 hangs on the last one.
        origin, shift = jnp.zeros_like(origin), found[1]
    # Barriers keep XLA from running the network once more for each sum.
    fence = Fence(*lax.optimization_barrier((origin, shift, half_width)))
    narrow = fence.half_width
    for _ in range(iterations - 1):
        kept = moments(samples, fence)
        half_width = width * jnp.sqrt(_not_negative(kept.variance))
        half_width = jnp.where(count <= 1, narrow, half_width)
        fence = Fence(
            *lax.optimization_barrier((fence.origin, kept.mean_shift, half_width))
        )
    return fence


def _not_negative(variance):
    """Take a negative variance, which is round-off, as 0; NaN stays."""
    return jnp.where(variance < 0, 0, variance)
