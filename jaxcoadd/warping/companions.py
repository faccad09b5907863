"""Images that go with the warp of an exposure: its masked fraction, and noise alone."""

import zlib
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxcoadd.arrays import FloatScalar
from jaxcoadd.exposures import (
    Exposure,
    calibrate_exposure,
    draw_noise,
    typical_variance,
    warp_exposure,
)
from jaxcoadd.masks import has_any
from jaxcoadd.resampling import (
    AbstractKernel,
    Bilinear,
    PositionNodes,
    interpolate_positions,
    resample,
)
from jaxcoadd.warps import Warp

MASKED_FRACTION = "MASKED_FRACTION"
"""Name of the image of masked fractions."""

MASKED_PLANES = ("BAD", "SAT", "CR", "BAD_VARIANCE")
"""Planes whose pixels count as masked in it.

Those that LSST interpolates over before it warps, for there the image is made up; and
pixels without a variance.
"""

NOISE_VARIANCE = "NOISE_VARIANCE"
"""Name of the variance that all images of noise have."""


def noise_name(index: int) -> str:
    """Return the name of an image of noise; they count from 0."""
    return f"NOISE{index}"


def noise_key(seed: int, visit: str, detector: str, index: int) -> jax.Array:
    """Return the key that the noise of a detector is drawn with.

    Parameters
    ----------
    seed
        Of a run.
    visit, detector
        Their names, so that noise does not depend on what else is warped.
    index
        Which realisation.
    """
    name = jnp.uint32(zlib.crc32(f"{visit} {detector}".encode()))
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), name), index)


@jax.jit
def warp_masked_fraction(exposure: Exposure, warp: Warp, nodes: PositionNodes) -> Warp:
    """Tell which part of each pixel of a warp is made of masked pixels.

    Parameters
    ----------
    exposure
        The exposure.
    warp
        Its warp.
    nodes
        Where the pixels of the warp are on the detector.

    Returns
    -------
    Warp
        The fractions, from 0 to 1, as its image; NaN where the warp has no data.

    Notes
    -----
    LSST's masked-fraction image, but for the ratio of the pixels' areas, by which that
    is multiplied.
    """
    bits = exposure.planes.bits(MASKED_PLANES)
    masked = has_any(exposure.mask, bits).astype(exposure.image.dtype)
    found = resample(
        masked,
        jnp.zeros_like(masked),
        jnp.zeros_like(exposure.mask),
        interpolate_positions(nodes),
        Bilinear(),
        mask_kernel=None,
        conserve="surface_brightness",
    )
    return _beside(warp, found.image, found.variance)


@partial(jax.jit, static_argnames="kernel")
def warp_noise(
    key: jax.Array,
    exposure: Exposure,
    warp: Warp,
    nodes: PositionNodes,
    zero_point: FloatScalar,
    *,
    kernel: AbstractKernel,
) -> Warp:
    """Draw noise of the typical variance of an exposure, and warp it like that.

    Parameters
    ----------
    key
        See `noise_key`.
    exposure
        The exposure, not yet calibrated.
    warp
        Its warp.
    nodes
        Where the pixels of the warp are on the detector.
    zero_point
        Of the warp.
    kernel
        That the exposure was warped with.

    Returns
    -------
    Warp
        Noise and its variance, with the mask of the warp and no data where that has
        none.
    """
    noise = draw_noise(key, exposure, typical_variance(exposure))
    noise = calibrate_exposure(noise, zero_point)
    found = warp_exposure(noise, interpolate_positions(nodes), kernel)
    return _beside(warp, found.image, found.variance)


def _beside(warp: Warp, image: jax.Array, variance: jax.Array) -> Warp:
    """Put other planes on the pixels where a warp has data."""
    empty = has_any(warp.mask, warp.planes.bits(["NO_DATA"]))
    planes = jnp.where(empty, jnp.nan, image), jnp.where(empty, jnp.inf, variance)
    return eqx.tree_at(lambda w: (w.image, w.variance), warp, planes)
