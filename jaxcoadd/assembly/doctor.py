"""Check an installation: versions, devices, and a coadd whose result is known."""

import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import jax
import numpy as np

from jaxcoadd.coadds import coadd
from jaxcoadd.warps import Warp, stack_warps

PACKAGES = ("jaxcoadd", "jax", "jaxlib", "numpy", "scipy", "astropy", "equinox")
OPTIONAL = ("matplotlib", "rich")


def check_installation(say: Callable[[str], None] = print) -> bool:
    """Say what is installed, and whether a small coadd comes out right."""
    say(f"Python {platform.python_version()} on {platform.platform()}")
    for name in (*PACKAGES, *OPTIONAL):
        try:
            say(f"{name} {version(name)}")
        except PackageNotFoundError:
            say(f"{name}: not installed (optional)" if name in OPTIONAL else f"{name}?")
    devices = ", ".join(str(device) for device in jax.devices())
    bits = 64 if jax.config.read("jax_enable_x64") else 32
    say(f"devices: {devices}; pixels in {bits} bits")
    sound = _check_every_depth()
    say("coadds of 1 to 40 warps: " + ("right" if sound else "WRONG; report this"))
    return sound


def _check_every_depth() -> bool:
    """Coadd 1 to 40 constant warps with an outlier; the answer is plain.

    Some versions of XLA got short sums wrong once a shorter one had been compiled.
    """
    pixels = (2, 3)
    for n in range(1, 41):
        values = np.full(n, 10.0)
        values[-1] = 10.0 if n < 4 else 1e4
        warps = [Warp(np.full(pixels, v), np.full(pixels, 4.0)) for v in values]
        made = jax.jit(coadd)(stack_warps(warps))
        kept = n if n < 4 else n - 1
        right = np.allclose(made.image, 10.0) and np.allclose(made.variance, 4.0 / kept)
        if not right:
            return False
    return True
