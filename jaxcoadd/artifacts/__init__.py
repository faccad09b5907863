"""Artifacts: what a few warps show and the others do not, and coadds without it."""

from jaxcoadd.artifacts.alternatives import coadd_without, flag_edges, mask_stack
from jaxcoadd.artifacts.background_matching import (
    ConstantOffset,
    PlaneOffset,
    SkyOffset,
    SplineOffset,
    match_backgrounds,
    sky_offset,
)
from jaxcoadd.artifacts.by_model import StaticModel, find_by_model, fit_model
from jaxcoadd.artifacts.compare_warp import (
    ComparedCoadd,
    compare_warp,
    compare_with,
    static_sky,
)
from jaxcoadd.artifacts.config import (
    COMPARE_WARP,
    COMPARE_WARP_V24,
    CompareWarpConfig,
)
from jaxcoadd.artifacts.differences import (
    Candidates,
    Difference,
    StreakFinder,
    find_candidates,
    subtract_static_sky,
)
from jaxcoadd.artifacts.filters import (
    count_regions,
    has_good_pixels,
    is_transient,
    is_within_one,
    max_epochs,
    number_pixels,
)
from jaxcoadd.artifacts.finding import (
    ArtifactError,
    Artifacts,
    find_artifacts,
    find_sources,
    remarks,
)
from jaxcoadd.artifacts.model_config import BY_MODEL, ModelConfig, SmoothSearch
from jaxcoadd.artifacts.outliers import (
    OUTLIERS,
    OutlierConfig,
    find_outliers,
    outlying_region,
    with_outliers,
)
from jaxcoadd.artifacts.safe_clip import (
    SAFE_CLIP,
    MeanDifference,
    SafeClipConfig,
    SafelyClipped,
    choose_by_overlap,
    choose_warps,
    clip_footprints,
    clip_in_warp,
    difference_of_means,
    measure_overlap,
    safe_clip,
)
from jaxcoadd.artifacts.sky_model import SkyModel, fit_adjustment, predict
from jaxcoadd.artifacts.trails import streak_finder

__all__ = [
    "BY_MODEL",
    "COMPARE_WARP",
    "COMPARE_WARP_V24",
    "OUTLIERS",
    "SAFE_CLIP",
    "ArtifactError",
    "Artifacts",
    "Candidates",
    "CompareWarpConfig",
    "ComparedCoadd",
    "ConstantOffset",
    "Difference",
    "MeanDifference",
    "ModelConfig",
    "OutlierConfig",
    "PlaneOffset",
    "SafeClipConfig",
    "SafelyClipped",
    "SkyModel",
    "SkyOffset",
    "SmoothSearch",
    "SplineOffset",
    "StaticModel",
    "StreakFinder",
    "choose_by_overlap",
    "choose_warps",
    "clip_footprints",
    "clip_in_warp",
    "coadd_without",
    "compare_warp",
    "compare_with",
    "count_regions",
    "difference_of_means",
    "find_artifacts",
    "find_by_model",
    "find_candidates",
    "find_outliers",
    "find_sources",
    "fit_adjustment",
    "fit_model",
    "flag_edges",
    "has_good_pixels",
    "is_transient",
    "is_within_one",
    "mask_stack",
    "match_backgrounds",
    "max_epochs",
    "measure_overlap",
    "number_pixels",
    "outlying_region",
    "predict",
    "remarks",
    "safe_clip",
    "sky_offset",
    "static_sky",
    "streak_finder",
    "subtract_static_sky",
    "with_outliers",
]
