"""Small warps with artifacts in files, and their PSF-matched partners."""

import numpy as np

from tests import fits_files as files
from tests.warp_files import PLANES, SHAPE, make_sky, write_warp

TRAIL = (20, slice(10, 45))
"""Where the warp that has a trail has it."""


def make_epoch(number, *, noise=3.0, trail=False, shape=SHAPE, empty=()):
    """Make one warp: the star that all have, noise, some bad pixels, perhaps a trail.

    `empty` are the columns without data.
    """
    rng = np.random.default_rng(1000 + number)
    image = make_sky(shape) + rng.normal(0, noise, shape)
    variance = np.full(shape, noise**2) * rng.uniform(0.9, 1.1, shape)
    mask = np.where(rng.random(shape) < 0.02, 1 << PLANES["BAD"], 0)
    if trail:
        image[TRAIL[0] : TRAIL[0] + 2, TRAIL[1]] += 300
    image[:, list(empty)] = np.nan
    mask[:, list(empty)] = 1 << PLANES["NO_DATA"]
    return files.Scene(
        image.astype(np.float32), variance.astype(np.float32), mask.astype(np.uint32)
    )


def write_epochs(folder, number=5, *, trails=(1,), cards=None, **options):
    """Write warps of which some have a trail, and return their paths."""
    folder.mkdir(exist_ok=True)
    return [
        write_warp(
            folder,
            n,
            scene=make_epoch(n, trail=n in trails, **options),
            cards=(cards or {}),
        )
        for n in range(number)
    ]


def write_partners(folder, numbers, *, fwhm=5.0, trails=(1,), noise=1.5, **options):
    """Write PSF-matched partners of warps, and return their paths."""
    folder.mkdir(exist_ok=True)
    return [
        write_warp(
            folder,
            n,
            scene=make_epoch(n, trail=n in trails, noise=noise, **options),
            name=f"p{n}.fits",
            cards={"PSFFWHM": fwhm},
        )
        for n in numbers
    ]
