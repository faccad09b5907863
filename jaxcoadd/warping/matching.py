"""Bring the warp of a detector to a model of the point-spread function."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from astropy.wcs import WCS

from jaxcoadd import matching
from jaxcoadd.coadd_psfs import CoaddPsf, PsfInput
from jaxcoadd.inputs import InputRegion
from jaxcoadd.psfs import StampPsf
from jaxcoadd.resampling import AbstractKernel
from jaxcoadd.warps import Warp

KERNEL_SIZE = 21

MARGIN = KERNEL_SIZE // 2
"""Pixels that matching takes off each side of a warp."""

# The PSF is taken also where cells reach beyond the detector.
EVERYWHERE = (-1_000_000, -1_000_000, 1_000_000, 1_000_000)


@dataclasses.dataclass(frozen=True)
class MatchQuality:
    """How well a detector's point-spread function was brought to the model.

    Parameters
    ----------
    size
        Largest difference of sigma from the model's, in pixels.
    ellipticity
        Largest ellipticity that is left.
    peak
        Largest difference of a pixel, in units of the peak of the model.
    noise_gain
        Mean variance of a pixel in units of that before, for white noise.
    correlation
        Mean correlation of a pixel's noise with the next one's, for white noise before.
    """

    size: float
    ellipticity: float
    peak: float
    noise_gain: float
    correlation: float


def match_warp(
    warp: Warp,
    psf: StampPsf,
    detector_wcs: WCS,
    grid_wcs: WCS,
    kernel: AbstractKernel,
    *,
    fwhm: float,
) -> tuple[Warp, MatchQuality]:
    """Convolve the warp of one detector so that its PSF becomes a double Gaussian.

    Parameters
    ----------
    warp
        On the grid and `MARGIN` pixels more on each side.
    psf
        Point-spread function of the detector, in its own pixels.
    detector_wcs, grid_wcs
        WCS of the detector and of the grid.
    kernel
        That the exposure was warped with.
    fwhm
        Of the model, in pixels of the grid.

    Returns
    -------
    warp : Warp
        On the grid.
    quality : MatchQuality
        What is left, at the centres of cells of 128 pixels.

    Raises
    ------
    ValueError
        The PSF is wider than the model, so that the kernel would deconvolve.

    Notes
    -----
    LSST: the PSF-matched warps of ``MakePsfMatchedWarpTask``, detector by detector.
    """
    positions = matching.matching_positions(warp.shape)
    own = CoaddPsf(grid_wcs, [PsfInput(psf, InputRegion(detector_wcs, EVERYWHERE))])
    found = own.kernels(positions[:, ::-1] - MARGIN)
    stamps = square_stamps(found.pixels[found.has_input])
    model_size = matching.model_psf_size(fwhm)
    size = matching.matching_stamp_size(stamps.shape[-1], model_size, KERNEL_SIZE)
    model = matching.gaussian_model_psf(fwhm, size=size).astype(warp.image.dtype)
    stamps = jnp.asarray(stamps, model.dtype)
    matching.check_psf_stamps(stamps, model)
    places = jnp.asarray(positions[found.has_input], model.dtype)
    fitted = _fit(stamps, model, places, shape=warp.shape)
    no_data = warp.planes.bits(["NO_DATA"])
    image, variance, mask = _convolve(warp, fitted, no_data=no_data)
    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    matched = dataclasses.replace(
        warp, image=image[inner], variance=variance[inner], mask=mask[inner]
    )
    return matched, _quality(stamps, model, fitted, places)


@partial(jax.jit, static_argnames="shape")
def _fit(stamps, model, places, *, shape):
    basis = matching.matching_basis(KERNEL_SIZE).astype(model.dtype)
    return matching.fit_kernel(stamps, model, basis, positions=places, shape=shape)


@partial(jax.jit, static_argnames="no_data")
def _convolve(warp, fitted, *, no_data):
    return matching.match_psf(
        warp.image, warp.variance, warp.mask, fitted, no_data=no_data
    )


@jax.jit
def _residuals(stamps, model, fitted, places):
    left = matching.matching_residuals(stamps, model, fitted, positions=places)
    kernels = matching.kernels_at(fitted, places)
    correlation = jax.vmap(matching.noise_correlation)(kernels)
    middle = correlation.shape[-1] // 2
    return left, correlation[:, middle, middle + 1]


def _quality(stamps, model, fitted, places) -> MatchQuality:
    left, correlation = _residuals(stamps, model, fitted, places)
    return MatchQuality(
        size=float(np.abs(left.sigma).max()),
        ellipticity=float(np.hypot(*np.asarray(left.ellipticity).T).max()),
        peak=float(np.max(left.peak)),
        noise_gain=float(np.mean(left.noise_gain)),
        correlation=float(np.mean(correlation)),
    )


def square_stamps(stamps: np.ndarray) -> np.ndarray:
    """Add zeros so that stamps are square."""
    rows, columns = stamps.shape[1:]
    size = max(rows, columns)
    margins = [((size - length) // 2,) * 2 for length in (rows, columns)]
    return np.pad(stamps, [(0, 0), *margins])
