"""Compare stackers on one core. See README.md.

python experiments/throughput/run.py [--peers all] [--depths] [--check [--absolute]]
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

from contenders import (
    CONTENDERS,
    DEVICES,
    PEERS,
    SLOW,
    cpu_seconds,
    make_stack,
    pin,
)

HERE = pathlib.Path(__file__).parent

FLOORS = {"astropy": 7.0, "ccdproc": 18.0, "jnp.sort": 25.0}
"""How many times faster than these jaxcoadd must be, where they are measured."""

MOST = {"jaxcoadd gradient": 3.5}
"""How many times the time of the coadd these may take."""

ABSOLUTE = {
    "jaxcoadd": 250,
    "jaxcoadd mean": 600,
    "jaxcoadd median": 250,
    "jaxcoadd online mean": 500,
}
"""Minput/s at 30 warps. It depends on the machine: only with --absolute."""

DEPTHS = {10: 280, 30: 250, 64: 200, 100: 140, 300: 120, 1000: 100}
"""Numbers of warps, and Minput/s, of one machine as well."""

FIRST_CALL = 6.0
"""Seconds of the first call, with imports and compilation, at every depth."""

DEVICE_GAIN = 1.8
"""How many times faster two devices on two cores must be than one."""

DEPTH_CONTENDERS = ("jaxcoadd", "astropy", "memory")
INPUTS = 32 * 2**20  # per stack, at most: 12 bytes each in every worker
ONE = "jaxcoadd"


PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""Large arrays in huge pages, for all contenders alike: see README.md."""


class MissingError(Exception):
    """A contender is not installed."""


class Worker:
    """A pinned process with one contender, built and warmed up."""

    def __init__(self, name, depth, side, seed, core):
        self.name = name
        arguments = [name, depth, side, seed, core]
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | PAGES,
            text=True,
        )
        ready = self._read()
        if "missing" in ready:
            self.close()
            raise MissingError(ready["missing"])
        self.inputs, self.first_call = ready["inputs"], ready["first_call"]

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker for {self.name} died")
        return json.loads(line)

    def run(self):
        """Do the work once; return its CPU seconds."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._read()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def serve(name, depth, side, seed, core):
    """Be a worker: build and warm up, then run once for every line of input."""
    pin({core} if name not in DEVICES else set(range(DEVICES[name])))
    clock = time.perf_counter if name in DEVICES else cpu_seconds
    stack = make_stack(depth, side // SLOW.get(name, 1), side, seed)
    start = time.perf_counter()
    try:
        run = CONTENDERS[name](stack)
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), flush=True)
        return
    inputs = stack.image.size
    run()
    first_call = time.perf_counter() - start
    print(json.dumps({"inputs": inputs, "first_call": first_call}), flush=True)
    for _ in sys.stdin:
        start = clock()
        run()
        print(json.dumps(clock() - start), flush=True)


def race(names, depth, side, options, one=ONE):
    """Let contenders run in turn; return what is known of each, and against one."""
    workers, results = [], {}
    for name in names:
        try:
            workers.append(Worker(name, depth, side, options.seed, options.core))
            print(f"  {name}: ready", file=sys.stderr)
        except MissingError as error:
            results[name] = {"missing": str(error)}
    seconds = {worker.name: [] for worker in workers}
    for _ in range(options.rounds):
        for worker in workers:
            seconds[worker.name].append(worker.run())
    for worker in workers:
        # Ratios within a round: the load of the machine changes between rounds.
        per_input = [t / worker.inputs for t in seconds[worker.name]]
        results[worker.name] = {
            "minput_per_s": 1e-6 / statistics.median(per_input),
            "slowest": 1e-6 / max(per_input),
            "fastest": 1e-6 / min(per_input),
            "first_call_s": worker.first_call,
            "ns_per_input": [1e9 * t for t in per_input],
        }
        worker.close()
    for result in results.values():
        if "missing" not in result:
            pairs = zip(
                result["ns_per_input"], results[one]["ns_per_input"], strict=True
            )
            result["ours_is_faster"] = statistics.median(a / b for a, b in pairs)
    return {name: results[name] for name in names}


def race_depths(options):
    """Let some contenders run for several numbers of warps."""
    found = {}
    for depth in DEPTHS:
        side = min(options.side, side_of(depth))
        found[str(depth)] = race(DEPTH_CONTENDERS, depth, side, options)
        print(f"\n{depth} warps of {side} x {side}\n\n{table(found[str(depth)])}")
    return found


def side_of(depth):
    """Return the side of the largest image of at most INPUTS, up to 1024."""
    return min(1024, int((INPUTS / depth) ** 0.5) // 64 * 64)


def table(results):
    rows = ["| | Minput/s | range | jaxcoadd is faster by | first call |"]
    rows.append("|---|---|---|---|---|")
    for name, result in results.items():
        if "missing" in result:
            rows.append(f"| {name} | not installed | | | |")
            continue
        rows.append(
            f"| {name} | {result['minput_per_s']:.1f} "
            f"| {result['slowest']:.1f} to {result['fastest']:.1f} "
            f"| {result['ours_is_faster']:.2f} | {result['first_call_s']:.1f} s |"
        )
    return "\n".join(rows)


def check(known, absolute):
    """Print the floors; return whether all are met."""
    results = known["n_30"]
    verdicts = []

    def say(what, found, floor, *, most=False, counts=True):
        good = found is not None and (found <= floor if most else found >= floor)
        verdict = ("ok" if good else "FAILED") if counts else "not checked"
        number = "not measured" if found is None else f"{found:.2f}"
        print(f"{verdict}: {what}: {number}, {'at most' if most else 'floor'} {floor}")
        verdicts.append(good or not counts)

    for name, floor in FLOORS.items():
        if name in results:
            ratio = results[name].get("ours_is_faster")
            say(f"times {name}", ratio, floor)
    for name, limit in MOST.items():
        say(f"{name}, in coadds", results[name]["ours_is_faster"], limit, most=True)
    for name, floor in ABSOLUTE.items():
        say(f"{name}, Minput/s", results[name]["minput_per_s"], floor, counts=absolute)
    for depth, found in known.get("by_depth", {}).items():
        one = found[ONE]
        floor = DEPTHS[int(depth)]
        say(f"{depth} warps, Minput/s", one["minput_per_s"], floor, counts=absolute)
        say(f"{depth} warps, first call", one["first_call_s"], FIRST_CALL, most=True)
    if "devices" in known:
        gain = 1 / known["devices"]["2 devices"]["ours_is_faster"]
        say("two devices, times one", gain, DEVICE_GAIN)
    return all(verdicts)


def draw(by_depth, path):
    """Draw Minput/s against the number of warps."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.5), layout="constrained")
    labels = {"memory": "memory limit (reading the same bytes)"}
    for name in DEPTH_CONTENDERS:
        points = [
            (int(depth), results[name]["minput_per_s"])
            for depth, results in by_depth.items()
            if "minput_per_s" in results.get(name, {})
        ]
        style = "k:" if name == "memory" else "o-"
        axes.loglog(*zip(*points, strict=True), style, label=labels.get(name, name))
    axes.set_xticks([int(depth) for depth in by_depth], list(by_depth))
    axes.set_xticks([], minor=True)
    axes.set(xlabel="warps", ylabel="million inputs / s, one core")
    axes.set_ylim(bottom=1)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def describe_machine():
    """Name the processor and the versions."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if "model name" in line]
    versions = {}
    for package in ("jax", "jaxlib", "numpy", "astropy", "ccdproc", "numba"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    cpu = models[0] if models else platform.processor()
    wide = any("avx512f" in line for line in lines)
    return {"cpu": cpu, "avx512": wide, "python": platform.python_version(), **versions}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--peers", choices=("installed", "all"), default="installed")
    parser.add_argument("--depths", action="store_true", help="measure over N, draw")
    parser.add_argument("--check", action="store_true", help="fail below the floors")
    parser.add_argument("--absolute", action="store_true", help="check Minput/s too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--side", type=int, default=1024)
    return parser.parse_args()


def main():
    options = parse_arguments()
    if options.worker:
        name, *numbers = options.worker
        serve(name, *map(int, numbers))
        return 0
    left_out = (*DEVICES, *(() if options.peers == "all" else PEERS))
    names = [name for name in CONTENDERS if name not in left_out]
    results = race(names, 30, options.side, options)
    print(table(results))
    path = HERE / "results.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    known |= {"machine": describe_machine(), "seed": options.seed, "n_30": results}
    path.write_text(json.dumps(known, indent=1) + "\n")
    if len(os.sched_getaffinity(0)) > 1:
        known["devices"] = race(DEVICES, 30, options.side, options, one="1 device")
        print(f"\nwall time\n\n{table(known['devices'])}")
        path.write_text(json.dumps(known, indent=1) + "\n")
    if options.depths:
        known["by_depth"] = race_depths(options)
        path.write_text(json.dumps(known, indent=1) + "\n")
        draw(known["by_depth"], HERE / "throughput.png")
    return 0 if not options.check or check(known, options.absolute) else 1


if __name__ == "__main__":
    sys.exit(main())
