"""How to find artifacts by comparison: the present task, and that of 2022."""

import dataclasses

from jaxcoadd.artifacts.background_matching import SkyOffset
from jaxcoadd.coadds import CoaddConfig
from jaxcoadd.detection import DetectionConfig, VarianceScaleConfig
from jaxcoadd.statistics import ClippedMean, FromScatter, FromVariances, Mean
from jaxcoadd.statistics.errors import AbstractErrorModel
from jaxcoadd.weights import WarpWeights

_DIFFERENCES = DetectionConfig(
    threshold=7.5,
    polarity="both",
    min_pixels=4,
    n_sigma_to_grow=0.4,
    smooth=False,
    background=None,
)
_SOURCES = DetectionConfig(threshold=300.0)


def _static_sky(error: AbstractErrorModel) -> CoaddConfig:
    # The clip is also that of the variances that weights are made of.
    return CoaddConfig(
        statistic=ClippedMean(sigma_clip=2.5, clip_iter=3, error=error),
        weighting=WarpWeights(sigma_clip=2.5, clip_iter=3),
        bad_planes=("NO_DATA",),
    )


def _final_coadd() -> CoaddConfig:
    return CoaddConfig(
        statistic=Mean(),
        bad_planes=("NO_DATA", "BAD", "SAT"),
        remove_planes=("NOT_DEBLENDED", "EDGE"),
    )


@dataclasses.dataclass(frozen=True)
class CompareWarpConfig:
    """How to find artifacts against a static sky. The defaults are LSST's.

    Parameters
    ----------
    static_sky
        How PSF-matched warps are coadded to what stays the same.
    coadd
        How the direct warps are coadded in the end; CLIPPED is bad there as well.
    detection
        How a difference from the static sky is searched.
    source_detection
        How the static sky is searched for sources.
    source_attempts, source_factor
        How often the search for sources is repeated if it leaves no background, and
        what its thresholds are multiplied by.
    background
        How the backgrounds of warp and static sky may differ; that is taken off the
        warp before it is compared. ``None``: nothing is, as in LSST.
    inherited_planes
        Planes of the static sky after that search that all differences get.
    variance_scale
        How the variances of PSF-matched warps are scaled; ``None``: not at all.
    max_epochs, max_fraction_low, max_fraction_high
        At most this many epochs, of n, may see an artifact at one place: the lesser of
        ``max_fraction_low * n`` and ``max_epochs + max_fraction_high * n``.
    spatial_threshold
        An artifact has more than this part of its pixels where so few epochs see one.
    keep_sources
        Whether what lies within a source of the static sky is kept.
    prefilter_planes, prefilter_ratio
        A footprint needs more than this part of its pixels without any of these
        planes; a ratio of ``None``: it needs none.
    streak_growth
        Growth of streaks, in standard deviations of the PSF.

    Raises
    ------
    ValueError
        A fraction outside of 0 to 1, or no attempt.
    """

    static_sky: CoaddConfig = dataclasses.field(
        default_factory=lambda: _static_sky(FromVariances())
    )
    coadd: CoaddConfig = dataclasses.field(default_factory=_final_coadd)
    detection: DetectionConfig = _DIFFERENCES
    source_detection: DetectionConfig = _SOURCES
    source_attempts: int = 10
    source_factor: float = 1.25
    background: SkyOffset | None = None
    inherited_planes: tuple[str, ...] = ()
    variance_scale: VarianceScaleConfig | None = dataclasses.field(
        default_factory=VarianceScaleConfig
    )
    max_epochs: int = 2
    max_fraction_low: float = 0.4
    max_fraction_high: float = 0.03
    spatial_threshold: float = 0.5
    keep_sources: bool = True
    prefilter_planes: tuple[str, ...] = ("NO_DATA", "BAD", "SUSPECT")
    prefilter_ratio: float | None = 0.05
    streak_growth: float = 5.0

    def __post_init__(self):
        """Refuse numbers that make no sense."""
        for name in ("max_fraction_low", "max_fraction_high", "spatial_threshold"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is a fraction from 0 to 1, not {value}")
        if self.source_attempts < 1:
            raise ValueError(
                f"source_attempts must be 1 or more, not {self.source_attempts}"
            )


COMPARE_WARP = CompareWarpConfig()
"""The defaults of LSST's ``CompareWarpAssembleCoaddTask`` since December 2025."""

COMPARE_WARP_V24 = CompareWarpConfig(
    static_sky=_static_sky(FromScatter()),
    detection=dataclasses.replace(_DIFFERENCES, threshold=5.0),
    source_detection=DetectionConfig(threshold=5.0, background=None),
    source_attempts=1,
    inherited_planes=("EDGE",),
    prefilter_planes=("NO_DATA", "BAD", "SAT", "SUSPECT"),
)
"""The same task as it was in 2022, with what it did to the border of the coadd."""
