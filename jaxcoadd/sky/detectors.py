"""Which detectors a patch is warped from: by overlap, and by their PSF."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
        none, which fails "row".
    cuts
        The limits, LSST's by default.

    Notes
    -----
    As LSST's PsfWcsSelectImagesTask, in its order. A value has to be within its limit:
    NaN fails, except for the number of stars, which has to be below its limit to fail.
    """
    if row is None:
        return "row"
    cuts = PsfCuts() if cuts is None else cuts
    band = row["band"]
    for name, limit, value in _cut_values(row, cuts):
        if not value <= limit:
            return name
    least = _of_band(cuts.min_stars, band)
    if least and row["nPsfStar"] < least:
        return "min_stars"
    for name, column in (
        ("max_star_ellipticity", "starEMedian"),
        ("max_star_unnormalized_ellipticity", "starUnNormalizedEMedian"),
    ):
        limit = _of_band(getattr(cuts, name), band)
        if limit and not row[column] <= limit:
            return name
    return None


def _cut_values(
    row: Mapping[str, Any], cuts: PsfCuts
) -> Iterator[tuple[str, float, float]]:
    """Yield the name, limit and value of each cut that is on and is one number."""
    fwhm = row["psfSigma"] * row["pixelScale"] * SIGMA_TO_FWHM
    residual = math.sqrt(
        row["psfStarDeltaE1Median"] ** 2 + row["psfStarDeltaE2Median"] ** 2
    )
    for name, value in (
        ("max_fwhm", fwhm),
        ("max_ellipticity_residual", residual),
        ("max_size_scatter", row["psfStarDeltaSizeScatter"]),
        ("max_scaled_size_scatter", row["psfStarScaledDeltaSizeScatter"]),
    ):
        if getattr(cuts, name):
            yield name, getattr(cuts, name), value
    for name, column in (
        ("max_trace_radius_delta", "psfTraceRadiusDelta"),
        ("max_aperture_flux_delta", "psfApFluxDelta"),
        ("max_aperture_correction_delta", "psfApCorrSigmaScaledDelta"),
    ):
        if getattr(cuts, name) is not None:
            yield name, getattr(cuts, name), row[column]


def _of_band(table: Mapping[str, float], band: str) -> float:
    return table.get(band, table[FALLBACK])
