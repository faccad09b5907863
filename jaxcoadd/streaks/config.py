"""What to look for when looking for streaks."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class StreakConfig:
    """How streaks are found and masked; the defaults are those of LSST.

    Parameters
    ----------
    minimum_kernel_height
        Least height of the votes of a group of edge pixels, as a part of the
        highest one.
    abs_minimum_kernel_height
        Least height of the votes of a group of edge pixels, a pixel and degree. A
        straight edge of n pixels has about n**2 / 5000.
    cluster_minimum_size
        Least number of edge pixels in a straight piece.
    cluster_minimum_deviation
        Pieces that deviate by less from a straight line are straight, in pixels.
    delta
        Step of the votes, in pixels and degrees.
    n_sigma
        Width of the votes, in standard deviations of a line through the pixels.
    n_sigma_mask
        Half the width of the mask, in widths of the fitted profile.
    rho_bin_size, theta_bin_size
        Largest scatter of lines that are one streak, in pixels and degrees.
    inverse_width
        The inverse of the width that a fit begins with, a pixel.
    footprint_threshold
        Pixels whose model is fainter are not masked, in the unit of the image.
    chi2_tolerance
        A fit ends where χ² changes by no more.
    max_fit_iterations
        A fit that takes more iterations fails.
    detected_plane
        Mask plane of the pixels in which streaks are looked for.
    only_mask_detected
        Whether only pixels of that plane are masked.
    streak_plane
        Mask plane to set.
    bad_planes
        Planes of pixels without any weight; those that a mask does not have are
        passed over.
    max_streak_width
        Largest width of the mask, in pixels; 0 means no limit.
    saturated_dilation
        No edge counts within this distance of saturated, detected pixels.

    Raises
    ------
    ValueError
        A number that is negative, or 0 where it must not be.

    Examples
    --------
    >>> StreakConfig(max_streak_width=30.0).n_sigma_mask
    5.0
    """

    minimum_kernel_height: float = 0.0
    abs_minimum_kernel_height: float = 5.0
    cluster_minimum_size: int = 50
    cluster_minimum_deviation: float = 2.0
    delta: float = 0.2
    n_sigma: float = 2.0
    n_sigma_mask: float = 5.0
    rho_bin_size: float = 40.0
    theta_bin_size: float = 2.0
    inverse_width: float = 0.1
    footprint_threshold: float = 0.01
    chi2_tolerance: float = 0.1
    max_fit_iterations: int = 100
    detected_plane: str = "DETECTED"
    only_mask_detected: bool = True
    streak_plane: str = "STREAK"
    bad_planes: tuple[str, ...] = ("NO_DATA", "INTRP", "BAD", "SAT", "EDGE")
    max_streak_width: float = 0.0
    saturated_dilation: float = 250.0

    def __post_init__(self):
        """Refuse numbers that have no meaning."""
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is above 0, not {getattr(self, name)}")
        for name in _NOT_NEGATIVE:
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is 0 or more, not {getattr(self, name)}")


_POSITIVE = (
    "cluster_minimum_size",
    "cluster_minimum_deviation",
    "delta",
    "n_sigma",
    "n_sigma_mask",
    "rho_bin_size",
    "theta_bin_size",
    "inverse_width",
    "chi2_tolerance",
)
_NOT_NEGATIVE = (
    "minimum_kernel_height",
    "abs_minimum_kernel_height",
    "footprint_threshold",
    "max_fit_iterations",
    "max_streak_width",
    "saturated_dilation",
)
