"""Time CompareWarp against the plain clipped coadd, in one run. See README.md.

python experiments/artifacts/speed.py
"""

import argparse
import cProfile
import dataclasses
import json
import pathlib
import pstats
import time

import jax
import jax.numpy as jnp
import numpy as np
from scene import simulate

import jaxcoadd as jc
from jaxcoadd.artifacts.by_model import find_by_model
from jaxcoadd.artifacts.compare_warp import compare_warp
from jaxcoadd.artifacts.config import COMPARE_WARP
from jaxcoadd.artifacts.outliers import with_outliers
from jaxcoadd.coadds import coadd

HERE = pathlib.Path(__file__).parent
STAGES = (
    "compiled_coadd",
    "weigh_once",
    "find_artifacts",
    "find_sources",
    "subtract_static_sky",
    "scale_variance",
    "measure_background",
    "find_candidates",
    "detect",
    "find_footprints",
    "grow_footprints",
    "merge_footprints",
    "_flag",
    "apply_alternative_masks",
    "has_good_pixels",
    "is_transient",
    "is_within_one",
    "count_regions",
    "mask_stack",
    "coadd_without",
    "from_image",
    "_collect",
    "_refuse_whole",
    "stack_warps",
)


def cpu_and_wall(call):
    """Return seconds of processor and of the clock."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall


def ratios(contenders, rounds):
    """Run in turn; return the medians of seconds and of ratios to the first."""
    for call in contenders.values():
        call()
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            times[name].append(cpu_and_wall(call))
    first = np.array(times[next(iter(times))])
    found = {}
    for name, values in times.items():
        cpu, wall = np.median(values, axis=0)
        ratio = np.median(np.array(values) / first, axis=0)
        found[name] = dict(
            zip(
                ("cpu_s", "wall_s", "cpu_ratio", "wall_ratio"),
                (float(v) for v in (cpu, wall, *ratio)),
                strict=True,
            )
        )
    return found


def profile(call, top=12):
    """Return the share of the clock that each stage has, with what it calls."""
    watch = cProfile.Profile()
    watch.runcall(call)
    stats = pstats.Stats(watch)
    total = stats.total_tt
    shares = {}
    for (path, _, name), row in stats.stats.items():
        if name in STAGES and "jaxcoadd" in path:
            shares[name] = shares.get(name, 0) + row[3] / total
    own = sorted(stats.stats.items(), key=lambda item: -item[1][2])[:top]
    return {
        "stages": dict(sorted(shares.items(), key=lambda item: -item[1])),
        "own": {
            f"{pathlib.Path(path).name}:{line} {name}": row[2] / total
            for (path, line, name), row in own
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", action="store_true", help="some minutes more")
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "speed.json")
    arguments = parser.parse_args()
    # The whole rendered field: what is near its borders does not matter here.
    found = simulate(arguments.warps, margin=0)
    stack, sigma = found.stack, float(found.matched_sigma)
    plain = jax.jit(coadd)
    clipped = jc.CoaddConfig()
    median = dataclasses.replace(clipped, statistic=jc.Median())
    nothing = [{}] * arguments.warps

    def compare():
        jax.block_until_ready(
            compare_warp(stack, found.matched, sigma=sigma, config=COMPARE_WARP).coadd
        )

    def outliers():
        with_outliers(stack, nothing, plain(stack, median))

    psfs = jnp.asarray(found.psfs)

    def model():
        find_by_model(stack, psfs, plain(stack, median))

    results = ratios(
        {
            "clipped coadd": lambda: jax.block_until_ready(plain(stack, clipped)),
            "CompareWarp": compare,
            "outliers": outliers,
            **({"model": model} if arguments.model else {}),
        },
        arguments.rounds,
    )
    results["profile"] = profile(compare)
    print(json.dumps(results, indent=1))
    arguments.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
