"""Find the streaks of an image, and mask them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt32

from jaxcoadd.arrays import Image, Mask, as_mask, as_pixels, check_planes
from jaxcoadd.masks import LSST_PLANES, MaskPlanes
from jaxcoadd.streaks.chains import (
    link_edges,
    square_step,
    straight_pieces,
    straight_step,
)
from jaxcoadd.streaks.clusters import cluster_lines
from jaxcoadd.streaks.config import StreakConfig
from jaxcoadd.streaks.edges import detected_edges
from jaxcoadd.streaks.fitting import Scene, Streak, fit_streak, streak_region
from jaxcoadd.streaks.hough import Lines, find_lines

# Two fits that end this near to each other are one streak (widths, degrees).
_SAME_WIDTHS, _SAME_DEGREES = 0.5, 0.2


class Streaks(NamedTuple):
    """The streaks of an image.

    Parameters
    ----------
    lines
        One row a streak: distance from the centre of the image (pixels), angle
        (degrees) and width (pixels), as in `Streak`.
    mask
        The mask of the image, with the plane of streaks set.
    """

    lines: Float[np.ndarray, "streak 3"]
    mask: UInt32[np.ndarray, "y x"]


def find_streaks(
    image: Image | np.ndarray,
    variance: Image | np.ndarray,
    mask: Mask | np.ndarray,
    *,
    planes: MaskPlanes = LSST_PLANES,
    config: StreakConfig | None = None,
) -> Streaks:
    """Find straight streaks, such as satellites leave, and mask them.

    Parameters
    ----------
    image, variance
        An image without stars, such as the difference from a static sky, and its
        variance, (y, x).
    mask
        Its mask, with detected pixels set.
    planes
        Planes of the mask; those of detected pixels and of streaks must be there.
    config
        How streaks are found and masked; by default as LSST does.

    Returns
    -------
    Streaks
        Lines, those with most votes first, and the mask. Streaks that are set in the
        mask before stay set, and without new ones it is as it was.

    Raises
    ------
    ImportError
        scikit-image is not installed.
    ValueError
        Images that are not two-dimensional or differ in shape, or a plane of the mask
        that is not there.

    Notes
    -----
    On the host, but for the fit, which is compiled, in the precision of the image.
    LSST's MaskStreaksTask: edges of the detected pixels, lines by the kernel-based
    Hough transform, clusters of lines, and a fit of the profile. Two lines that end in
    the same fit are one streak here.

    Examples
    --------
    >>> none = np.zeros((64, 64), np.float32)
    >>> find_streaks(none, none + 1, none.astype(np.uint32)).lines.shape
    (0, 3)
    """
    config = StreakConfig() if config is None else config
    arrays = as_pixels(image), as_pixels(variance), as_mask(mask)
    check_planes(*arrays)
    pixels, variances, bits = map(np.asarray, arrays)
    bit = np.uint32(1 << planes.bit(config.streak_plane))
    scene = Scene(
        pixels,
        variances,
        bits,
        bad=planes.bits(config.bad_planes),
        detected=1 << planes.bit(config.detected_plane),
    )
    streaks: list[Streak] = []
    for rho, theta in lines_of_edges(detected_edges(bits, planes, config), config):
        streak = fit_streak(scene, rho, theta, config)
        if streak is not None and not any(_same(streak, other) for other in streaks):
            streaks.append(streak)
    lines = np.array([streak[:3] for streak in streaks], float).reshape(-1, 3)
    region = streak_region(scene, streaks, config)
    return Streaks(lines, np.where(region, bits | bit, bits))


def lines_of_edges(edges: Bool[np.ndarray, "y x"], config: StreakConfig) -> Lines:
    """Return the lines among edge pixels, one a cluster, most votes first."""
    pieces = []
    for follower in (square_step, straight_step):
        for chain in link_edges(
            edges, follower, minimum_size=config.cluster_minimum_size
        ):
            pieces += straight_pieces(
                chain,
                minimum_size=config.cluster_minimum_size,
                minimum_deviation=config.cluster_minimum_deviation,
            )
    lines = find_lines(pieces, edges.shape, config)
    return cluster_lines(
        lines, rho_bin=config.rho_bin_size, theta_bin=config.theta_bin_size
    )


def _same(streak: Streak, other: Streak) -> bool:
    """Whether two fits ended at one streak, perhaps seen from the other side."""
    turns = round((streak.theta - other.theta) / 180)
    turn = streak.theta - other.theta - 180 * turns
    shift = streak.rho - (-1) ** turns * other.rho
    near = abs(shift) < _SAME_WIDTHS * min(streak.sigma, other.sigma)
    return near and abs(turn) < _SAME_DEGREES
