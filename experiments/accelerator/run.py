"""Measure the stacker on one device against its own copy bandwidth. See README.md.

python experiments/accelerator/run.py [--side 4100] [--depths 10 30 100] [--fused]
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

POSITIONS, RESAMPLED = 20, 13
"""Bytes: read of each position; written of each resampled pixel, a truth value too."""

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


def seconds(function, *arguments, rounds=5, calls=8):
    """Return the median time of a compiled function, warmed up.

    Several calls are in flight at once, so that the device does not wait for Python.
    """
    jax.block_until_ready(function(*arguments))
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        jax.block_until_ready([function(*arguments) for _ in range(calls)])
        taken.append((time.perf_counter() - start) / calls)
    return statistics.median(taken)


def copy_bandwidth(side):
    """Return the bytes a second, read and written, of x + 1 for large arrays."""
    x = jnp.zeros((8, side, side))
    return 2 * x.nbytes / seconds(jax.jit(lambda x: x + 1), x)


def measure_resampling(side):
    """Return megapixels a second of Lanczos-3, positions given, and bytes a second."""
    row, column = jnp.mgrid[0:side, 0:side].astype(jnp.float32)
    turned = jnp.stack([row + 0.1 * column - 0.05 * side, column - 0.1 * row])
    positions = jc.Positions(
        row=jnp.floor(turned[0]).astype(jnp.int32),
        column=jnp.floor(turned[1]).astype(jnp.int32),
        row_fraction=turned[0] % 1,
        column_fraction=turned[1] % 1,
        area=jnp.ones((side, side)),
    )
    image = jax.random.normal(jax.random.key(0), (side, side))
    mask = jnp.zeros((side, side), jnp.uint32)
    taken = seconds(jax.jit(jc.resample), image, jnp.ones_like(image), mask, positions)
    return {
        "mpix_per_s": 1e-6 * side * side / taken,
        "bytes_per_s": (READ + POSITIONS + RESAMPLED) * side * side / taken,
    }


def fused_or_plain(fused):
    """Return the function that stacks: XLA's, or the one kernel of `fused_kernel`."""
    if not fused:
        return lambda stack: jc.stack_pixels(stack, CONFIG)
    from fused_kernel import stack_fused

    return lambda stack: stack_fused(stack, CONFIG)


def check_fused(depth, side, seed):
    """Tell whether the one kernel gives the bits that XLA's kernels give."""
    stack = make_stack(depth, side, seed)
    plain, fused = (jax.jit(fused_or_plain(kind))(stack) for kind in (False, True))
    return {
        name: bool(jnp.array_equal(getattr(plain, name), row, equal_nan=name != "mask"))
        for name, row in fused.items()
    }


def measure(depth, side, seed, fused=False):
    """Measure one depth, with half of the rows until they fit; None if none do."""
    rows = side
    while rows > 64:
        try:
            stack = make_stack(depth, rows, seed)
            taken = seconds(jax.jit(fused_or_plain(fused)), stack)
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
    parser.add_argument(
        "--fused", action="store_true", help="one kernel, see README.md"
    )
    options = parser.parse_args()
    device = jax.devices()[0]
    name = f"{device.platform}: {device.device_kind}"
    if options.fused and device.platform != "gpu":
        parser.error(f"--fused needs a GPU, and this is a {device.platform}")
    if device.platform == "cpu":
        print("there is no accelerator here; these are the figures of the CPU")
    bandwidth = copy_bandwidth(options.side)
    print(f"{name}: copies {bandwidth / 1e9:.0f} GB/s\n")
    print("| warps | side | Minput/s | of the copy bandwidth |\n|---|---|---|---|")
    found = {}
    for depth in options.depths:
        one = measure(depth, options.side, options.seed, options.fused)
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
    one = measure_resampling(options.side)
    one["share"] = one["bytes_per_s"] / bandwidth
    found["lanczos3"] = one
    print(
        f"\nLanczos-3, positions given: {one['mpix_per_s']:.0f} Mpix/s, "
        f"{one['share']:.2f} of the copy bandwidth"
    )
    path = HERE / "results.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    known[name] = {"copy_bytes_per_s": bandwidth, "jax": jax.__version__, **found}
    path.write_text(json.dumps(known, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
