"""Which visits a patch is coadded from, by their seeing."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from jaxcoadd.sky.detectors import SIGMA_TO_FWHM
from jaxcoadd.sky.sphere import hulls_overlap


@dataclasses.dataclass(frozen=True)
class BestSeeing:
    """Which visits to take by seeing. LSST: BestSeeingSelectVisitsTask.

    Parameters
    ----------
    max_visits
        As many at most, those of best seeing; all if negative. LSST: nVisitsMax.
    max_fwhm
        Of the PSF, in arcsec; off if None or 0. LSST: maxPsfFwhm.
    min_fwhm
        Of the PSF, in arcsec; off if None. LSST: minPsfFwhm.
    confirm_overlap
        Whether a detector has to overlap the patch. LSST: doConfirmOverlap.
    min_mjd, max_mjd
        First and last date, both included. LSST: minMJD, maxMJD.
    min_values
        Least mean over the detectors, by column. LSST: visitSummaryMinValues.
    """

    max_visits: int = 12
    max_fwhm: float | None = 1.5
    min_fwhm: float | None = 0.0
    confirm_overlap: bool = True
    min_mjd: float | None = None
    max_mjd: float | None = None
    min_values: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class SeeingQuantile:
    """Which part of the visits to take. LSST: BestSeeingQuantileSelectVisitsTask.

    Parameters
    ----------
    min_quantile, max_quantile
        The part of the visits, in order of seeing; from 0 to less than 1. LSST: qMin,
        qMax.
    min_visits
        As many at least. LSST: nVisitsMin.
    max_fwhm
        Of the PSF, in arcsec; off if None or 0. LSST: maxPsfFwhm.
    confirm_overlap
        Whether a detector has to overlap the patch. LSST: doConfirmOverlap.
    min_mjd, max_mjd
        Dates that a visit has to lie between. LSST: minMJD, maxMJD.
    min_values
        Least mean over the detectors, by column. LSST: visitSummaryMinValues.

    Raises
    ------
    ValueError
        A quantile that is not from 0 to less than 1.
    """

    min_quantile: float = 0.0
    max_quantile: float = 0.33
    min_visits: int = 6
    max_fwhm: float | None = None
    confirm_overlap: bool = True
    min_mjd: float | None = None
    max_mjd: float | None = None
    min_values: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        """Refuse what is no quantile."""
        for quantile in (self.min_quantile, self.max_quantile):
            if not 0 <= quantile < 1:
                raise ValueError(
                    f"a quantile of visits is from 0 to less than 1, not {quantile}"
                )


@dataclasses.dataclass(frozen=True, eq=False)
class VisitSummary:
    """What is known of a visit; one entry a detector in every array.

    Parameters
    ----------
    visit
        Its number.
    mjd
        Its date.
    psf_sigma
        Size of the PSF in pixels. LSST: psfSigma.
    pixel_scale
        Arcsec per pixel. LSST: pixelScale.
    has_wcs
        Whether the detector has a WCS.
    corners
        RA and Dec of its corners in degrees: detector, corner, 2. LSST: raCorners,
        decCorners.
    columns
        Other columns by name, for `min_values` and `failed_psf_cut`.
    detectors
        Numbers of the detectors.
    """

    visit: int
    mjd: float
    psf_sigma: np.ndarray
    pixel_scale: np.ndarray
    has_wcs: np.ndarray
    corners: np.ndarray
    columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    detectors: np.ndarray | None = None

    def row(self, detector: int) -> dict[str, Any] | None:
        """Return the row of a detector as `failed_psf_cut` takes it, None if none.

        Raises
        ------
        ValueError
            The detectors have no numbers.
        """
        if self.detectors is None:
            raise ValueError(
                f"the detectors of visit {self.visit} have no numbers; give `detectors`"
            )
        (found,) = np.nonzero(np.asarray(self.detectors) == detector)
        if not len(found):
            return None
        sizes = {"psfSigma": self.psf_sigma, "pixelScale": self.pixel_scale}
        return {
            name: values[found[0]] for name, values in {**self.columns, **sizes}.items()
        }


def visit_fwhm(
    visit: VisitSummary, average: Callable[[np.ndarray], np.floating] = np.mean
) -> float:
    """Return the average FWHM of a visit's detectors with a WCS, in arcsec.

    Parameters
    ----------
    visit
        The visit.
    average
        Of numbers, among which there is no NaN: `np.mean` or `np.median`.

    Returns
    -------
    float
        NaN where no detector with a WCS has a PSF.
    """
    return _average(visit, visit.psf_sigma * visit.pixel_scale, average) * SIGMA_TO_FWHM


def visit_overlaps(visit: VisitSummary, patch_corners: np.ndarray) -> bool:
    """Tell whether one of a visit's detectors, with or without WCS, is on a patch."""
    return any(hulls_overlap(corners, patch_corners) for corners in visit.corners)


def select_best_seeing(
    visits: Iterable[VisitSummary],
    patch_corners: np.ndarray,
    config: BestSeeing | None = None,
) -> list[int]:
    """Return the visits of best seeing, the best first.

    Parameters
    ----------
    visits
        Visits to choose from.
    patch_corners
        RA and Dec of the patch's corners, see `Patch.corners`.
    config
        How to choose; as LSST by default.

    Returns
    -------
    list of int
        Numbers of visits in order of their mean FWHM, those of equal FWHM in order of
        number. A FWHM of NaN passes all limits, and comes last. None where LSST would
        say that there is no work.
    """
    config = BestSeeing() if config is None else config

    def is_good(visit: VisitSummary, fwhm: float) -> bool:
        return not (
            _is_below(fwhm, config.min_fwhm)
            or _is_below(visit.mjd, config.min_mjd)
            or _is_below(config.max_mjd, visit.mjd)
        )

    good = _in_order(visits, patch_corners, config, is_good, average=np.mean)
    return good if config.max_visits < 0 else good[: config.max_visits]


def select_seeing_quantile(
    visits: Iterable[VisitSummary],
    patch_corners: np.ndarray,
    config: SeeingQuantile | None = None,
) -> list[int]:
    """Return the visits between two quantiles of seeing, the best first.

    Parameters
    ----------
    visits
        Visits to choose from.
    patch_corners
        RA and Dec of the patch's corners, see `Patch.corners`.
    config
        How to choose; as LSST by default.

    Returns
    -------
    list of int
        As of `select_best_seeing`, but in order of the median FWHM.
    """
    config = SeeingQuantile() if config is None else config

    def is_good(visit: VisitSummary, fwhm: float) -> bool:
        # Unlike those of the best seeing, these limits are not kept themselves.
        return not (
            _is_below(visit.mjd, config.min_mjd, or_equal=True)
            or _is_below(config.max_mjd, visit.mjd, or_equal=True)
        )

    good = _in_order(visits, patch_corners, config, is_good, average=np.median)
    least = config.min_visits
    first = min(round(config.min_quantile * len(good)), max(0, len(good) - least))
    return good[first : max(round(config.max_quantile * len(good)), least)]


def _in_order(
    visits: Iterable[VisitSummary],
    patch_corners: np.ndarray,
    config: BestSeeing | SeeingQuantile,
    is_good: Callable[[VisitSummary, float], bool],
    *,
    average: Callable,
) -> list[int]:
    """Return the visits that pass what both ways ask, and `is_good`, by their FWHM."""
    left = []
    for visit in visits:
        fwhm = visit_fwhm(visit, average)
        too_large = bool(config.max_fwhm) and _is_below(config.max_fwhm, fwhm)
        if too_large or not is_good(visit, fwhm) or not _has_values(visit, config):
            continue
        if not config.confirm_overlap or visit_overlaps(visit, patch_corners):
            left.append((math.inf if math.isnan(fwhm) else fwhm, visit.visit))
    return [number for _, number in sorted(left)]


def _has_values(visit: VisitSummary, config: BestSeeing | SeeingQuantile) -> bool:
    return not any(
        _is_below(_average(visit, visit.columns[name], np.mean), least)
        for name, least in config.min_values.items()
    )


def _is_below(
    value: float | None, limit: float | None, *, or_equal: bool = False
) -> bool:
    """Compare two numbers; None and NaN are no limits."""
    if value is None or limit is None:
        return False
    return value < limit or (or_equal and value == limit)


def _average(visit: VisitSummary, values: np.ndarray, average: Callable) -> float:
    """Return the average of the numbers of the detectors with a WCS."""
    known = values[visit.has_wcs]
    known = known[~np.isnan(known)]
    return float(average(known)) if len(known) else math.nan
