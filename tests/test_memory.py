"""A run keeps to the memory that it is given, however many warps there are."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxcoadd.assembly import make_plan, read_settings
from jaxcoadd.assembly.memory import BESIDE_BYTES, MEBIBYTE
from tests import fits_files as files
from tests.warp_files import PLANES

SIZE = 1200

PEAK = """
import re, sys
from jaxcoadd.cli import main
code = main(sys.argv[1:])
status = open("/proc/self/status").read()
print(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1], file=sys.stderr)
sys.exit(code)
"""
"""Runs the command, and says the most memory that it had, in kibibytes.

Not by getrusage: its ru_maxrss begins with the memory of the process that starts this.
"""


@pytest.fixture(scope="module")
def warps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    return [write_large(folder, number) for number in range(12)]


def write_large(folder, number):
    """Write a warp whose pixels, 17 MB, are large enough to be seen in the memory."""
    rng = np.random.default_rng(number)
    shape = (SIZE, SIZE)
    scene = files.Scene(
        rng.normal(0, 1, shape).astype(np.float32),
        rng.uniform(0.9, 1.1, shape).astype(np.float32),
        (rng.random(shape) < 0.05).astype(np.uint32),
    )
    cards = {"VISIT": number, "MAGZERO": 27.0}
    path = folder / f"{number}.fits"
    return files.write_afw(path, scene, planes=PLANES, cards=cards)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    ("method", "mebibytes", "keep"),
    [("plain", 560, True), ("plain", 400, False), ("compare-warp", 740, False)],
    ids=["once", "twice", "compared"],
)
def test_a_run_keeps_to_its_memory(warps, tmp_path, method, mebibytes, keep):
    settings = read_settings(method=method)
    plan = make_plan(warps, settings, memory=mebibytes << 20)
    assert plan.keep == keep and plan.subregions > 1
    command = ["assemble", *map(str, warps), "--output", str(tmp_path / "c.fits")]
    command += ["--method", method]
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *command, "--memory", f"{mebibytes}MB"],
        check=False,
        capture_output=True,
        text=True,
        env=environment | {"JAX_PLATFORMS": "cpu"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert (
        int(done.stderr.splitlines()[-1]) / 1024 < mebibytes + BESIDE_BYTES / MEBIBYTE
    )
