"""Warp the detectors of one visit, and merge them."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from astropy.table import Table

from jaxcoadd.exposures import (
    calibrate_exposure,
    merge_detectors,
    subtract_background,
    warp_exposure,
)
from jaxcoadd.io import Grid, InputError
from jaxcoadd.io.exposure_files import ExposureFile
from jaxcoadd.psfs import StampPsf, make_stamp_psf
from jaxcoadd.resampling import as_position_nodes, interpolate_positions
from jaxcoadd.sky import node_coordinates, pixel_mapping
from jaxcoadd.warping.backgrounds import background_of
from jaxcoadd.warping.matching import MARGIN, MatchQuality, match_warp
from jaxcoadd.warping.settings import WarpSettings, kernel_of
from jaxcoadd.warping.visits import Skipped, Visit
from jaxcoadd.warps import Warp


@dataclasses.dataclass(frozen=True, eq=False)
class WarpedVisit:
    """A warp, and what it was made of.

    Parameters
    ----------
    visit
        The visit.
    warp
        Its detectors on the grid, merged; None if none has a pixel there.
    detectors
        One row a detector that brought pixels: file, detector, box on the detector,
        good pixels, zero point.
    used
        Their exposures, in the same order.
    psfs
        Their point-spread functions, in the same order; None for those without.
    matches
        How well these were matched to a model, in the same order; empty if not.
    skipped
        Files that brought none, and why.
    """

    visit: Visit
    warp: Warp | None
    detectors: Table
    used: tuple[ExposureFile, ...]
    psfs: tuple[StampPsf | None, ...]
    matches: tuple[MatchQuality, ...]
    skipped: tuple[Skipped, ...]


@partial(jax.jit, static_argnames="kernel")
def _warp(exposure, background, nodes, zero_point, *, kernel):
    positions = interpolate_positions(nodes)
    exposure = subtract_background(exposure, background)
    exposure = calibrate_exposure(exposure, zero_point)
    return warp_exposure(exposure, positions, kernel)


_merge = jax.jit(merge_detectors)


def warp_visit(visit: Visit, grid: Grid, settings: WarpSettings) -> WarpedVisit:
    """Warp all detectors of a visit onto a grid and merge them.

    Parameters
    ----------
    visit
        The exposures.
    grid
        With a WCS.
    settings
        How to.

    Raises
    ------
    InputError
        The grid has no WCS.
    MissingExtraError
        A background is to be measured, and photutils is not installed.
    """
    if grid.wcs is None:
        raise InputError("the grid has no WCS of the sky; name a file that has one")
    warps, used, psfs, matches, skipped = [], [], [], [], []
    for file in visit.exposures:
        try:
            psf = _read_psf(file)
            warp, quality = _warp_detector(file, psf, grid, settings)
        except InputError as error:
            skipped.append(Skipped(file.path, str(error)))
            continue
        warps.append(warp)
        used.append(file)
        psfs.append(psf)
        matches += [] if quality is None else [quality]
    merged, n_good = _merge(warps) if warps else (None, [])
    rows = _rows(used, np.asarray(n_good))
    return WarpedVisit(
        visit, merged, rows, tuple(used), tuple(psfs), tuple(matches), tuple(skipped)
    )


def _read_psf(file: ExposureFile) -> StampPsf | None:
    """Read the point-spread function of an exposure, if it has one."""
    stamp = file.read_psf()
    if stamp is None:
        return None
    try:
        return make_stamp_psf(stamp)
    except ValueError as error:
        raise InputError(
            f"{file.psf} cannot be a point-spread function: {error}"
        ) from error


def _warp_detector(
    file: ExposureFile, psf: StampPsf | None, grid: Grid, settings: WarpSettings
) -> tuple[Warp, MatchQuality | None]:
    """Warp one exposure; `InputError` if that is not possible, or brings no pixel."""
    exposure = file.read()
    try:
        mapping = pixel_mapping(file.pixels.wcs, grid.wcs)
    except ValueError as error:
        raise InputError(f"{file.path} cannot be placed: {error}") from error
    margin = 0 if settings.match_fwhm is None else MARGIN
    shape = (grid.shape[0] + 2 * margin, grid.shape[1] + 2 * margin)
    coordinates = node_coordinates(
        mapping, shape, spacing=settings.spacing, target_origin=(-margin, -margin)
    )
    if not _may_overlap(coordinates, file.pixels.shape):
        raise InputError(f"{file.path} does not overlap the grid; leave it out")
    background = background_of(file, exposure, settings)
    warp = _warp(
        exposure,
        jnp.zeros_like(exposure.image) if background is None else background,
        as_position_nodes(coordinates, shape=shape, spacing=settings.spacing),
        settings.zero_point,
        kernel=kernel_of(settings.kernel),
    )
    quality = None
    if psf is not None and settings.match_fwhm is not None:
        warp, quality = _match(warp, psf, file, grid, settings)
    if not np.isfinite(np.asarray(warp.image)).any():
        raise InputError(
            f"{file.path} has no pixel with data on the grid; leave it out"
        )
    return warp, quality


def _match(
    warp: Warp,
    psf: StampPsf,
    file: ExposureFile,
    grid: Grid,
    settings: WarpSettings,
) -> tuple[Warp, MatchQuality]:
    assert settings.match_fwhm is not None and grid.wcs is not None
    try:
        return match_warp(
            warp,
            psf,
            file.pixels.wcs,
            grid.wcs,
            kernel_of(settings.kernel),
            fwhm=settings.match_fwhm,
        )
    except ValueError as error:
        raise InputError(f"{file.psf} cannot be matched: {error}") from error


def _may_overlap(nodes: np.ndarray, shape: tuple[int, int]) -> bool:
    """Tell whether the grid, seen from the detector, reaches its rows and columns."""
    known = np.isfinite(nodes).all(axis=0)
    if not known.any():
        return False
    low, high = (limit(nodes[:, known], axis=1) for limit in (np.min, np.max))
    return bool(((high > 0) & (low < np.array(shape) - 1)).all())


def _rows(used: list[ExposureFile], n_good: np.ndarray | list[int]) -> Table:
    """Make the table of the detectors."""
    names = ("file", "detector", "width", "height", "good_pixels", "zero_point")
    kinds = (str, str, int, int, int, float)
    rows = [
        (
            str(file.path),
            file.detector or "",
            file.pixels.shape[1],
            file.pixels.shape[0],
            int(good),
            float(file.pixels.zero_point or np.nan),
        )
        for file, good in zip(used, n_good, strict=True)
    ]
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return Table(
        {
            name: np.array(column, dtype=kind)
            for name, kind, column in zip(names, kinds, columns, strict=True)
        }
    )
