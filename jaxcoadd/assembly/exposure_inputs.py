"""What a coadd from exposures remembers of them: tables, and its PSF."""

from collections.abc import Sequence

import numpy as np
from astropy.io import fits

from jaxcoadd.coadd_psfs import CoaddPsf, PsfInput
from jaxcoadd.inputs.records import (
    FILTER_LENGTH,
    CoaddInputs,
    DetectorInput,
    VisitInput,
)
from jaxcoadd.inputs.regions import InputRegion
from jaxcoadd.inputs.tables import detector_table, sort_inputs, visit_table
from jaxcoadd.io import Grid
from jaxcoadd.io.psf_grids import psf_grid_hdus
from jaxcoadd.resampling import AbstractKernel
from jaxcoadd.warping import WarpedVisit


def gather_inputs(
    visits: Sequence[WarpedVisit], weights: Sequence[float], grid: Grid
) -> CoaddInputs:
    """Gather the visits that are in a coadd, and their detectors.

    Parameters
    ----------
    visits
        What the warps in the coadd were made of.
    weights
        Weight of each of them.
    grid
        Of the coadd.

    Returns
    -------
    CoaddInputs
        Visits have the number of their identifier; where one is no number, all are
        counted from 1. Detectors without a number have -1.
    """
    numbers = visit_numbers(visits)
    rows: list[VisitInput] = []
    detectors: list[DetectorInput] = []
    for number, warped, weight in zip(numbers, visits, weights, strict=True):
        pixels = np.asarray(warped.detectors["good_pixels"])
        rows.append(
            VisitInput(
                number,
                _box(grid.shape, grid.origin),
                goodpix=int(pixels.sum()),
                weight=weight,
                filter=_band(warped),
                wcs=grid.wcs,
            )
        )
        for file, psf, n_pixels in zip(warped.used, warped.psfs, pixels, strict=True):
            name = file.detector or ""
            detectors.append(
                DetectorInput(
                    len(detectors),
                    number,
                    int(name) if name.isdecimal() else -1,
                    _box(file.pixels.shape),
                    file.pixels.wcs,
                    goodpix=int(n_pixels),
                    weight=weight,
                    filter=(file.pixels.band or "")[:FILTER_LENGTH],
                    psf=psf,
                )
            )
    return sort_inputs(rows, detectors)


def visit_numbers(visits: Sequence[WarpedVisit]) -> list[int]:
    """Return the number of each visit in the tables, see `gather_inputs`."""
    names = [one.visit.identifier for one in visits]
    numbers = [int(name) for name in names if name.isdecimal()]
    if len(set(numbers)) < len(names) or max(numbers, default=0) >= 1 << 63:
        return list(range(1, 1 + len(names)))
    return numbers


def coadd_psf_of(
    inputs: CoaddInputs, grid: Grid, kernel: AbstractKernel
) -> CoaddPsf | None:
    """Return the PSF of a coadd; None if any input is without one.

    Parameters
    ----------
    inputs
        What the coadd is made of.
    grid
        Of the coadd.
    kernel
        That the exposures were warped with.
    """
    found = [
        PsfInput(
            row.psf,
            InputRegion(row.wcs, row.box, row.polygon),
            row.weight,
            float(row.goodpix),
        )
        for row in inputs.detectors
        if row.psf is not None
    ]
    whole = found and len(found) == len(inputs.detectors)
    return CoaddPsf(grid.wcs, found, kernel) if grid.wcs and whole else None


def input_hdus(
    inputs: CoaddInputs, grid: Grid, kernel: AbstractKernel
) -> tuple[fits.ImageHDU | fits.BinTableHDU, ...]:
    """Return HDUs of the tables of visits and detectors, and of the coadd's PSF."""
    tables = []
    for name, table in {
        "VISITS": visit_table(inputs),
        "DETECTORS": detector_table(inputs),
    }.items():
        hdu = fits.table_to_hdu(table)
        hdu.name = name
        tables.append(hdu)
    psf = coadd_psf_of(inputs, grid, kernel)
    return (*tables, *(() if psf is None else psf_grid_hdus(psf.grid(grid.shape))))


def _box(
    shape: tuple[int, int], origin: tuple[int, int] = (0, 0)
) -> tuple[int, int, int, int]:
    """Return the first and last column and row of an image."""
    x, y = origin
    return x, y, x + shape[1] - 1, y + shape[0] - 1


def _band(warped: WarpedVisit) -> str:
    """Return the filter that the exposures of a visit share."""
    bands = {file.pixels.band or "" for file in warped.used}
    return bands.pop()[:FILTER_LENGTH] if len(bands) == 1 else ""
