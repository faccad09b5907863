"""Grids: the WCS, shape and origin that the pixels of warps and coadds lie on."""

import dataclasses
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from astropy.wcs import WCS, FITSFixedWarning, NoConvergence
from astropy.wcs.utils import pixel_to_pixel

from jaxcoadd.io.errors import InputError
from jaxcoadd.io.hdus import Hdu, check_image, read_hdus
from jaxcoadd.io.layouts import list_hdus

_WCS_CARDS = re.compile(
    r"WCSAXES|WCSNAME|(CTYPE|CRPIX|CRVAL|CDELT|CUNIT|CROTA|CNAME)[12]"
    r"|(CD|PC)[12]_[12]|(PV|PS)[12]_\d+|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX"
    r"|(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)|WAT[012]_\d+"
)
_TABLE_CARDS = re.compile(r"CPDIS[12]|CQDIS[12]|D2IMDIS[12]")
_SAMPLES = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """Where the pixels of an image lie.

    Parameters
    ----------
    shape
        Rows and columns.
    wcs
        World coordinates of the pixels of the array, if they are known.
    origin
        Column and row that the first pixel has in the frame of the whole sky region.
    header
        The cards of the WCS, as they were read.
    """

    shape: tuple[int, int]
    wcs: WCS | None = None
    origin: tuple[int, int] = (0, 0)
    header: fits.Header = dataclasses.field(default_factory=fits.Header)


class GridMatch(NamedTuple):
    """How two grids lie to each other.

    Parameters
    ----------
    dx, dy
        The pixel (x, y) of the first is the pixel (x + dx, y + dy) of the second.
    residual
        Largest distance that remains, in pixels; infinite where there is no match.
    """

    dx: int
    dy: int
    residual: float


def read_grid(path: str | Path) -> Grid:
    """Read the grid of an image from the headers of a file.

    Parameters
    ----------
    path
        A FITS file: the grid is that of the HDU IMAGE or SCI, else of its first image.

    Raises
    ------
    InputError
        The file cannot be read, or has no image.
    """
    hdus = read_hdus(path)
    for hdu in hdus:
        if {hdu.kind, hdu.name} & {"IMAGE", "SCI"}:
            check_image(hdu)
            return grid_of(hdu)
    images = [hdu for hdu in hdus if hdu.is_image]
    if not images:
        raise InputError(
            f"{path} has no image to take the grid from; it has {list_hdus(hdus)}"
        )
    check_image(images[0])
    return grid_of(images[0])


def grid_of(hdu: Hdu) -> Grid:
    """Return the grid of an image."""
    height, width = hdu.shape
    header = fits.Header(
        [card for card in hdu.header.cards if _WCS_CARDS.fullmatch(card.keyword)]
    )
    return Grid((height, width), _read_wcs(hdu, header), _origin(hdu), header)


def _read_wcs(hdu: Hdu, header: fits.Header) -> WCS | None:
    """Make the WCS of an image, if it has one of the sky."""
    tables = [card for card in hdu.header if _TABLE_CARDS.fullmatch(card)]
    if tables:
        raise InputError(
            f"{hdu} has distortions in tables ({tables[0]}), which are not read; "
            "resample the image to a grid without them"
        )
    if not hdu.get("CTYPE1") or not hdu.get("CTYPE2"):
        return None
    try:
        with warnings.catch_warnings():
            # A card that astropy would guess the value of.
            warnings.simplefilter("error", VerifyWarning)
            # Old spellings of dates and units, which astropy corrects.
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(header, naxis=2)
            known = wcs.has_celestial
    except Exception as error:
        reason = " ".join(str(error).split())
        if isinstance(error, VerifyWarning):
            reason = "a card is not valid FITS"
        raise InputError(
            f"the WCS of {hdu} cannot be read ({reason}); correct the header"
        ) from error
    if not known:
        return None
    wcs.array_shape = hdu.shape
    return wcs


def _origin(hdu: Hdu) -> tuple[int, int]:
    """Return the origin by the linear WCS A, else by LTV; a fraction is none."""
    linear = all(
        hdu.get(f"CTYPE{axis}A") == "LINEAR" and hdu.get(f"CRPIX{axis}A") == 1
        for axis in (1, 2)
    )
    values = [hdu.get(f"CRVAL{axis}A" if linear else f"LTV{axis}", 0) for axis in "12"]
    if not all(isinstance(value, int | float) and value % 1 == 0 for value in values):
        return (0, 0)
    x, y = (int(value) for value in values)
    return (x, y) if linear else (-x, -y)


def same_grid(first: Grid, second: Grid) -> GridMatch:
    """Compare two grids, which may differ by whole pixels.

    Parameters
    ----------
    first, second
        Grids, both with a WCS or both without; without, their origins place them.

    Returns
    -------
    GridMatch
        The offset in whole pixels, and the largest distance that remains at 5 x 5
        points of the first grid.
    """
    if (first.wcs is None) != (second.wcs is None):
        return GridMatch(0, 0, np.inf)
    if first.wcs is None or second.wcs is None:
        return _match_origins(first, second)
    if first.shape == second.shape and _same_cards(first.header, second.header):
        return GridMatch(0, 0, 0.0)
    height, width = first.shape
    x, y = np.meshgrid(
        np.linspace(0, width - 1, _SAMPLES), np.linspace(0, height - 1, _SAMPLES)
    )
    try:
        to_x, to_y = pixel_to_pixel(first.wcs, second.wcs, x, y)
    except NoConvergence:
        return GridMatch(0, 0, np.inf)
    shift = np.stack([to_x - x, to_y - y])
    if not np.isfinite(shift).all():
        return GridMatch(0, 0, np.inf)
    whole = np.round(np.median(shift, axis=(1, 2)))
    residual = np.hypot(*(shift - whole[:, None, None])).max()
    return GridMatch(int(whole[0]), int(whole[1]), float(residual))


def _match_origins(first: Grid, second: Grid) -> GridMatch:
    """Compare two grids that have no WCS."""
    dx, dy = (a - b for a, b in zip(first.origin, second.origin, strict=True))
    unplaced = first.shape != second.shape and (dx, dy) == (0, 0)
    return GridMatch(dx, dy, np.inf if unplaced else 0.0)


def _same_cards(first: fits.Header, second: fits.Header) -> bool:
    """Tell whether two headers have the same WCS cards with the same values."""
    return len(first) > 0 and dict(first) == dict(second)


def grid_cards(grid: Grid) -> fits.Header:
    """Return the cards that place an image on a grid: WCS, linear WCS A, and LTV."""
    header = grid.header.copy()
    if not header and grid.wcs is not None:
        header = grid.wcs.to_header(relax=True)
    for axis, value in enumerate(grid.origin, start=1):
        header[f"CTYPE{axis}A"] = "LINEAR"
        header[f"CRPIX{axis}A"] = (1.0, "first pixel of the array")
        header[f"CRVAL{axis}A"] = (float(value), "its place in the whole frame")
        header[f"CUNIT{axis}A"] = "PIXEL"
    for axis, value in enumerate(grid.origin, start=1):
        header[f"LTV{axis}"] = (float(-value), "frame of the array - whole frame")
    return header
