"""The point-spread function of a coadd that was made from exposures."""

from collections.abc import Mapping, Sequence

import numpy as np

from jaxcoadd.assembly.coadd_psf import CoaddPsf, PsfInput
from jaxcoadd.io import Grid
from jaxcoadd.resampling import AbstractKernel
from jaxcoadd.sky.psf_inputs import InputRegion
from jaxcoadd.warping import WarpedVisit


def coadd_psf_of(
    visits: Sequence[WarpedVisit],
    weights: Mapping[str, float],
    grid: Grid,
    kernel: AbstractKernel,
) -> CoaddPsf | None:
    """Gather the point-spread functions of the exposures that a coadd is made of.

    Parameters
    ----------
    visits
        What the warps were made of.
    weights
        Weight of each visit that is in the coadd, by identifier.
    grid
        Of the coadd.
    kernel
        That the exposures were warped with.

    Returns
    -------
    CoaddPsf or None
        None if no exposure in the coadd has a point-spread function.
    """
    inputs = []
    for warped in visits:
        weight = weights.get(warped.visit.identifier)
        if weight is None:
            continue
        pixels = np.asarray(warped.detectors["good_pixels"])
        for file, psf, n_pixels in zip(warped.used, warped.psfs, pixels, strict=True):
            if psf is None:
                continue
            height, width = file.pixels.shape
            region = InputRegion(file.pixels.wcs, (0, 0, width - 1, height - 1))
            inputs.append(PsfInput(psf, region, weight, float(n_pixels)))
    return CoaddPsf(grid.wcs, inputs, kernel) if inputs else None
