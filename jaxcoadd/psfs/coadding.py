"""The point-spread function of a coadd: the weighted mean of those of its inputs."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcoadd.arrays import Image, Images, PerWarp, Present
from jaxcoadd.psfs.stamps import StampPsf, psf_kernel_at, shift_stamp
from jaxcoadd.psfs.warping import warp_psf
from jaxcoadd.resampling import AbstractKernel


class PsfSamples(eqx.Module):
    """Where and how inputs are seen from one position of a coadd, or from several.

    Parameters
    ----------
    position
        Source position of the coadd's pixel, (x, y) on the input.
    fraction
        By how much that is off the centre of the input's pixel, (x, y).
    matrix
        Offsets on the input by offsets on the coadd, (x, y).
    half_size
        Rows and columns on either side of the middle of the warped stamp.
    weight
        Weight in the mean.
    used
        Whether the input is there.
    """

    position: Float[Array, "*input 2"]
    fraction: Float[Array, "*input 2"]
    matrix: Float[Array, "*input 2 2"]
    half_size: Int[Array, "*input 2"]
    weight: Float[Array, "*input"]
    used: Bool[Array, "*input"]


def coadd_psf(
    stamps: Images, weights: PerWarp, used: Present
) -> tuple[Image, Bool[Array, ""]]:
    """Return the weighted mean of stamps.

    Parameters
    ----------
    stamps
        One an input, on the grid of the coadd and each of sum 1.
    weights
        The inputs' weights, of either sign.
    used
        Whether an input is there; if not, its stamp does not matter.

    Returns
    -------
    stamp
        The mean; all NaN where there is no input, or the weights add up to 0.
    has_input
        Whether there is an input.

    Notes
    -----
    Smooth in stamps and weights. LSST: ``CoaddPsf``.
    """
    weights = jnp.where(used, weights, 0)
    total = jnp.sum(weights)
    summed = jnp.sum(
        weights[:, None, None] * jnp.where(used[:, None, None], stamps, 0), axis=0
    )
    mean = summed / jnp.where(total == 0, 1, total)
    return jnp.where(total == 0, jnp.nan, mean), jnp.any(used)


def warp_psf_at(
    psf: StampPsf,
    sample: PsfSamples,
    kernel: AbstractKernel,
    *,
    size: tuple[int, int],
) -> Image:
    """Return the point-spread function of one input on the grid of the coadd.

    Parameters
    ----------
    psf
        The point-spread function of the input.
    sample
        Where and how the input is seen; without an axis of inputs.
    kernel
        The kernel that the image was warped with.
    size
        Rows and columns of the result, odd.

    Notes
    -----
    `psf_kernel_at`, `shift_stamp` and `warp_psf` in turn, and smooth as those are.
    """
    stamp = psf_kernel_at(psf, sample.position)
    return warp_psf(
        shift_stamp(stamp, sample.fraction, psf.half_size),
        psf.half_size,
        sample.matrix,
        sample.fraction,
        kernel,
        size=size,
        warped_half_size=sample.half_size,
    )


def coadd_psf_at(
    psfs: StampPsf,
    samples: PsfSamples,
    kernel: AbstractKernel,
    *,
    size: tuple[int, int],
) -> tuple[Image, Bool[Array, ""]]:
    """Return the point-spread function of a coadd at one position.

    Parameters
    ----------
    psfs
        Those of the inputs, by `stack_psfs`.
    samples
        Where and how each input is seen from the position.
    kernel
        The kernel that the images were warped with.
    size
        Rows and columns of the result, odd.

    Returns
    -------
    stamp, has_input
        As `coadd_psf` returns them.

    Notes
    -----
    Map it over positions. Smooth in stamps, weights, matrices and fractions.
    """
    stamps = jax.vmap(lambda psf, sample: warp_psf_at(psf, sample, kernel, size=size))(
        psfs, samples
    )
    return coadd_psf(stamps, samples.weight, samples.used)
