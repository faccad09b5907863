"""Streaks, as what finds trails on the differences of CompareWarp."""

import jax.numpy as jnp
import numpy as np

from jaxcoadd.artifacts.differences import Difference, StreakFinder
from jaxcoadd.detection.detect import clear_planes
from jaxcoadd.masks import has_any
from jaxcoadd.streaks import StreakConfig, find_streaks


def streak_finder(config: StreakConfig | None = None) -> StreakFinder:
    """Make what finds streaks on a difference, for `compare_warp`.

    Parameters
    ----------
    config
        How streaks are found; by default as LSST does.

    Returns
    -------
    StreakFinder
        A function of a `Difference`. It raises an `ImportError` where scikit-image is
        not installed.

    Notes
    -----
    What a warp had in the plane of streaks before does not count.
    """
    config = StreakConfig() if config is None else config

    def find(difference: Difference) -> np.ndarray:
        planes = difference.planes.add(config.streak_plane)
        found = find_streaks(
            difference.image,
            difference.variance,
            clear_planes(difference.mask, planes, (config.streak_plane,)),
            planes=planes,
            config=config,
        )
        bit = 1 << planes.bit(config.streak_plane)
        return np.asarray(has_any(jnp.asarray(found.mask), bit))

    return find
