"""How wide the point-spread functions of exposures are on a grid."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxcoadd import matching
from jaxcoadd.coadd_psfs import CoaddPsf, PsfInput
from jaxcoadd.inputs import InputRegion
from jaxcoadd.io import Grid
from jaxcoadd.warping.matching import EVERYWHERE, square_stamps
from jaxcoadd.warping.run import WarpedVisit

_NARROWEST, _WIDEST = 0.5, 100.0
_STEPS = 14
_STAMP_SIZE = 61


def psf_widths(visits: Sequence[WarpedVisit], grid: Grid) -> list[float]:
    """Return the width of each detector's PSF, at the middle of a grid.

    Parameters
    ----------
    visits
        What warps were made of.
    grid
        Of the warps, with a WCS.

    Returns
    -------
    list of float
        Full width at half maximum, in pixels of the grid, of the narrowest Gaussian
        that the PSF is not wider than; nothing for a detector without a PSF.
    """
    assert grid.wcs is not None
    middle = np.array([[(grid.shape[1] - 1) / 2, (grid.shape[0] - 1) / 2]])
    widths = []
    for visit in visits:
        for file, psf in zip(visit.used, visit.psfs, strict=True):
            if psf is not None:
                region = InputRegion(file.pixels.wcs, EVERYWHERE)
                own = CoaddPsf(grid.wcs, [PsfInput(psf, region)])
                widths.append(_width(square_stamps(own.kernels(middle).pixels)))
    return widths


def _width(stamps: np.ndarray) -> float:
    """Find the narrowest Gaussian by halving what is between two."""
    low, high = _NARROWEST, _WIDEST
    offset = np.arange(max(_STAMP_SIZE, stamps.shape[-1]), dtype=float)
    squared = (offset - len(offset) // 2) ** 2
    for _ in range(_STEPS):
        middle = float(np.sqrt(low * high))
        profile = np.exp(-4 * np.log(2) * squared / middle**2)
        gaussian = jnp.asarray(np.outer(profile, profile), jnp.result_type(float))
        try:
            matching.check_psf_stamps(stamps.astype(gaussian.dtype), gaussian)
            high = middle
        except ValueError:
            low = middle
    return high
