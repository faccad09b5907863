"""How exposures are warped."""

import dataclasses
import re

from jaxcoadd.resampling import AbstractKernel, Bilinear, Lanczos, Nearest
from jaxcoadd.warps import NANOJANSKY_ZERO_POINT

BACKGROUNDS = ("auto", "file", "mesh", "none")


@dataclasses.dataclass(frozen=True)
class WarpSettings:
    """How exposures are warped; the defaults are LSST's.

    Parameters
    ----------
    kernel
        ``lanczos3``, or another order, ``bilinear`` or ``nearest``.
    spacing
        Pixels between which positions are interpolated; 1: none are.
    zero_point
        AB magnitude of one count of the warps: 31.4 for nanojansky.
    background
        ``"file"``: take off the background that the file holds; ``"mesh"``: one
        measured in cells; ``"none"``; ``"auto"``: that of the file, or one measured
        where the card SKYSUB says that the sky is still in.
    mesh
        Pixels a side of a cell of the measured background.
    need_psf
        Whether an exposure without a point-spread function is left out.
    match_fwhm
        Width of the model that point-spread functions are matched to, in pixels of the
        grid; None: they are not.
    noise_realizations
        Images of noise alone that go with each warp.
    seed
        Of their noise.

    Raises
    ------
    ValueError
        A word or number that cannot be.
    """

    kernel: str = "lanczos3"
    spacing: int = 10
    zero_point: float = NANOJANSKY_ZERO_POINT
    background: str = "auto"
    mesh: int = 128
    need_psf: bool = True
    match_fwhm: float | None = None
    noise_realizations: int = 0
    seed: int = 0

    def __post_init__(self):
        """Refuse words and numbers that cannot be."""
        kernel_of(self.kernel)
        if self.background not in BACKGROUNDS:
            raise ValueError(
                f"background is {self.background!r}; it can be one of {BACKGROUNDS}"
            )
        if self.spacing < 1 or self.mesh < 1:
            raise ValueError(
                f"spacing is {self.spacing} and mesh {self.mesh}; both must be positive"
            )
        if self.match_fwhm is not None and not 0 < self.match_fwhm <= 100:
            raise ValueError(
                f"match_fwhm is {self.match_fwhm}; it must be above 0 and at most 100 "
                "pixels"
            )
        if self.match_fwhm is not None and not self.need_psf:
            raise ValueError(
                "point-spread functions cannot be matched where there are none; leave "
                "out either match_fwhm or exposures without"
            )
        if self.match_fwhm is not None and self.noise_realizations:
            raise ValueError(
                "noise goes with warps as they are, and is not matched; leave out "
                "either match_fwhm or noise_realizations"
            )
        if self.noise_realizations < 0 or not 0 <= self.seed < 1 << 32:
            raise ValueError(
                f"noise_realizations is {self.noise_realizations} and seed "
                f"{self.seed}; neither can be negative, and a seed has 32 bits"
            )
        if not 0 < self.zero_point <= 60:
            raise ValueError(
                f"zero_point {self.zero_point} is not above 0 and at most 60 magnitudes"
            )


def kernel_of(name: str) -> AbstractKernel:
    """Return the kernel that a name means; `ValueError` if it means none."""
    if name == "bilinear":
        return Bilinear()
    if name == "nearest":
        return Nearest()
    order = re.fullmatch(r"lanczos([2-9])", name)
    if order is None:
        raise ValueError(
            f"no kernel {name!r}; there are lanczos2 to lanczos9, bilinear and nearest"
        )
    return Lanczos(int(order[1]))
