"""Sky to pixels and back, by astropy's WCS without distortion."""

import numpy as np
from astropy.wcs import WCS
from numpy.typing import ArrayLike


def make_wcs(
    ra: float,
    dec: float,
    *,
    projection: str,
    pixel_scale: float,
    rotation: float,
    reference: tuple[float, float] = (0, 0),
) -> WCS:
    """Make the WCS of a projection.

    Parameters
    ----------
    ra, dec
        Sky position of the reference pixel, ICRS, in degrees.
    projection
        The three letters that FITS has for it.
    pixel_scale
        Arcsec per pixel.
    rotation
        In degrees.
    reference
        The reference pixel (x, y), which counts from 0.
    """
    scale, angle = pixel_scale / 3600, np.radians(rotation)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = np.add(reference, 1)
    wcs.wcs.cd = scale * np.array(
        [[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def to_pixels(wcs: WCS, positions: ArrayLike) -> np.ndarray:
    """Return the pixels (x, y), from 0, of positions (RA, Dec), one a row.

    NaN where a position cannot be projected.
    """
    return np.asarray(wcs.wcs_world2pix(np.reshape(positions, (-1, 2)), 0))


def to_sky(wcs: WCS, points: ArrayLike) -> np.ndarray:
    """Return RA from 0 to 360 and Dec, in degrees, of pixels (x, y), one a row."""
    sky = np.asarray(wcs.wcs_pix2world(np.reshape(points, (-1, 2)), 0))
    return np.stack([sky[:, 0] % 360, sky[:, 1]], axis=-1)
