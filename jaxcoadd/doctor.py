"""Check an installation: versions, devices, and a coadd whose result is known."""

import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("jaxcoadd", "jax", "jaxlib", "numpy", "scipy", "astropy", "equinox")
OPTIONAL = (
    "matplotlib",
    "rich",
    "astropy-healpix",
    "photutils",
    "shapely",
    "healsparse",
)

DEPTHS = (1, 2, 5)
"""Depths of the coadds that are tried: some versions of XLA got short sums wrong
once a shorter one had been compiled."""


def check_installation(say: Callable[[str], None] = print) -> bool:
    """Say what is installed, and whether small coadds come out right.

    Returns
    -------
    bool
        Whether all is well.
    """
    say(f"Python {platform.python_version()} on {platform.platform()}")
    for name in (*PACKAGES, *OPTIONAL):
        say(_version_line(name))
    checks = {
        "devices": _check_devices,
        "memory": _check_memory,
        "sample data": _check_sample,
        f"coadds of {', '.join(map(str, DEPTHS))} warps": _check_coadds,
    }
    # Not a generator: every check is done, also after one that failed.
    return all([_passes(name, check, say) for name, check in checks.items()])


def _version_line(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name}: not installed" + " (optional)" * (name in OPTIONAL)


def _passes(name: str, check: Callable[[], str], say: Callable[[str], None]) -> bool:
    """Do one check, and say what it found or how it failed, whatever that was."""
    try:
        say(f"{name}: {check()}")
    except Exception as error:
        say(f"{name}: FAILED, {type(error).__name__}: {error}")
        return False
    return True


def _check_devices() -> str:
    import jax

    listed = ", ".join(str(device) for device in jax.devices())
    bits = 64 if jax.config.read("jax_enable_x64") else 32
    return f"{listed}; pixels in {bits} bits"


def _check_memory() -> str:
    from jaxcoadd.assembly.memory import MEBIBYTE, machine_memory

    mebibytes = machine_memory() // MEBIBYTE
    return f"{mebibytes} MiB, of which a run takes at most half unless told otherwise"


def _check_sample() -> str:
    from jaxcoadd.demo import decam_warps, saao_warps
    from jaxcoadd.io import open_warp

    paths = [*decam_warps("g"), *decam_warps("r"), *decam_warps("z"), *saao_warps()]
    checked = sum(open_warp(path).verify() > 0 for path in paths)
    return f"{len(paths)} warps, {checked} of them with checksums, all readable"


def _check_coadds() -> str:
    """Coadd constant warps, the last one off where that can be told; all is known."""
    import jax
    import numpy as np

    from jaxcoadd.coadds import CoaddConfig, coadd
    from jaxcoadd.warps import Warp, stack_warps

    for n in DEPTHS:
        values = np.full(n, 10.0)
        values[-1] = 10.0 if n < 4 else 1e4
        warps = [Warp(np.full((2, 3), v), np.full((2, 3), 4.0)) for v in values]
        made = jax.jit(coadd)(stack_warps(warps), CoaddConfig(interpolate=False))
        kept = n if n < 4 else n - 1
        right = np.allclose(made.image, 10.0) and np.allclose(made.variance, 4.0 / kept)
        if not right:
            raise ValueError(
                f"a coadd of {n} warps is wrong; report this with the versions above"
            )
    return "right"
