"""PSF matching: convolve a warp so that its PSF becomes a given model.

In the order of use: `gaussian_model_psf` is the target, `matching_basis` what a kernel
is made of, `fit_kernel` finds how much of each, `match_psf` convolves, and
`matching_residuals` and `noise_correlation` tell what the result is worth.
"""

from jaxcoadd.matching.bases import matching_basis
from jaxcoadd.matching.convolution import match_psf
from jaxcoadd.matching.fitting import check_psf_stamps, fit_kernel, matching_positions
from jaxcoadd.matching.kernels import KernelModel, kernels_at
from jaxcoadd.matching.models import (
    gaussian_model_psf,
    matching_stamp_size,
    model_psf_size,
)
from jaxcoadd.matching.quality import (
    MatchingResiduals,
    matched_stamps,
    matching_residuals,
    noise_correlation,
)

__all__ = [
    "KernelModel",
    "MatchingResiduals",
    "check_psf_stamps",
    "fit_kernel",
    "gaussian_model_psf",
    "kernels_at",
    "match_psf",
    "matched_stamps",
    "matching_basis",
    "matching_positions",
    "matching_residuals",
    "matching_stamp_size",
    "model_psf_size",
    "noise_correlation",
]
