"""What a coadd from exposures has at each place: its inputs, and masked fractions."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt32

from jaxcoadd.assembly.settings import Settings
from jaxcoadd.inputs.input_bits import clear_input_bits, make_input_bits
from jaxcoadd.inputs.input_map import (
    HealSparseMap,
    clear_bad_visits,
    make_input_map,
)
from jaxcoadd.inputs.records import CoaddInputs
from jaxcoadd.io import Grid, open_warp
from jaxcoadd.io.coadd_files import read_plane
from jaxcoadd.io.hdus import read_hdus
from jaxcoadd.warping.companions import MASKED_FRACTION

BadPixels = Iterable[tuple[int, np.ndarray]]
"""The number of each visit, and which pixels of its warp are bad, (y, x)."""


def bad_pixels(
    numbers: Sequence[int], paths: Sequence[str | Path], settings: Settings
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number of each visit, and which pixels of its warp are bad.

    Parameters
    ----------
    numbers, paths
        Of each visit its number, and the file of its warp.
    settings
        Which planes are bad, and which are cleared before.
    """
    bad = {*settings.bad_planes, "BAD_VARIANCE"} - set(settings.remove_planes)
    for number, path in zip(numbers, paths, strict=True):
        file = open_warp(path)
        mask = file.read_rows(0, file.shape[0]).mask
        yield number, (mask & np.uint32(file.planes.bits(bad))) != 0


def map_inputs(inputs: CoaddInputs, grid: Grid, bad: BadPixels) -> HealSparseMap:
    """Map on the sky which detectors a coadd has where.

    Parameters
    ----------
    inputs
        One detector or more.
    grid
        Of the coadd and of the warps.
    bad
        See `bad_pixels`. Where more than half of a HEALPix pixel is bad, the visit
        counts not.

    Raises
    ------
    ImportError
        There is no healsparse.
    """
    rows, box = inputs.detectors, _box(grid)
    found = make_input_map(rows, grid.wcs, box)
    for number, image in bad:
        found = clear_bad_visits(found, rows, {number: image}, grid.wcs, box)
    return found


def map_input_bits(
    inputs: CoaddInputs, grid: Grid, bad: BadPixels
) -> UInt32[np.ndarray, "word y x"]:
    """Map in pixels which detectors a coadd has where.

    Parameters
    ----------
    inputs
        One detector or more.
    grid
        Of the coadd and of the warps.
    bad
        See `bad_pixels`.
    """
    rows = inputs.detectors
    found = make_input_bits(rows, grid.wcs, _box(grid))
    for number, image in bad:
        found = clear_input_bits(found, rows, {number: image})
    return found


def coadd_masked_fraction(
    paths: Sequence[str | Path], weights: Sequence[float], shape: tuple[int, int]
) -> np.ndarray:
    """Return the mean of the masked fractions of warps.

    Parameters
    ----------
    paths
        The files of the warps.
    weights
        Weight of each.
    shape
        Rows and columns.

    Returns
    -------
    ndarray
        From 0 to 1; NaN where no warp has data.
    """
    total, weight = np.zeros(shape), np.zeros(shape)
    for path, of_warp in zip(paths, weights, strict=True):
        fraction = read_plane(read_hdus(path), MASKED_FRACTION)
        known = np.isfinite(fraction)
        total[known] += of_warp * fraction[known]
        weight += of_warp * known
    mean = np.full(shape, np.nan)
    return np.divide(total, weight, out=mean, where=weight > 0).astype(np.float32)


def _box(grid: Grid) -> tuple[int, int, int, int]:
    """Return the first and last column and row of the array, which its WCS is of."""
    return 0, 0, grid.shape[1] - 1, grid.shape[0] - 1
