"""Small exposures in files, for tests of warping: stars on detectors of one sky."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from tests import fits_files as files

SHAPE = (60, 70)
GRID_SHAPE = (64, 72)
SKY_LEVEL = 50.0
PLANES = {"BAD": 0, "SAT": 1, "EDGE": 4, "NO_DATA": 8}
STARS = ((20.0, 15.0, 4000.0), (45.5, 30.25, 2000.0), (30.0, 48.0, 1000.0))
WIDTH = 1.6


def psf_stamp(size=21, width=WIDTH):
    """Return a Gaussian of sum 1."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    stamp = np.exp(-(x**2 + y**2) / (2 * width**2))
    return (stamp / stamp.sum()).astype(np.float32)


def star_field(shape, offset, width=WIDTH):
    """Draw the stars; the pixel (x, y) of the grid is (x - dx, y - dy) here."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    field = np.zeros(shape)
    for star_x, star_y, flux in STARS:
        apart = (x - star_x + offset[0]) ** 2 + (y - star_y + offset[1]) ** 2
        field += flux * np.exp(-apart / (2 * width**2)) / (2 * np.pi * width**2)
    return field


def write_exposure(
    folder,
    name,
    *,
    offset=(0.3, -0.4),
    visit=7,
    detector="1",
    zero_point=27.0,
    noise=1.0,
    seed=0,
    sky=True,
    psf=True,
    wcs=True,
    cards=None,
    shape=SHAPE,
    width=WIDTH,
):
    """Write one exposure, with the sky in its image, and return its path."""
    rng = np.random.default_rng(seed)
    factor = 10 ** (0.4 * (zero_point - 27.0))
    field = star_field(shape, offset, width) * factor + SKY_LEVEL
    image = field + noise * factor * rng.normal(size=shape)
    variance = np.full(shape, max(noise * factor, 1e-3) ** 2)
    primary = fits.PrimaryHDU()
    own = {"MAGZERO": zero_point, "VISIT": visit, "DETECTOR": detector, "FILTER": "r"}
    primary.header.update(
        {k: v for k, v in (own | (cards or {})).items() if v is not None}
    )
    placed = grid_cards(offset) if wcs else {}
    hdus = [
        primary,
        files.hdu(image.astype(np.float32), {"EXTNAME": "SCI"} | placed),
        files.hdu(variance.astype(np.float32), {"EXTNAME": "VAR"}),
        files.hdu(
            np.zeros(shape, np.int32), {"EXTNAME": "MASK"} | files.plane_cards(PLANES)
        ),
    ]
    if sky:
        level = np.full(shape, SKY_LEVEL, np.float32)
        hdus.append(files.hdu(level, {"EXTNAME": "SKY"}))
    if psf:
        hdus.append(files.hdu(psf_stamp(width=width), {"EXTNAME": "PSF"}))
    return files.write(Path(folder) / name, *hdus)


def grid_cards(offset=(0.0, 0.0)):
    """Return the WCS of an image that begins at this pixel of the grid."""
    return files.wcs_cards(GRID_SHAPE, offset)


def write_grid(folder, shape=GRID_SHAPE):
    """Write an image that has the grid, and return its path."""
    image = files.hdu(np.zeros(shape, np.float32), {"EXTNAME": "SCI"} | grid_cards())
    return files.write(Path(folder) / "grid.fits", fits.PrimaryHDU(), image)
