"""Measure the stacker on one device against its own copy bandwidth. See README.md.

python experiments/accelerator/run.py [--side 4100] [--depths 10 30 100]
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

import jax
import jax.numpy as jnp

import jaxcoadd as jc

HERE = pathlib.Path(__file__).parent
READ, WRITTEN = 12, 16
"""Bytes: read of each input; written of each pixel (image, variance, mask, n_image)."""

CONFIG = jc.CoaddConfig(interpolate=False)


def make_stack(depth, side, seed):
    """Draw a stack on the device: 3 % masked, 1 % NaN, 0.3 % outliers."""

    @jax.jit
    def draw(key):
        keys = jax.random.split(key, 4)
        shape = (depth, side, side)
        image = 100 + 10 * jax.random.normal(keys[0], shape)
        image = jnp.where(jax.random.uniform(keys[1], shape) < 0.003, 1100, image)
        image = jnp.where(jax.random.uniform(keys[2], shape) < 0.01, jnp.nan, image)
        masked = jax.random.uniform(keys[3], shape) < 0.03
        mask = jnp.where(masked, jnp.uint32(2), jnp.uint32(0))
        return image, jnp.full(shape, 100.0), mask

    image, variance, mask = draw(jax.random.key(seed))
    return jc.WarpStack(
        image=image,
        variance=variance,
        mask=mask,
        planes=jc.LSST_PLANES,
        zero_point=jnp.full(depth, 27.0),
        weight=jnp.linspace(0.5, 2.0, depth),
        present=jnp.ones(depth, bool),
    )


def seconds(function, *arguments, rounds=5):
    """Return the median time of a compiled function, warmed up."""
    jax.block_until_ready(function(*arguments))
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def copy_bandwidth(side):
    """Return the bytes a second, read and written, of x + 1 for large arrays."""
    x = jnp.zeros((8, side, side))
    return 2 * x.nbytes / seconds(jax.jit(lambda x: x + 1), x)


def measure(depth, side, seed):
    """Measure one depth, with half of the rows until they fit; None if none do."""
    rows = side
    while rows > 64:
        try:
            stack = make_stack(depth, rows, seed)
            taken = seconds(jax.jit(jc.stack_pixels), stack, CONFIG)
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            print(f"  {depth} warps of {rows} x {rows} do not fit", file=sys.stderr)
            rows //= 2
            continue
        pixels = rows * rows
        return {
            "side": rows,
            "minput_per_s": 1e-6 * depth * pixels / taken,
            "bytes_per_s": (READ * depth + WRITTEN) * pixels / taken,
        }
    return None


def main():
    """Measure, print a table, and keep the results under the name of the device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=4100)
    parser.add_argument("--depths", type=int, nargs="+", default=[10, 30, 100])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    device = jax.devices()[0]
    name = f"{device.platform}: {device.device_kind}"
    if device.platform == "cpu":
        print("there is no accelerator here; these are the figures of the CPU")
    bandwidth = copy_bandwidth(options.side)
    print(f"{name}: copies {bandwidth / 1e9:.0f} GB/s\n")
    print("| warps | side | Minput/s | of the copy bandwidth |\n|---|---|---|---|")
    found = {}
    for depth in options.depths:
        one = measure(depth, options.side, options.seed)
        if one is None:
            print(f"| {depth} | does not fit | | |")
            continue
        one["share"] = one["bytes_per_s"] / bandwidth
        found[str(depth)] = one
        print(
            f"| {depth} | {one['side']} | {one['minput_per_s']:.0f} "
            f"| {one['share']:.2f} |",
            flush=True,
        )
    path = HERE / "results.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    known[name] = {"copy_bytes_per_s": bandwidth, "jax": jax.__version__, **found}
    path.write_text(json.dumps(known, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
