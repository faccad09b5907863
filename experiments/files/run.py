"""Coadd large warps from files. See README.md.

python experiments/files/run.py [--warps 20] [--side 4100] [--folder DIR]
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

import numpy as np
from astropy.io import fits

HERE = pathlib.Path(__file__).parent
COMPRESSIONS = ("none", "RICE_1", "GZIP_1")
STRIP = 256

COMMAND = """
import re, runpy
try:
    runpy.run_module("jaxcoadd", run_name="__main__")
finally:
    status = open("/proc/self/status").read()
    print(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])
"""
"""The command, and then the most memory that it had in kibibytes; on Linux."""


def write_warp(path, number, side, compression, seed):
    """Write image, variance and mask of one warp."""
    rng = np.random.default_rng([seed, number])
    image = rng.normal(100, 5, (side, side)).astype(np.float32)
    image[rng.random(image.shape) < 0.003] += 500
    variance = rng.uniform(24, 26, (side, side)).astype(np.float32)
    mask = np.where(rng.random(image.shape) < 0.03, 1, 0).astype(np.int32)
    if compression == "RICE_1":
        # Lossless: whole numbers, of which this compression is made.
        image, variance = (np.round(a * 8).astype(np.int32) for a in (image, variance))
    kind = fits.ImageHDU
    options = {}
    if compression != "none":
        kind = fits.CompImageHDU
        options = {"compression_type": compression, "tile_shape": (1, side)}
        if compression != "RICE_1":
            options["quantize_level"] = 0
    hdus = [fits.PrimaryHDU()]
    planes = (("SCI", image), ("VAR", variance), ("MASK", mask))
    for name, plane in planes:
        hdus.append(kind(plane, name=name, **options))
    hdus[0].header["MAGZERO"] = 27.0
    hdus[0].header["EXPNUM"] = number
    for name, bit in (("BAD", 0), ("SAT", 1), ("EDGE", 4), ("NO_DATA", 8)):
        hdus[3].header[f"MP_{name}"] = bit
    for key, value in {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRPIX1": side / 2,
        "CRPIX2": side / 2,
        "CRVAL1": 30.0,
        "CRVAL2": -5.0,
        "CD1_1": -5e-5,
        "CD2_2": 5e-5,
    }.items():
        for hdu in hdus[1:]:
            hdu.header[key] = value
    fits.HDUList(hdus).writeto(path)


def timed(*arguments):
    """Run a command; return its seconds, and what it prints."""
    start = time.perf_counter()
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - start, done.stdout


def read_alone(paths):
    """Read every warp twice, as a run does that may not keep them: whole, by strips."""
    from jaxcoadd import io
    from jaxcoadd.io.sections import sections

    start = time.perf_counter()
    warps = [io.open_warp(path) for path in paths]
    for warp in warps:
        warp.verify()
        warp.read_rows(0, warp.shape[0])
    with sections() as read:
        for first in range(0, warps[0].shape[0], STRIP):
            for warp in warps:
                warp.read_rows(first, min(first + STRIP, warp.shape[0]), read)
    return time.perf_counter() - start


def compute_alone(number, side, cores):
    """Weigh and stack pixels that are in memory, on all cores."""
    import jax

    jax.config.update("jax_num_cpu_devices", cores)
    import jax.numpy as jnp

    import jaxcoadd as jc

    rng = np.random.default_rng(0)
    plane = rng.uniform(24, 26, (side, side)).astype(np.float32)
    weigh = jax.jit(
        lambda variance: jc.inverse_variance_weights(
            variance[None], where=jnp.isfinite(variance)[None]
        )
    )
    shape = (number, STRIP, side)
    stack = jc.WarpStack(
        image=jnp.asarray(rng.normal(100, 5, shape), np.float32),
        variance=jnp.asarray(rng.uniform(24, 26, shape), np.float32),
        mask=jnp.asarray(rng.random(shape) < 0.03, np.uint32),
        planes=jc.LSST_PLANES,
        zero_point=jnp.full(number, 27.0, np.float32),
        weight=jnp.ones(number, np.float32),
        present=jnp.ones(number, bool),
    )
    config = jc.CoaddConfig()
    run = jax.jit(jc.stack_pixels)
    start = time.perf_counter()
    for _ in range(number):
        jax.block_until_ready(weigh(plane))
    for _ in range(-(-side // STRIP)):
        given = jc.shard_pixels(stack) if cores > 1 else stack
        jax.block_until_ready(run(given, config).image)
    return time.perf_counter() - start


def worker(arguments):
    """Measure one thing in a process of its own, and print it."""
    kind, *rest = arguments
    if kind == "read":
        seconds = read_alone([pathlib.Path(path) for path in rest])
    else:
        seconds = compute_alone(*map(int, rest))
    print(json.dumps(seconds))


def measure(paths, side, memory, folder):
    """Return seconds and memory of a run, and the seconds of its two halves alone."""
    own = [sys.executable, str(pathlib.Path(__file__).resolve()), "--worker"]
    cores = str(len(os.sched_getaffinity(0)))
    _, out = timed(*own, "read", *map(str, paths))
    reading = json.loads(out)
    _, out = timed(*own, "compute", str(len(paths)), str(side), cores)
    computing = json.loads(out)
    found = {"reading_alone": reading, "computing_alone": computing}
    for name, more in {"compressed": [], "plain": ["--no-compression"]}.items():
        output = folder / "coadd.fits"
        options = [f"--output={output}", f"--memory={memory}", "--json", *more]
        files = list(map(str, paths))
        command = [sys.executable, "-c", COMMAND, "assemble", *files, *options]
        seconds, out = timed(*command)
        report, end = json.JSONDecoder().raw_decode(out)
        found[f"{name}_output"] = {
            "seconds": seconds,
            "ratio": seconds / max(reading, computing),
            "peak_MB": int(out[end:]) / 1024,
            "output_MB": output.stat().st_size / 1e6,
            "timings": report.get("timings"),
        }
        output.unlink()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warps", type=int, default=20)
    parser.add_argument("--side", type=int, default=4100)
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--compressions", nargs="+", default=COMPRESSIONS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=pathlib.Path, help="where there is room")
    parser.add_argument("--worker", nargs="+")
    options = parser.parse_args()
    if options.worker:
        worker(options.worker)
        return
    where = HERE / "results.json"
    # Those of other compressions stay.
    results = json.loads(where.read_text())["runs"] if where.exists() else {}
    for compression in options.compressions:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            folder = pathlib.Path(name)
            paths = [folder / f"w{n:02}.fits" for n in range(options.warps)]
            for number, path in enumerate(paths):
                write_warp(path, number, options.side, compression, options.seed)
            found = measure(paths, options.side, options.memory, folder)
            found["file_GB"] = sum(path.stat().st_size for path in paths) / 1e9
        results[compression] = found
        print(compression, json.dumps(found, indent=1), flush=True)
    result = {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "warps": options.warps,
        "side": options.side,
        "memory": options.memory,
        "runs": results,
    }
    where.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
