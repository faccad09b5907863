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
    "helpers",
    "interp",
    "online",
    "poly",
    "psf",
    "real",
    "select",
    "skymap",
    "stack",
    "warp",
    "weight",
    "zeropoint",
)
"""Families with a module of their name in tests/replay."""


def golden_files(config):
    """Return the files of a folder of cases, by family."""
    folder = Path(config.getoption("--golden"))
    families = collections.defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.name.endswith((".npz", ".json", ".json.gz")):
            families[path.name.split("_")[0]].append(path)
    return families


def pytest_generate_tests(metafunc):
    """Make one test a file of a covered family."""
    if "golden_path" in metafunc.fixturenames:
        families = golden_files(metafunc.config)
        paths = [path for family in COVERED for path in families.get(family, [])]
        # The quick run takes every fourth, and none of whole coadds.
        slow = [
            n % 4 > 0 or paths[n].name.startswith("real") for n in range(len(paths))
        ]
        cases = [
            pytest.param(path, id=path.name, marks=[pytest.mark.slow] * leave_out)
            for path, leave_out in zip(paths, slow, strict=True)
        ]
        metafunc.parametrize("golden_path", cases)


@pytest.mark.parametrize("bits", [64, pytest.param(32, marks=pytest.mark.slow)])
def test_recorded_case_comes_out(golden_path, bits, request):
    """What the original recorded is what we get."""
    family = golden_path.name.split("_")[0]
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
