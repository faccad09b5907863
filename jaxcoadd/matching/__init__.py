"""PSF matching: convolve a warp so that its PSF becomes a given model.

In the order of use: `gaussian_model_psf` is the target, `matching_basis` what a kernel
is made of, `fit_kernel` finds how much of each, `match_psf` convolves, and
`matching_residuals` and `noise_correlation` tell what the result is worth.
"""

from .bases import matching_basis as matching_basis
from .convolution import match_psf as match_psf
from .fitting import cell_centres as cell_centres
from .fitting import check_psf_stamps as check_psf_stamps
from .fitting import fit_kernel as fit_kernel
from .kernels import KernelModel as KernelModel
from .kernels import kernels_at as kernels_at
from .models import gaussian_model_psf as gaussian_model_psf
from .models import matching_stamp_size as matching_stamp_size
from .models import model_psf_size as model_psf_size
from .quality import MatchingResiduals as MatchingResiduals
from .quality import matched_stamps as matched_stamps
from .quality import matching_residuals as matching_residuals
from .quality import noise_correlation as noise_correlation
