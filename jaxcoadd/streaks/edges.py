"""Edges of the detected regions of an image, away from bad and saturated pixels."""

import numpy as np
from jaxtyping import Bool, UInt32
from scipy.spatial import KDTree

from jaxcoadd.masks import MaskPlanes
from jaxcoadd.streaks.config import StreakConfig

# Smaller than any kernel: the edges are those of the pixels.
_CANNY_SIGMA = 0.1


def detected_edges(
    mask: UInt32[np.ndarray, "y x"], planes: MaskPlanes, config: StreakConfig
) -> Bool[np.ndarray, "y x"]:
    """Return the edges of detected regions that may belong to streaks.

    Parameters
    ----------
    mask
        Mask of an image, (y, x).
    planes
        Its planes.
    config
        Which planes, and how far from saturated pixels.

    Returns
    -------
    Array
        Edges of Canny's kind, one pixel wide. None within one pixel of bad pixels, nor
        near those that are both saturated and detected.

    Raises
    ------
    ImportError
        scikit-image is not installed.
    ValueError
        There is no plane of detected pixels.
    """
    detected = (mask & np.uint32(1 << planes.bit(config.detected_plane))) != 0
    if not detected.any():
        return detected
    edges = canny_edges(detected)
    y, x = np.nonzero(edges)
    bad = (mask & np.uint32(planes.bits(config.bad_planes))) != 0
    saturated = detected & ((mask & np.uint32(planes.bits(["SAT"]))) != 0)
    spoilt = _touches(bad, y, x) | _near(saturated, y, x, config.saturated_dilation)
    edges[y[spoilt], x[spoilt]] = False
    return edges


def canny_edges(region: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Return the edges of a region, by scikit-image, which must be installed."""
    try:
        from skimage.feature import canny
    except ImportError as error:
        raise ImportError(
            "streaks need scikit-image; install it with: pip install "
            "'jaxcoadd[streaks]'"
        ) from error
    return canny(region, sigma=_CANNY_SIGMA, use_quantiles=True)


def _touches(region, y, x) -> Bool[np.ndarray, " pixel"]:
    """Whether pixels or one of their four neighbours are in a region."""
    if not region.any():
        return np.zeros(len(y), bool)
    padded = np.pad(region, 1)
    y, x = y + 1, x + 1
    steps = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
    return np.any([padded[y + dy, x + dx] for dy, dx in steps], axis=0)


def _near(region, y, x, distance: float) -> Bool[np.ndarray, " pixel"]:
    """Whether pixels are within a distance of a region."""
    points = np.argwhere(region)
    if not len(points):
        return np.zeros(len(y), bool)
    # A little more, so that rounding does not lose those at the very distance.
    found, _ = KDTree(points).query(
        np.stack([y, x], axis=-1), distance_upper_bound=distance * (1 + 1e-12) + 1e-9
    )
    return np.isfinite(found)
