"""Detectors, polygons and coordinates for the tests of a coadd's inputs."""

import numpy as np
from astropy.wcs import WCS
from hypothesis import strategies as st

from jaxcoadd.inputs.polygons import Polygon
from jaxcoadd.inputs.records import DetectorInput

CENTRE = (30.0, -20.0)
COADD_BOX = (0, 0, 119, 99)
DETECTOR_BOX = (0, 0, 79, 59)

SEEDS = st.integers(0, 10**6)


def make_wcs(crpix, *, turn=0.0, scale=0.2, crval=CENTRE):
    """Return a gnomonic WCS; `crpix` from 0, `turn` in radians, `scale` in arcsec."""
    wcs = WCS(naxis=2)
    wcs.wcs.crpix = np.array(crpix) + 1.0
    wcs.wcs.crval = crval
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    cos, sin = np.cos(turn), np.sin(turn)
    wcs.wcs.cd = scale / 3600 * np.array([[-cos, sin], [sin, cos]])
    return wcs


COADD_WCS = make_wcs((60.0, 50.0))


def star_polygon(seed, *, centre=(60.0, 50.0), radius=30.0):
    """Draw a polygon that every ray from its centre crosses once."""
    rng = np.random.default_rng(seed)
    number = rng.integers(3, 12)
    angle = 2 * np.pi * (np.arange(number) + rng.uniform(0, 0.9, number)) / number
    distance = radius * rng.uniform(0.3, 1, number)
    return Polygon(
        np.stack([np.cos(angle), np.sin(angle)], -1) * distance[:, None] + centre
    )


def draw_detectors(seed, number=5, **options):
    """Draw detectors that overlap on the coadd, some with a polygon."""
    rng = np.random.default_rng(seed)
    return [
        DetectorInput(
            id=10 * k + 3,
            visit=k // 2,
            detector=k % 2,
            box=DETECTOR_BOX,
            wcs=make_wcs(rng.uniform(10, 60, 2), turn=rng.uniform(0, 6)),
            weight=float(rng.uniform(0.5, 2)),
            polygon=star_polygon(seed + k, centre=(40, 30), radius=35)
            if k % 3 == 1
            else None,
            **{name: values[k] for name, values in options.items()},
        )
        for k in range(number)
    ]
