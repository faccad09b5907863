"""Sources on one image: thresholds, footprints, backgrounds, the scale of variances."""

from jaxcoadd.detection.backgrounds import (
    BackgroundConfig,
    BackgroundError,
    measure_background,
)
from jaxcoadd.detection.detect import (
    Detection,
    DetectionConfig,
    clear_planes,
    detect,
    growth_radius,
)
from jaxcoadd.detection.footprints import (
    Footprints,
    count_pixels,
    find_footprints,
    grow_footprints,
    growth_stencil,
    merge_footprints,
    pixels_of,
)
from jaxcoadd.detection.smoothing import gaussian_taps, smooth_planes
from jaxcoadd.detection.thresholds import is_above, is_significant
from jaxcoadd.detection.variances import (
    ScaledVariance,
    VarianceScaleConfig,
    scale_variance,
)

__all__ = [
    "BackgroundConfig",
    "BackgroundError",
    "Detection",
    "DetectionConfig",
    "Footprints",
    "ScaledVariance",
    "VarianceScaleConfig",
    "clear_planes",
    "count_pixels",
    "detect",
    "find_footprints",
    "gaussian_taps",
    "grow_footprints",
    "growth_radius",
    "growth_stencil",
    "is_above",
    "is_significant",
    "measure_background",
    "merge_footprints",
    "pixels_of",
    "scale_variance",
    "smooth_planes",
]
