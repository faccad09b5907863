"""How to find artifacts by a model of the static sky."""

import dataclasses

from jaxcoadd.artifacts.outliers import OutlierConfig


@dataclasses.dataclass(frozen=True)
class SmoothSearch:
    """How a smoothed residual is searched for what is faint and broad.

    Parameters
    ----------
    width
        Standard deviation of the Gaussian, pixels.
    n_sigma
        What stands out by so much is a start.
    trim_width, n_sigma_trim
        The footprint is where a residual that is smoothed so stands out by so much
        with the same sign,
    reach
        and that many pixels from a start at most, along rows and columns.
    source_reach
        How far the flux of sources raises the limits, pixels.
    """

    width: float
    n_sigma: float
    trim_width: float
    n_sigma_trim: float
    reach: int
    source_reach: int


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """How to find artifacts by a model of the static sky.

    Parameters
    ----------
    bad_planes
        Pixels that are not known.
    ridge
        What keeps frequencies that no warp shows at 0, as a share of all weights.
    clip_shares, clip_sigma
        The model is fitted to warps with residuals clipped to so many standard
        deviations and that share of the flux near by, one pass each.
    removals
        Then as often to warps without what stands out; all but the first time the
        smoothed residuals are searched as well.
    removal
        What stands out in these passes.
    removal_part
        Pixels that stand out in more than this part of the warps stay.
    outliers
        The limits that single pixels of the final residuals are found by.
    scatter_share
        A pixel must stand out by `n_sigma` times this share of the scatter between
        warps, too.
    scatter_size
        Rows and columns that the scatter is pooled over, an odd number.
    searches
        Of smoothed residuals, in turn.
    aside
        Pixels that near to where too many epochs see something are no reason to keep
        a region out.

    Raises
    ------
    ValueError
        A number that is not positive, or an even size.
    """

    bad_planes: tuple[str, ...] = ("NO_DATA", "BAD", "SAT")
    ridge: float = 1e-4
    clip_shares: tuple[float, ...] = (0.5, 0.2, 0.1, 0.05, 0.05)
    clip_sigma: float = 4.0
    removals: int = 3
    removal: OutlierConfig = OutlierConfig(  # noqa: RUF009
        n_sigma=5.0, n_sigma_beside=0.0, flux_share=0.05, reach=2
    )
    removal_part: float = 0.4
    outliers: OutlierConfig = OutlierConfig(flux_share=0.08, reach=1)  # noqa: RUF009
    scatter_share: float = 0.4
    scatter_size: int = 3
    searches: tuple[SmoothSearch, ...] = (
        SmoothSearch(1.7, 5.0, 1.0, 2.5, reach=2, source_reach=2),
        SmoothSearch(4.0, 5.0, 2.0, 4.0, reach=8, source_reach=8),
    )
    aside: int = 1

    def __post_init__(self):
        """Refuse numbers that have no meaning."""
        for name in ("ridge", "clip_sigma"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is above 0, not {getattr(self, name)}")
        if self.scatter_size % 2 != 1:
            raise ValueError(f"scatter_size is an odd number, not {self.scatter_size}")


BY_MODEL = ModelConfig()
"""The defaults, chosen on simulations."""
