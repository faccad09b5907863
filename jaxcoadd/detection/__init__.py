"""Sources on one image: thresholds, footprints, backgrounds, the scale of variances."""

from jaxcoadd.detection.backgrounds import (
    BackgroundConfig,
    BackgroundError,
    constant_background,
    measure_background,
    plane_background,
    spline_background,
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
    areas,
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
    image_factor,
    pixel_factor,
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
    "areas",
    "clear_planes",
    "constant_background",
    "count_pixels",
    "detect",
    "find_footprints",
    "gaussian_taps",
    "grow_footprints",
    "growth_radius",
    "growth_stencil",
    "image_factor",
    "is_above",
    "is_significant",
    "measure_background",
    "merge_footprints",
    "pixel_factor",
    "pixels_of",
    "plane_background",
    "scale_variance",
    "smooth_planes",
    "spline_background",
]
