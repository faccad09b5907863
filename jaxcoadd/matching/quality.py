"""What a matched image is worth: how near its PSF is, and how its noise correlates."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcoadd.arrays import Image

from .fitting import Centres, Stamps, convolve_stamp, pad_stamps
from .kernels import KernelModel, kernels_at
from .shapes import PerCell, is_usable, is_wider, stamp_shapes


class MatchingResiduals(eqx.Module):
    """How matched PSFs differ from the model, one entry a position.

    Parameters
    ----------
    sigma
        Sigma of the matched PSF less that of the model, in pixels.
    ellipticity
        (e1, e2) of the matched PSF less that of the model.
    peak
        Largest difference of a pixel, in units of the peak of the model.
    noise_gain
        Sum of the squares of the kernel: the variance of a pixel, of white noise, in
        units of that before matching. Above 1 matching amplifies noise, be it because
        it deconvolves or because the kernel is too small for the wings of the model.
    deconvolves
        Whether the PSF was wider than the model. The result may still match well, but
        at the cost of noise; take a model with a larger FWHM.
    """

    sigma: PerCell
    ellipticity: Float[Array, "cell 2"]
    peak: PerCell
    noise_gain: PerCell
    deconvolves: Bool[Array, " cell"]


def matched_stamps(
    psf_stamps: Stamps, kernel_model: KernelModel, *, positions: Centres, size: int
) -> Stamps:
    """Return what matching makes of PSFs.

    Parameters
    ----------
    psf_stamps
        The PSF at each position, of odd size.
    kernel_model
        The kernel.
    positions
        Pairs (y, x), in pixels of the region.
    size
        Rows and columns of the result; odd, and not less than those of the PSFs.

    Returns
    -------
    Float[Array, "cell y x"]
        PSFs convolved with the kernel at their position; NaN for a PSF that is not
        finite or is 0 all over.

    Notes
    -----
    Differentiable in PSFs and kernel.
    """
    usable = is_usable(psf_stamps)[:, None, None]
    stamps = pad_stamps(jnp.where(usable, psf_stamps, 0), size)
    kernels = kernels_at(kernel_model, jnp.asarray(positions)).astype(stamps.dtype)
    convolve = jax.vmap(lambda stamp, kernel: convolve_stamp(stamp, kernel[None])[0])
    return jnp.where(usable, convolve(stamps, kernels), jnp.nan)


def matching_residuals(
    psf_stamps: Stamps, model: Image, kernel_model: KernelModel, *, positions: Centres
) -> MatchingResiduals:
    """Compare PSFs after matching with the model.

    Parameters
    ----------
    psf_stamps
        The PSF at each position, of odd size, not larger than the model.
    model
        The PSF that was wanted.
    kernel_model
        The kernel, from `fit_kernel`.
    positions
        Pairs (y, x), in pixels of the region; those of the fit, or others between them,
        which tell whether the polynomials follow the PSF.

    Returns
    -------
    MatchingResiduals
        NaN, and no deconvolution, for a PSF that is not finite or is 0 all over.

    Notes
    -----
    Differentiable in PSFs, model and kernel. Sizes and ellipticities are of second
    moments weighted with the model: those without a weight are of the wings alone.
    """
    model = model.astype(psf_stamps.dtype)
    matched = matched_stamps(
        psf_stamps, kernel_model, positions=positions, size=model.shape[0]
    )
    before = pad_stamps(psf_stamps, model.shape[0])
    own_sigma, own_ellipticity = stamp_shapes(model[None], model)
    sigma, ellipticity = stamp_shapes(matched, model)
    kernels = kernels_at(kernel_model, jnp.asarray(positions))
    difference = jnp.abs(matched - model[None])
    # The largest of NaN alone is minus infinity on some devices.
    peak = jnp.max(difference, axis=(1, 2)) / jnp.max(model)
    usable = is_usable(psf_stamps)
    return MatchingResiduals(
        sigma=sigma - own_sigma,
        ellipticity=ellipticity - own_ellipticity,
        peak=jnp.where(usable, peak, jnp.nan),
        noise_gain=jnp.where(usable, jnp.sum(kernels**2, axis=(1, 2)), jnp.nan),
        deconvolves=is_wider(before, model),
    )


def noise_correlation(kernel: Image) -> Float[Array, "lag_y lag_x"]:
    """Return how noise correlates between pixels after convolution with a kernel.

    Parameters
    ----------
    kernel
        The kernel at a position, as from `kernels_at`.

    Returns
    -------
    Float[Array, "lag_y lag_x"]
        Its autocorrelation, in units of that at lag 0, which is the central pixel:
        ``sum k(t) k(t + d) / sum k(t)**2`` for lags d up to the size of the kernel less
        1 in either direction. Symmetric about the centre.

    Raises
    ------
    ValueError
        The kernel is not a square of odd size.

    Notes
    -----
    Differentiable in the kernel. White noise of variance V becomes noise whose pixels
    have the variance ``V sum k**2``, which is all that the variance plane says, and the
    covariance of two pixels at lag d is that times this correlation. A sum over an
    aperture that is large against the kernel has as much noise as before matching, so
    that the sum of the variance plane over it is too small, by the factor
    ``sum k**2``, one over the sum of this correlation, for a kernel of sum 1.

    Examples
    --------
    >>> kernel = jnp.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.5], [0.0, 0.0, 0.0]])
    >>> noise_correlation(kernel)[2]
    Array([0.5, 0. , 1. , 0. , 0.5], dtype=float32)
    """
    rows, columns = kernel.shape
    if rows != columns or rows % 2 == 0:
        raise ValueError(
            f"the kernel is {rows} by {columns} pixels; it must be a square of odd size"
        )
    found = jax.scipy.signal.correlate2d(
        kernel, kernel, mode="full", precision=jax.lax.Precision.HIGHEST
    )
    return found / found[rows - 1, rows - 1]
