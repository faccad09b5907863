"""Replay every recorded case whose family is covered, from any folder of them."""

import collections
import importlib
from pathlib import Path

import jax
import pytest

from tests.conftest import GOLDEN
from tests.replay.weight import replay_statistics

COVERED = (
    "apcorr",
    "bright",
    "comparewarp",
    "detect",
    "helpers",
    "interp",
    "online",
    "poly",
    "psf",
    "real",
    "safeclip",
    "scalevariance",
    "select",
    "skymap",
    "stack",
    "streak",
    "warp",
    "weight",
    "zeropoint",
)
"""Families with a module of their name in tests/replay."""

ON_THE_HOST = ("apcorr", "bright", "helpers", "poly", "select", "skymap")
"""Families that need no JAX: always in double precision."""


OWN_SHAPES = ("comparewarp", "psf", "safeclip")
"""Families of which only some cases are usually replayed in 32 bits."""


def golden_files(config):
    """Return the files of a folder of cases, by family."""
    folder = Path(config.getoption("--golden"))
    families = collections.defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.name.endswith((".npz", ".json", ".json.gz")):
            families[path.name.split("_")[0]].append(path)
    return families


def pytest_generate_tests(metafunc):
    """Make one test a file of a covered family and precision."""
    if "golden_path" not in metafunc.fixturenames:
        return
    families = golden_files(metafunc.config)
    paths = [path for family in COVERED for path in families.get(family, [])]
    # Cases of another folder are all replayed.
    own = Path(metafunc.config.getoption("--golden")) == GOLDEN
    cases = [
        pytest.param(
            path,
            bits,
            id=f"{path.name}-{bits}",
            marks=marks_of(n, path, bits) if own else [],
        )
        for n, path in enumerate(paths)
        for bits in precisions_of(path)
    ]
    metafunc.parametrize(("golden_path", "bits"), cases)


def family_of(path):
    return path.name.split("_")[0]


def precisions_of(path):
    """Return the precisions: what is computed on the host has one."""
    return (64,) if family_of(path) in ON_THE_HOST else (64, 32)


def marks_of(number, path, bits):
    """Leave out of the quick run all but every fourth, and of the usual run some more.

    Each of `OWN_SHAPES` has shapes of its own, and takes some seconds to compile.
    """
    quick = number % 4 == 0 and bits == 64 and family_of(path) != "real"
    if family_of(path) in OWN_SHAPES and bits == 32 and number % 8:
        return [pytest.mark.exhaustive]
    return [] if quick else [pytest.mark.slow]


def test_recorded_case_comes_out(golden_path, bits, request):
    """What the original recorded is what we get."""
    family = family_of(golden_path)
    replay = importlib.import_module(f"tests.replay.{family}").replay
    if family == "real":
        replay(golden_path, bits, request.config.getoption("--data"))
        return
    with jax.enable_x64(bits == 64):
        replay(golden_path, bits)


@pytest.mark.exhaustive
def test_recorded_statistics_of_a_plane_come_out(request):
    """A plane is a stack of one pixel, so deep that quantiles are found otherwise."""
    with jax.enable_x64(True):
        for path in golden_files(request.config)["weight"]:
            replay_statistics(path)


def test_families_that_are_not_covered_yet_are_named(request, capsys):
    """The others are listed, so that nobody takes them for passed."""
    families = golden_files(request.config)
    left = {name: len(paths) for name, paths in families.items() if name not in COVERED}
    with capsys.disabled():
        for name, number in sorted(left.items()):
            print(f"\nnot covered yet: {name}_* ({number} files)", end="")
    if Path(request.config.getoption("--golden")) == GOLDEN:
        assert set(COVERED) <= set(families)
