"""Warp the detectors of one visit, and merge them."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from astropy.table import Table

from jaxcoadd.exposures import (
    Exposure,
    calibrate_exposure,
    merge_detectors,
    subtract_background,
    warp_exposure,
)
from jaxcoadd.io import Grid, InputError
from jaxcoadd.io.exposure_files import ExposureFile
from jaxcoadd.psfs import StampPsf, make_stamp_psf
from jaxcoadd.resampling import (
    PositionNodes,
    as_position_nodes,
    interpolate_positions,
)
from jaxcoadd.sky import node_coordinates, pixel_mapping
from jaxcoadd.warping.backgrounds import background_of
from jaxcoadd.warping.companions import (
    MASKED_FRACTION,
    NOISE_VARIANCE,
    noise_key,
    noise_name,
    warp_masked_fraction,
    warp_noise,
)
from jaxcoadd.warping.matching import MARGIN, MatchQuality, match_warp
from jaxcoadd.warping.settings import WarpSettings, kernel_of
from jaxcoadd.warping.visits import Skipped, Visit
from jaxcoadd.warps import Warp


class _OffGridError(InputError):
    """An exposure has no pixel on the grid, and nothing is wrong with it."""


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
    companions
        Images that go with the warp, by name: the masked fraction, noise and its
        variance. A matched warp has none.
    """

    visit: Visit
    warp: Warp | None
    detectors: Table
    used: tuple[ExposureFile, ...]
    psfs: tuple[StampPsf | None, ...]
    matches: tuple[MatchQuality, ...]
    skipped: tuple[Skipped, ...]
    companions: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class _WarpedDetector:
    """The warp of one exposure, its PSF, how well that was matched, and companions."""

    warp: Warp
    psf: StampPsf | None
    match: MatchQuality | None
    companions: Mapping[str, Warp]


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
    found: list[_WarpedDetector] = []
    used, skipped = [], []
    for file in visit.exposures:
        try:
            found.append(_warp_detector(file, grid, settings))
        except InputError as error:
            fault = not isinstance(error, _OffGridError)
            skipped.append(Skipped(file.path, str(error), fault))
            continue
        used.append(file)
    merged, n_good = _merge([one.warp for one in found]) if found else (None, [])
    return WarpedVisit(
        visit,
        merged,
        _rows(used, np.asarray(n_good)),
        tuple(used),
        tuple(one.psf for one in found),
        tuple(one.match for one in found if one.match is not None),
        tuple(skipped),
        _merge_companions([one.companions for one in found]),
    )


def _merge_companions(
    companions: Sequence[Mapping[str, Warp]],
) -> dict[str, np.ndarray]:
    """Merge what goes with the warps of detectors, as these are merged."""
    merged = {}
    for name in companions[0] if companions else ():
        warp, _ = _merge([of[name] for of in companions])
        merged[name] = np.asarray(warp.image)
        if name != MASKED_FRACTION:
            # That of all images of noise.
            merged[NOISE_VARIANCE] = np.asarray(warp.variance)
    return merged


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
    file: ExposureFile, grid: Grid, settings: WarpSettings
) -> _WarpedDetector:
    """Warp one exposure; `InputError` if that is not possible, or brings no pixel."""
    psf = _read_psf(file)
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
        raise _OffGridError(f"{file.path} does not overlap the grid; leave it out")
    background = background_of(file, exposure, settings)
    nodes = as_position_nodes(coordinates, shape=shape, spacing=settings.spacing)
    warp = _warp(
        exposure,
        jnp.zeros_like(exposure.image) if background is None else background,
        nodes,
        settings.zero_point,
        kernel=kernel_of(settings.kernel),
    )
    quality = None
    if psf is not None and settings.match_fwhm is not None:
        warp, quality = _match(warp, psf, file, grid, settings)
    if not np.isfinite(np.asarray(warp.image)).any():
        empty = not np.isfinite(np.asarray(exposure.image)).any()
        raise (InputError if empty else _OffGridError)(
            f"{file.path} has no pixel with data on the grid; leave it out"
        )
    matched = settings.match_fwhm is not None
    companions = {} if matched else _companions(file, exposure, warp, nodes, settings)
    return _WarpedDetector(warp, psf, quality, companions)


def _companions(
    file: ExposureFile,
    exposure: Exposure,
    warp: Warp,
    nodes: PositionNodes,
    settings: WarpSettings,
) -> dict[str, Warp]:
    """Make what goes with the warp of an exposure."""
    made = {MASKED_FRACTION: warp_masked_fraction(exposure, warp, nodes)}
    for index in range(settings.noise_realizations):
        key = noise_key(
            settings.seed, file.pixels.identifier, file.detector or "", index
        )
        made[noise_name(index)] = warp_noise(
            key,
            exposure,
            warp,
            nodes,
            settings.zero_point,
            kernel=kernel_of(settings.kernel),
        )
    return made


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
