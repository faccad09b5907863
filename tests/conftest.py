"""Options, markers and the settings that hold for every test."""

import os
from pathlib import Path

# Before JAX starts: four CPU devices, for the tests that spread pixels over them.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
)

import hypothesis
import jax
import pytest

from tests.warp_files import write_warps

GOLDEN = Path(__file__).parent / "golden"

MANY_MAPS = 8000
"""So many memory maps are worth the time to compile small things again."""

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_threefry_partitionable", True)

# The first example of a test compiles, so no deadline; the same examples each run.
hypothesis.settings.register_profile(
    "jaxcoadd", deadline=None, derandomize=True, max_examples=12
)
hypothesis.settings.load_profile("jaxcoadd")


def pytest_addoption(parser):
    """Say where the recorded cases and the full data are."""
    parser.addoption(
        "--golden", type=Path, default=GOLDEN, help="folder of recorded cases"
    )
    parser.addoption(
        "--data", type=Path, default=None, help="folder with saao_kb13475, whole"
    )
    parser.addoption(
        "--exhaustive", action="store_true", help="also run tests of many minutes"
    )


def pytest_collection_modifyitems(config, items):
    """Leave out what takes many minutes, unless asked."""
    if not config.getoption("--exhaustive"):
        skip = pytest.mark.skip(reason="takes many minutes; needs --exhaustive")
        for item in items:
            if item.get_closest_marker("exhaustive"):
                item.add_marker(skip)


def pytest_runtest_teardown(item, nextitem):
    """Forget compiled programs between files, and between families of recorded cases.

    Each holds some of the memory maps of its process. Linux gives a process 65530, and
    XLA crashes where there are no more.
    """
    if nextitem is None or _kind(item) != _kind(nextitem):
        maps = Path("/proc/self/maps")
        if not maps.exists() or maps.read_bytes().count(b"\n") > MANY_MAPS:
            jax.clear_caches()


def _kind(item):
    """Return the file of a test, and the family of its recorded case."""
    parameters = getattr(item, "callspec", None)
    golden = parameters and parameters.params.get("golden_path")
    return item.path, golden and golden.name.split("_")[0]


@pytest.fixture
def warps(tmp_path):
    """Write two small warps, in a folder of their own."""
    folder = tmp_path / "warps"
    folder.mkdir()
    return write_warps(folder, 2)


@pytest.fixture
def output(tmp_path):
    """Name a coadd that is not there yet."""
    return tmp_path / "coadd.fits"


@pytest.fixture(params=[32, 64], ids=["32bit", "64bit"])
def precision(request):
    """Run the test in 32 and in 64 bits."""
    with jax.enable_x64(request.param == 64):
        yield request.param
