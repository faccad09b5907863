"""Fit a streak in an image, and say which pixels it covers."""

import dataclasses
import functools
from collections.abc import Iterable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, UInt32

from jaxcoadd.streaks.bands import Band, band_of_line, bins_along, pixels_of_band
from jaxcoadd.streaks.config import StreakConfig
from jaxcoadd.streaks.profiles import fit_profile

# Pixels within this many widths of a line take part in its fit.
_FIT_WIDTHS = 10.0
# The line may leave the image by half of its half-diagonal.
_FARTHEST = 1.5
# A fit may move a line by this many bins.
_MOST_MOVED = 2


class Streak(NamedTuple):
    """A straight streak.

    Parameters
    ----------
    rho
        Distance of its middle from the centre of the image, which is at half the
        size, counted from the middle of the first pixel; in pixels, with a sign.
    theta
        Angle of the perpendicular with the x axis, in degrees.
    sigma
        Width of the profile ``(1 + (distance / sigma)**2) ** -2.5``, in pixels.
    amplitude
        Brightness of the middle, in the unit of the image.
    """

    rho: float
    theta: float
    sigma: float
    amplitude: float


@dataclasses.dataclass(frozen=True)
class Scene:
    """An image with its variance and mask.

    Parameters
    ----------
    image, variance, mask
        Pixels, (y, x).
    bad, detected
        Bits of the mask: of pixels that do not count, and of those detected.
    """

    image: Float[np.ndarray, "y x"]
    variance: Float[np.ndarray, "y x"]
    mask: UInt32[np.ndarray, "y x"]
    bad: int
    detected: int

    def is_detected(self, band: Band) -> Bool[np.ndarray, " pixel"]:
        """Say which pixels of a band are detected."""
        return (self.mask[band.y, band.x] & np.uint32(self.detected)) != 0

    def weights(self, band: Band) -> Float[np.ndarray, " pixel"]:
        """Return one over the variance of each pixel of a band, 0 for bad ones."""
        variance = self.variance[band.y, band.x]
        good = (self.mask[band.y, band.x] & np.uint32(self.bad)) == 0
        good &= np.isfinite(self.image[band.y, band.x])
        good &= np.isfinite(variance) & (variance > 0)
        return np.where(good, 1 / np.where(good, variance, 1), 0)


def fit_streak(
    scene: Scene, rho: float, theta: float, config: StreakConfig
) -> Streak | None:
    """Fit a streak near a line.

    Parameters
    ----------
    scene
        The image.
    rho, theta
        The line, in pixels and degrees, as for `Streak`.
    config
        Where the fit begins and ends.

    Returns
    -------
    Streak or None
        ``None`` where the fit fails, or ends far from the line.
    """
    half_width = _FIT_WIDTHS / config.inverse_width
    shape = scene.image.shape
    band = band_of_line(shape, rho, theta, half_width=half_width)
    if not len(band.y):
        return None
    bins, kept = bins_along(band, scene.is_detected(band))
    pixels, kept = pixels_of_band(
        band, bins, kept, image=scene.image, weight=scene.weights(band), rho=rho
    )
    fit = _compiled_fit(
        pixels,
        kept,
        np.asarray(config.inverse_width, scene.image.dtype),
        np.asarray(_FARTHEST * np.hypot(*shape) / 2, scene.image.dtype),
        chi2_tolerance=config.chi2_tolerance,
        max_iterations=config.max_fit_iterations,
    )
    shift, turn, inverse_width = np.asarray(fit.shape, float)
    turn = np.rad2deg(turn)
    moved = abs(shift) > _MOST_MOVED * config.rho_bin_size
    moved |= abs(turn) > _MOST_MOVED * config.theta_bin_size
    if not fit.converged or moved:
        return None
    width = float(1 / abs(inverse_width))
    return Streak(float(rho + shift), float(theta + turn), width, float(fit.amplitude))


@functools.partial(jax.jit, static_argnames=("chi2_tolerance", "max_iterations"))
def _compiled_fit(pixels, kept, inverse_width, max_rho, **limits):
    return fit_profile(pixels, kept, inverse_width, max_rho=max_rho, **limits)


def streak_region(
    scene: Scene, streaks: Iterable[Streak], config: StreakConfig
) -> Bool[np.ndarray, "y x"]:
    """Return the pixels that streaks cover.

    Parameters
    ----------
    scene
        The image.
    streaks
        Streaks in it.
    config
        How wide and how bright a streak is there, and whether only detected pixels
        are to be covered.

    Returns
    -------
    Array
        True where a streak is, (y, x); never for pixels without weight.
    """
    region = np.zeros(scene.image.shape, bool)
    for streak in streaks:
        band = band_of_line(
            scene.image.shape,
            streak.rho,
            streak.theta,
            half_width=_mask_half_width(streak, config),
        )
        covered = scene.weights(band) > 0
        if config.only_mask_detected:
            covered &= scene.is_detected(band)
        region[band.y[covered], band.x[covered]] = True
    return region


def _mask_half_width(streak: Streak, config: StreakConfig) -> float:
    """Return how far from its middle a streak is masked, in pixels."""
    widths = config.n_sigma_mask
    if config.footprint_threshold > 0:
        # Where the profile falls to the threshold.
        ratio = abs(streak.amplitude) / config.footprint_threshold
        widths = min(widths, max(ratio**0.4 - 1, 0.0) ** 0.5)
    half_width = widths * streak.sigma
    if config.max_streak_width > 0:
        half_width = min(half_width, config.max_streak_width / 2)
    return half_width
