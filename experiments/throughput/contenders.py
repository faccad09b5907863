"""The contenders: each is built from a stack, and run again and again.

A builder takes a `Stack` and returns a function without arguments that does the
work once and waits for it. It imports what it needs, so a missing package is an
ImportError of one contender only.
"""

import os
import pathlib
import resource
import shutil
import subprocess
import tempfile
import time
import warnings
from functools import partial
from typing import NamedTuple

import numpy as np

BAD = 1 | 2 | 16 | 256  # BAD, SAT, EDGE, NO_DATA
SIGMA, PASSES = 3.0, 2
SIGMA_PER_IQR = 0.741301109252802


class Stack(NamedTuple):
    """Warps in memory: 3 % masked, 1 % NaN, 0.3 % outliers."""

    image: np.ndarray
    variance: np.ndarray
    mask: np.ndarray
    weight: np.ndarray

    def good(self):
        return ((self.mask & np.uint32(BAD)) == 0) & np.isfinite(self.image)


def make_stack(depth, rows, width, seed):
    rng = np.random.default_rng(seed)
    shape = (depth, rows, width)
    image = 20 + 50 * rng.standard_normal(shape, np.float32)
    variance = 2500 * (1 + np.float32(0.1) * rng.random(shape, np.float32))
    chance = rng.random(shape, np.float32)
    bits = np.array([1, 2, 16, 256, 2 | 8], np.uint32)  # the last: SAT and CR
    mask = np.where(chance < 0.03, bits[rng.integers(0, 5, shape)], np.uint32(0))
    mask[chance > 0.9] |= np.uint32(32)  # DETECTED, which rejects nothing
    chance = rng.random(shape, np.float32)
    image[chance < 0.01] = np.nan
    image[chance > 0.997] += 5000
    weight = rng.uniform(0.5, 2, depth).astype(np.float32) / 2500
    return Stack(image, variance, mask, weight)


def _as_warps(stack):
    import jax.numpy as jnp

    import jaxcoadd as jc

    depth = len(stack.image)
    return jc.WarpStack(
        image=jnp.asarray(stack.image),
        variance=jnp.asarray(stack.variance),
        mask=jnp.asarray(stack.mask),
        planes=jc.LSST_PLANES,
        zero_point=jnp.full(depth, 31.4, jnp.float32),
        weight=jnp.asarray(stack.weight),
        present=jnp.ones(depth, bool),
    )


def ours(stack, statistic=None, options=None):
    """The default coadd's stacking: every output, and every mask rule."""
    import jax

    import jaxcoadd as jc

    config = jc.CoaddConfig() if statistic is None else jc.CoaddConfig(statistic)
    warps = _as_warps(stack)
    run = jax.jit(partial(_stack_pixels, config=config), compiler_options=options)
    return lambda: jax.block_until_ready(run(warps))


def _stack_pixels(warps, config):
    from jaxcoadd.coadds import stack_pixels

    return stack_pixels(warps, config)


def ours_on_devices(stack):
    """The same, its rows spread over all devices."""
    import jax

    import jaxcoadd as jc

    warps = jc.shard_pixels(_as_warps(stack))
    run = jax.jit(partial(_stack_pixels, config=jc.CoaddConfig()))
    return lambda: jax.block_until_ready(run(warps))


def ours_wide(stack):
    """The same, compiled for vectors of 512 bits, where the processor has them."""
    return ours(stack, options={"xla_cpu_prefer_vector_width": 512})


def ours_mean(stack):
    import jaxcoadd as jc

    return ours(stack, jc.Mean())


def ours_online(stack):
    """The mean made one warp after the other, from the first image on."""
    import jax

    import jaxcoadd as jc

    warps = _as_warps(stack)
    config = jc.CoaddConfig(jc.Mean())
    first = jc.Warp(warps.image[0], warps.variance[0], zero_point=31.4)
    start = jax.block_until_ready(jax.jit(jc.start_sums)(first, config))
    run = jax.jit(lambda sums, warps: jc.finalize(jc.accumulate_stack(sums, warps)))
    return lambda: jax.block_until_ready(run(start, warps))


def ours_median(stack):
    import jaxcoadd as jc

    return ours(stack, jc.Median())


def ours_gradient(stack):
    """Value and gradient of the coadd by every pixel, weight and zero point."""
    import dataclasses

    import jax
    import jax.numpy as jnp

    import jaxcoadd as jc

    warps = _as_warps(stack)
    config = jc.CoaddConfig(zero_point=31.4)

    def loss(image, variance, weight, zero_point):
        given = dataclasses.replace(
            warps, image=image, variance=variance, weight=weight, zero_point=zero_point
        )
        result = _stack_pixels(given, config)
        known = jnp.isfinite(result.image) & jnp.isfinite(result.variance)
        chi2 = result.image**2 / jnp.where(known, result.variance, 1)
        return jnp.where(known, chi2, 0).sum()

    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2, 3)))
    leaves = (warps.image, warps.variance, warps.weight, warps.zero_point)
    return lambda: jax.block_until_ready(run(*leaves))


def memory(stack):
    """Read the same bytes and keep nothing of them: what no stacker can beat."""
    planes = [np.ascontiguousarray(plane).ravel() for plane in stack[:3]]
    # A maximum of integers is the fastest read that NumPy has.
    planes = [plane.view(np.uint32) for plane in planes]
    return lambda: [plane.max() for plane in planes]


def jax_sort(stack):
    """The same clip, with its quartiles by ``jnp.sort`` along the warps."""
    import jax
    import jax.numpy as jnp

    def run(image, variance, mask, weight):
        good = ((mask & jnp.uint32(BAD)) == 0) & jnp.isfinite(image)
        count = good.sum(axis=0)
        ordered = jnp.sort(jnp.where(good, image, jnp.inf), axis=0)

        def quantile(fraction):
            rank = fraction * (count - 1).astype(image.dtype)
            low = jnp.floor(rank).astype(jnp.int32).clip(0)
            high = jnp.minimum(low + 1, jnp.maximum(count - 1, 0))
            below = jnp.take_along_axis(ordered, low[None], axis=0)[0]
            above = jnp.take_along_axis(ordered, high[None], axis=0)[0]
            return below + (rank - low) * (above - below)

        centre = quantile(0.5)
        width = SIGMA * SIGMA_PER_IQR * (quantile(0.75) - quantile(0.25))
        return _clip_passes(jnp, image, variance, weight, good, centre, width)

    compiled = jax.jit(run)
    planes = [jnp.asarray(array) for array in stack]
    return lambda: jax.block_until_ready(compiled(*planes))


def numpy_clip(stack):
    """The same clip in NumPy, with its quartiles by ``np.sort``."""

    def run():
        good = stack.good()
        count = good.sum(axis=0)
        ordered = np.sort(np.where(good, stack.image, np.inf), axis=0)

        def quantile(fraction):
            rank = fraction * (count - 1).clip(0)
            low = rank.astype(np.int32)
            high = np.minimum(low + 1, (count - 1).clip(0))
            below = np.take_along_axis(ordered, low[None], axis=0)[0]
            above = np.take_along_axis(ordered, high[None], axis=0)[0]
            return below + (rank - low) * (above - below)

        with np.errstate(invalid="ignore", divide="ignore"):
            centre = quantile(0.5).astype(np.float32)
            width = SIGMA * SIGMA_PER_IQR * (quantile(0.75) - quantile(0.25))
            width = width.astype(np.float32)
            planes = (stack.image, stack.variance, stack.weight)
            return _clip_passes(np, *planes, good, centre, width)

    return run


def _clip_passes(xp, image, variance, weight, good, centre, width):
    """Clip twice; return the weighted mean and its variance. No masks."""
    weight = weight[:, None, None]
    deviation = xp.where(good, image, 0) - centre
    for last in (False, True):
        kept = good & (abs(deviation) <= width)
        weights = xp.where(kept, weight, 0)
        total = weights.sum(axis=0)
        shift = (weights * deviation).sum(axis=0) / total
        if last:
            error = (weights * weights * variance).sum(axis=0) / (total * total)
            return centre + shift, error
        spread = (weights * deviation * deviation).sum(axis=0) / total - shift * shift
        square = total * total
        spread = spread * square / (square - (weights * weights).sum(axis=0))
        centre, deviation = centre + shift, deviation - shift
        width = SIGMA * xp.sqrt(xp.maximum(spread, 0))
    raise AssertionError("unreachable")


def astropy_clip(stack):
    """``sigma_clip`` of astropy (its loop is in C), and a weighted mean. No masks."""
    from astropy.stats import sigma_clip

    def run():
        values = np.where(stack.good(), stack.image, np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it announces the NaN it clips
            clipped = sigma_clip(
                values,
                sigma=SIGMA,
                maxiters=PASSES,
                cenfunc="median",
                stdfunc="std",
                axis=0,
                masked=False,
                copy=False,
            )
        weights = np.where(np.isnan(clipped), 0, stack.weight[:, None, None])
        total = weights.sum(axis=0)
        with np.errstate(invalid="ignore"):
            return np.nansum(clipped * weights, axis=0) / total

    return run


def ccdproc_combiner(stack):
    """``Combiner`` of ccdproc: sigma clipping and a weighted average."""
    from astropy.nddata import CCDData
    from ccdproc import Combiner

    warps = [
        CCDData(image, unit="adu", mask=~good)
        for image, good in zip(stack.image, stack.good(), strict=True)
    ]

    def run():
        combiner = Combiner(warps, dtype=np.float32)
        combiner.weights = stack.weight
        combiner.sigma_clipping(
            low_thresh=SIGMA, high_thresh=SIGMA, func="median", dev_func="std"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return combiner.average_combine()

    return run


def numba_tiles(stack):
    """A kernel for numba, with all the masks: see ``numba_kernel.py``."""
    from numba_kernel import stack_tiles

    flat = [plane.reshape(len(plane), -1) for plane in stack[:3]]
    return lambda: stack_tiles(*flat, stack.weight)


def swarp(stack):
    """SWarp with COMBINE_TYPE CLIPPED, from files to files, without resampling."""
    from astropy.io import fits

    program = shutil.which("SWarp") or shutil.which("swarp")
    if program is None:
        raise ImportError("no program SWarp")
    folder = tempfile.TemporaryDirectory()
    root = pathlib.Path(folder.name)
    header = fits.Header(
        {
            **{"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"},
            **{"CRVAL1": 10.0, "CRVAL2": 0.0, "CRPIX1": 1.0, "CRPIX2": 1.0},
            **{"CD1_1": -5e-5, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 5e-5},
        }
    )
    usable = np.where(stack.good(), stack.weight[:, None, None], 0)
    for index, (image, weight) in enumerate(zip(stack.image, usable, strict=True)):
        name = root / f"warp{index}"
        fits.writeto(f"{name}.fits", np.nan_to_num(image), header)
        fits.writeto(f"{name}.weight.fits", weight.astype(np.float32), header)
    names = [str(path) for path in sorted(root.glob("warp*[0-9].fits"))]
    options = {
        "COMBINE_TYPE": "CLIPPED",
        "CLIP_SIGMA": SIGMA,
        "WEIGHT_TYPE": "MAP_WEIGHT",
        "RESAMPLE": "N",
        "SUBTRACT_BACK": "N",
        "NTHREADS": 1,
        "VERBOSE_TYPE": "QUIET",
        "WRITE_XML": "N",
        "IMAGEOUT_NAME": root / "coadd.fits",
        "WEIGHTOUT_NAME": root / "coadd.weight.fits",
    }
    words = [str(word) for key, value in options.items() for word in (f"-{key}", value)]

    def run():
        subprocess.run([program, *names, *words], check=True, cwd=root)
        return folder

    return run


CONTENDERS = {
    "1 device": ours_on_devices,
    "2 devices": ours_on_devices,
    "jaxcoadd": ours,
    "jaxcoadd, 512 bits": ours_wide,
    "jaxcoadd mean": ours_mean,
    "jaxcoadd median": ours_median,
    "jaxcoadd online mean": ours_online,
    "jaxcoadd gradient": ours_gradient,
    "astropy": astropy_clip,
    "jnp.sort": jax_sort,
    "numpy": numpy_clip,
    "ccdproc": ccdproc_combiner,
    "numba": numba_tiles,
    "SWarp": swarp,
    "memory": memory,
}
"""By name; `memory` is the limit, not a stacker."""

PEERS = ("ccdproc", "numba", "SWarp")
"""Only with ``--peers all``."""

DEVICES = {"1 device": 1, "2 devices": 2}
"""The default coadd on so many CPU devices, and as many cores, in wall time."""

SLOW = {"jnp.sort": 8, "numpy": 8, "SWarp": 2}
"""These work on the first of so many parts of the rows; their rate is an input's."""


def cpu_seconds():
    """CPU time of this process and of the programs it has run."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def pin(cores):
    """Bind this process to some cores, a device of JAX to each; before its import."""
    os.sched_setaffinity(0, cores)
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = (
        "--xla_cpu_multi_thread_eigen=false "
        f"--xla_force_host_platform_device_count={len(cores)}"
    )
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
