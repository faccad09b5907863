"""Measure the resampling of one image on one core. See README.md.

taskset -c 0 python experiments/resampling/run.py [--side 1024]
"""

import argparse
import json
import os
import pathlib
import statistics
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from astropy.wcs import WCS
from scipy import ndimage

import jaxcoadd as jc
from jaxcoadd import sky

HERE = pathlib.Path(__file__).parent
KERNELS = {
    "lanczos3": jc.Lanczos(3),
    "lanczos5": jc.Lanczos(5),
    "bilinear": jc.Bilinear(),
}


def seconds(function, *arguments, rounds=9):
    """Return the median time of a function, warmed up."""
    jax.block_until_ready(function(*arguments))
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def make(side):
    """Draw a source, and a map that turns it by 0.1 and shifts it."""
    draw = np.random.default_rng(0)
    image = draw.normal(100, 10, (side, side)).astype(np.float32)
    variance = draw.uniform(90, 110, (side, side)).astype(np.float32)
    mask = (draw.random((side, side)) < 0.01).astype(np.uint32)
    c, s = np.cos(0.1), np.sin(0.1)
    return (image, variance, mask), lambda x, y: (
        c * x - s * y + 0.05 * side,
        s * x + c * y - 0.05 * side,
    )


def resample_nodes(kernel):
    """Make the function of planes and nodes that is measured."""
    return jax.jit(lambda n, *p: jc.resample(*p, jc.interpolate_positions(n), kernel))


def measure(side):
    """Return megapixels a second of each contender."""
    planes, mapping = make(side)
    shape, pixels = (side, side), side * side / 1e6
    begin = time.perf_counter()
    coordinates = sky.mapped_coordinates(mapping, shape)
    host = time.perf_counter() - begin
    positions = jc.as_positions(coordinates)
    split = time.perf_counter() - begin - host
    nodes = jc.as_position_nodes(sky.node_coordinates(mapping, shape), shape=shape)
    on_device = [jnp.asarray(p) for p in planes]
    found = {
        "host: positions interpolated": pixels / host,
        "host: positions split": pixels / split,
        "interpolate_positions alone": pixels
        / seconds(jax.jit(jc.interpolate_positions), nodes),
    }
    for name, kernel in KERNELS.items():
        given = jax.jit(lambda p, *a, kernel=kernel: jc.resample(*a, p, kernel))
        found[f"{name}, positions given"] = pixels / seconds(
            given, positions, *on_device
        )
        found[f"{name}, positions of every tenth pixel"] = pixels / seconds(
            resample_nodes(kernel), nodes, *on_device
        )
    slope = jax.jit(jax.grad(lambda i, p, *a: jnp.nansum(jc.resample(i, *a, p).image)))
    found["lanczos3, gradient in the image"] = pixels / seconds(
        slope, on_device[0], positions, *on_device[1:]
    )
    found["scipy map_coordinates order 3, image alone"] = pixels / seconds(
        lambda: ndimage.map_coordinates(planes[0], coordinates[:, 1:, 1:], order=3),
        rounds=3,
    )
    return found | by_reproject(planes[0])


def by_reproject(image):
    """Measure reproject's interpolation of the image alone, if it is installed."""
    try:
        from reproject import reproject_interp
    except ImportError:
        print("reproject is not installed: not compared\n")
        return {}
    side = len(image)
    from_wcs, to_wcs = (turned_wcs(side, angle) for angle in (0, 0.1))

    def run(order):
        return reproject_interp(
            (image, from_wcs), to_wcs, shape_out=image.shape, order=order
        )[0]

    return {
        f"reproject_interp {order}, image alone": side**2
        / 1e6
        / seconds(run, order, rounds=3)
        for order in ("bilinear", "bicubic")
    }


def turned_wcs(side, angle):
    """Make a TAN projection that is turned."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix = (150.0, 2.0), (side / 2, side / 2)
    c, s = np.cos(angle), np.sin(angle)
    wcs.wcs.cd = 5e-5 * np.array([[-c, s], [s, c]])
    return wcs


def main():
    """Measure, print a table and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1024)
    options = parser.parse_args()
    found = measure(options.side)
    print("| what | Mpix/s |\n|---|---|")
    for name, rate in found.items():
        print(f"| {name} | {rate:.1f} |")
    cores = len(os.sched_getaffinity(0))
    results = {"side": options.side, "cores": cores, "jax": jax.__version__, **found}
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
