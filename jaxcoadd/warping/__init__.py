"""From exposures in files to warps in files."""

from jaxcoadd.warping.backgrounds import MissingExtraError
from jaxcoadd.warping.files import WarpedFile, warp_files, warp_paths
from jaxcoadd.warping.run import WarpedVisit, warp_visit
from jaxcoadd.warping.settings import WarpSettings
from jaxcoadd.warping.visits import (
    NothingWarpedError,
    Skipped,
    Visit,
    find_visits,
)

__all__ = [
    "MissingExtraError",
    "NothingWarpedError",
    "Skipped",
    "Visit",
    "WarpSettings",
    "WarpedFile",
    "WarpedVisit",
    "find_visits",
    "warp_files",
    "warp_paths",
    "warp_visit",
]
