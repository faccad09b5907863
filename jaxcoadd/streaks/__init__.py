"""Streaks, such as satellites leave: lines among edges, a fit of each, and masks.

Needs the extra ``[streaks]`` (scikit-image), imported where it is used.
"""

from jaxcoadd.streaks.config import StreakConfig
from jaxcoadd.streaks.finding import Streaks, find_streaks, lines_of_edges
from jaxcoadd.streaks.profiles import (
    ProfileFit,
    StreakPixels,
    fit_profile,
    moffat_profile,
)

__all__ = [
    "ProfileFit",
    "StreakConfig",
    "StreakPixels",
    "Streaks",
    "find_streaks",
    "fit_profile",
    "lines_of_edges",
    "moffat_profile",
]
