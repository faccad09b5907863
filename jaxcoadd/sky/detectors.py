"""Which detectors a patch is warped from: by overlap, and by their PSF."""

import dataclasses
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from astropy.wcs import WCS

from jaxcoadd.sky.boxes import Box
from jaxcoadd.sky.sphere import hulls_overlap

SIGMA_TO_FWHM = math.sqrt(8 * math.log(2))
"""Full width at half maximum of a Gaussian, in standard deviations."""

FALLBACK = "fallback"
"""The key of bands that a table of limits does not name."""


def _each_band(value: float) -> dict[str, float]:
    return dict.fromkeys((*"ugrizy", FALLBACK), value)


@dataclasses.dataclass(frozen=True)
class PsfCuts:
    """Limits for the PSF of a detector in a visit. LSST: PsfWcsSelectImagesTask.

    A limit of None is off, and so is one of 0 but for the three of deltas.

    Parameters
    ----------
    max_fwhm
        Of the PSF, in arcsec. LSST: maxPsfFwhm.
    max_ellipticity_residual
        Of stars against the model. LSST: maxEllipResidual.
    max_size_scatter
        Of stars against the model, in pixels. LSST: maxSizeScatter.
    max_scaled_size_scatter
        The same over the size squared. LSST: maxScaledSizeScatter.
    max_trace_radius_delta
        Largest less smallest size of the model, in pixels.
        LSST: maxPsfTraceRadiusDelta.
    max_aperture_flux_delta
        The same of an aperture's flux. LSST: maxPsfApFluxDelta.
    max_aperture_correction_delta
        The same of the aperture correction. LSST: maxPsfApCorrSigmaScaledDelta.
    min_stars
        Stars that made the model, by band. LSST: minNPsfStarPerBand.
    max_star_ellipticity
        Median of the stars, by band. LSST: maxStarEPerBand.
    max_star_unnormalized_ellipticity
        Median of the stars, by band. LSST: maxStarUnNormalizedEPerBand.

    Raises
    ------
    ValueError
        A table by band without an entry "fallback".
    """

    max_fwhm: float | None = 1.8
    max_ellipticity_residual: float | None = 0.007
    max_size_scatter: float | None = None
    max_scaled_size_scatter: float | None = 0.019
    max_trace_radius_delta: float | None = 0.7
    max_aperture_flux_delta: float | None = 0.24
    max_aperture_correction_delta: float | None = 0.22
    min_stars: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: _each_band(6)
    )
    max_star_ellipticity: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: _each_band(0.4)
    )
    max_star_unnormalized_ellipticity: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: _each_band(2.8)
    )

    def __post_init__(self):
        """Refuse a table that leaves bands without a limit."""
        tables = (
            "min_stars",
            "max_star_ellipticity",
            "max_star_unnormalized_ellipticity",
        )
        for name in tables:
            if FALLBACK not in getattr(self, name):
                raise ValueError(
                    f"{name} has no entry {FALLBACK!r}, for bands that are not in it"
                )


def image_corners(wcs: WCS, box: Box) -> np.ndarray:
    """Return RA and Dec, in degrees, of the corners of an image.

    Parameters
    ----------
    wcs
        With or without distortion; pixels as those of the box.
    box
        The pixels of the image.
    """
    return np.asarray(wcs.all_pix2world(box.corners(), 0))


def select_overlapping(
    corners: Sequence[np.ndarray | None],
    patch_corners: np.ndarray,
    *,
    detectors: Sequence[int] | None = None,
    exclude_detectors: Iterable[int] = (),
) -> list[int]:
    """Return the positions in a list of the images that overlap a patch.

    Parameters
    ----------
    corners
        RA and Dec of the corners of each image in degrees, see `image_corners`; None
        for an image without WCS, which is left out, as are corners that are not finite.
    patch_corners
        Those of the patch, see `Patch.corners`.
    detectors
        The detector of each image.
    exclude_detectors
        Detectors to leave out.

    Returns
    -------
    list of int
        In the order of the images.

    Raises
    ------
    ValueError
        Detectors to leave out, without a detector for each image.

    Notes
    -----
    As LSST's WcsSelectImagesTask: the convex hulls of the corners have to overlap.
    """
    excluded = set(exclude_detectors)
    if detectors is None and excluded:
        raise ValueError("give the detector of each image to exclude some")
    chosen = detectors if detectors is not None else [None] * len(corners)
    return [
        number
        for number, (image, detector) in enumerate(zip(corners, chosen, strict=True))
        if image is not None
        and detector not in excluded
        and hulls_overlap(image, patch_corners)
    ]


def failed_psf_cut(
    row: Mapping[str, Any] | None, cuts: PsfCuts | None = None
) -> str | None:
    """Return the name of the first limit that a detector fails, None if none.

    Parameters
    ----------
    row
        Its row of the visit's summary, by LSST's names of the columns. None if it has
        none, which fails "row". Columns of limits that are off need not be there.
    cuts
        The limits, LSST's by default.

    Raises
    ------
    ValueError
        A column is missing.

    Notes
    -----
    As LSST's PsfWcsSelectImagesTask, in its order. A value has to be within its limit:
    NaN fails, except for the number of stars, which has to be below its limit to fail.
    """
    if row is None:
        return "row"
    try:
        return next(_failed_cuts(row, PsfCuts() if cuts is None else cuts), None)
    except KeyError as error:
        raise ValueError(
            f"the row of a detector has no column {error}, which a limit needs; add "
            "the column or switch the limit off"
        ) from error


def _failed_cuts(row: Mapping[str, Any], cuts: PsfCuts) -> Iterator[str]:
    """Yield the names of the limits that a row fails.

    A column is looked at when a limit is reached that needs it.
    """
    for name, value in _VALUES.items():
        limit = getattr(cuts, name)
        is_on = limit is not None if name in _OFF_BY_NONE_ALONE else bool(limit)
        if is_on and not value(row) <= limit:
            yield name
    least = _of_band(cuts.min_stars, row)
    if least and row["nPsfStar"] < least:
        yield "min_stars"
    for name, column in (
        ("max_star_ellipticity", "starEMedian"),
        ("max_star_unnormalized_ellipticity", "starUnNormalizedEMedian"),
    ):
        limit = _of_band(getattr(cuts, name), row)
        if limit and not row[column] <= limit:
            yield name


def _fwhm(row: Mapping[str, Any]) -> float:
    return row["psfSigma"] * row["pixelScale"] * SIGMA_TO_FWHM


def _ellipticity_residual(row: Mapping[str, Any]) -> float:
    return math.sqrt(
        row["psfStarDeltaE1Median"] ** 2 + row["psfStarDeltaE2Median"] ** 2
    )


_VALUES: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "max_fwhm": _fwhm,
    "max_ellipticity_residual": _ellipticity_residual,
    "max_size_scatter": operator.itemgetter("psfStarDeltaSizeScatter"),
    "max_scaled_size_scatter": operator.itemgetter("psfStarScaledDeltaSizeScatter"),
    "max_trace_radius_delta": operator.itemgetter("psfTraceRadiusDelta"),
    "max_aperture_flux_delta": operator.itemgetter("psfApFluxDelta"),
    "max_aperture_correction_delta": operator.itemgetter("psfApCorrSigmaScaledDelta"),
}

_OFF_BY_NONE_ALONE = {
    "max_trace_radius_delta",
    "max_aperture_flux_delta",
    "max_aperture_correction_delta",
}


def _of_band(table: Mapping[str, float], row: Mapping[str, Any]) -> float:
    return table.get(row["band"], table[FALLBACK])
