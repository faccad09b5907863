"""The background of an exposure: that of its file, or one measured by photutils."""

import numpy as np

from jaxcoadd.exposures import Exposure
from jaxcoadd.io import InputError
from jaxcoadd.io.exposure_files import BACKGROUND_HDUS, ExposureFile
from jaxcoadd.masks import has_any
from jaxcoadd.warping.settings import WarpSettings

NOT_BACKGROUND = ("NO_DATA", "BAD", "SAT", "EDGE", "BAD_VARIANCE", "DETECTED")
"""Planes whose pixels say nothing of a background.

Those that a coadd rejects unless told otherwise, for they hold no sky, and DETECTED,
for objects are not background. Others, as INTRP, mark pixels that hold the sky as well.
"""

_CLIP = 3.0
# A cell counts if a fifth of its pixels is left.
_LEAST_PERCENT = 80.0


class MissingExtraError(ImportError):
    """A library that is optional is missing; one sentence says how to install it."""


def background_of(
    file: ExposureFile, exposure: Exposure, settings: WarpSettings
) -> np.ndarray | None:
    """Return the background that is to be taken off, (y, x), if any.

    Parameters
    ----------
    file, exposure
        An exposure, and its pixels as read.
    settings
        Which background.

    Raises
    ------
    InputError
        The background cannot be decoded, or that of the file is wanted and there is
        none; not if it is subtracted already.
    MissingExtraError
        It is to be measured, and photutils is not installed.
    """
    kind = settings.background
    missing = file.background is None and not file.sky_subtracted
    if kind == "file" and missing:
        raise InputError(
            f"{file.path} has no HDU {' or '.join(BACKGROUND_HDUS)} with its "
            "background, which is to be subtracted (--background file); add one, set "
            "the card SKYSUB if it is subtracted already, or choose auto, mesh or none"
        )
    if kind == "auto":
        kind = "mesh" if missing and file.sky_subtracted is False else "file"
    if kind == "none":
        return None
    if kind == "file":
        return file.read_background()
    bad = has_any(exposure.mask, exposure.planes.bits(NOT_BACKGROUND))
    return measure_background(
        np.asarray(exposure.image), np.asarray(bad), mesh=settings.mesh
    )


def measure_background(image: np.ndarray, bad: np.ndarray, *, mesh: int) -> np.ndarray:
    """Measure a smooth background: a spline through clipped medians of cells.

    Parameters
    ----------
    image
        Counts, (y, x).
    bad
        Pixels that are left out, (y, x), beside those that are not finite.
    mesh
        Pixels a side of a cell.

    Raises
    ------
    MissingExtraError
        photutils is not installed.

    Notes
    -----
    As SExtractor: 2.5 median - 1.5 mean of each cell, cells smoothed by the median of
    3 x 3. Halos wider than a cell are taken for background.
    """
    try:
        from photutils.background import Background2D, SExtractorBackground
    except ImportError as error:
        raise MissingExtraError(
            "a background is measured by photutils, which is not installed; "
            "pip install 'jaxcoadd[sky]'"
        ) from error
    from astropy.stats import SigmaClip

    left_out = bad | ~np.isfinite(image)
    try:
        found = Background2D(
            np.where(left_out, 0, image),
            box_size=tuple(min(mesh, length) for length in image.shape),
            mask=left_out,
            filter_size=3,
            exclude_percentile=_LEAST_PERCENT,
            sigma_clip=SigmaClip(_CLIP),  # pyright: ignore[reportArgumentType]
            bkg_estimator=SExtractorBackground(),
        )
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"a background cannot be measured in cells of {mesh} pixels ({reason}); "
            "leave the exposure out, or give its background in an HDU SKY"
        ) from error
    return np.asarray(found.background, image.dtype)
