"""Small warps in files, for tests of whole runs."""

import json
import os
from pathlib import Path

import numpy as np
from astropy.io import fits

from jaxcoadd.cli import main
from tests import fits_files as files

SHAPE = (40, 50)
PLANES = {"BAD": 0, "SAT": 1, "NO_DATA": 8, "CROSSTALK": 9}
ZERO_POINT = 27.0


def make_sky(shape=SHAPE):
    """Make the one star that all warps see."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return 500 * np.exp(-((x - 20) ** 2 + (y - 15) ** 2) / 8.0)


def make_scene(number, shape=SHAPE):
    """Make the pixels of one warp: sky, noise, bad pixels, and an edge without data."""
    rng = np.random.default_rng(number)
    image = make_sky(shape) + rng.normal(0, 3 + number, shape)
    variance = np.full(shape, (3.0 + number) ** 2) * rng.uniform(0.9, 1.1, shape)
    mask = np.where(rng.random(shape) < 0.05, 1 << PLANES["BAD"], 0)
    mask |= np.where(rng.random(shape) < 0.02, 1 << PLANES["SAT"], 0)
    mask |= np.where(rng.random(shape) < 0.02, 1 << PLANES["CROSSTALK"], 0)
    image[:, :3] = np.nan
    mask[:, :3] = 1 << PLANES["NO_DATA"]
    # A trail that only this warp has.
    image[(5 + 3 * number) % shape[0]] += 900
    return files.Scene(
        image.astype(np.float32), variance.astype(np.float32), mask.astype(np.uint32)
    )


def write_warp(folder, number, *, scene=None, name=None, cards=None, **options):
    """Write one warp of exposure 100 + number, and return its path."""
    scene = make_scene(number) if scene is None else scene
    own = {"VISIT": 100 + number, "MAGZERO": ZERO_POINT} | (cards or {})
    own = {card: value for card, value in own.items() if value is not None}
    path = Path(folder) / (name or f"w{number}.fits")
    return files.write_afw(path, scene, planes=PLANES, cards=own, **options)


def write_warps(folder, number=4, **options):
    """Write some warps, and return their paths."""
    return [write_warp(folder, index, **options) for index in range(number)]


def run(*arguments):
    """Run the command in this process."""
    return main([str(argument) for argument in arguments])


def assemble(warps, output, *options):
    """Run ``jaxcoadd assemble`` in this process."""
    return run("assemble", *warps, "--output", output, *options)


def planes_of(path):
    """Read the pixels of a coadd as they are stored."""
    with fits.open(path) as file:
        return {
            name: file[name].data.copy()
            for name in ("IMAGE", "VARIANCE", "MASK", "N_IMAGE")
        }


def assert_same_planes(first, second):
    """Assert that two coadds have the same bits."""
    wanted = planes_of(second)
    for name, plane in planes_of(first).items():
        np.testing.assert_array_equal(
            plane.view(f"u{plane.itemsize}"),
            wanted[name].view(f"u{plane.itemsize}"),
            err_msg=name,
        )


def raising(error):
    """Make a function that raises an error, whatever it is given."""

    def fail(*arguments, **options):
        raise error

    return fail


def left_in(output):
    """Return what is in the folder of the output, but for the warps."""
    return sorted(set(os.listdir(output.parent)) - {"warps"})


def strict_json(text):
    """Read JSON as the standard has it, without NaN."""
    return json.loads(text, parse_constant=raising(ValueError("not JSON")))
