"""Point-spread functions: as stamps, on another grid of pixels, and of a coadd."""

from jaxcoadd.psfs.coadding import PsfSamples, coadd_psf, coadd_psf_at, warp_psf_at
from jaxcoadd.psfs.grids import PsfGrid, grid_cell_centres
from jaxcoadd.psfs.stamps import (
    StampPsf,
    make_stamp_psf,
    pixel_fraction,
    psf_image_at,
    psf_kernel_at,
    shift_stamp,
    stack_psfs,
)
from jaxcoadd.psfs.warping import (
    CachedKernel,
    LargeTransformError,
    warp_psf,
    warp_psf_to_cell,
    warped_half_size,
)

__all__ = [
    "CachedKernel",
    "LargeTransformError",
    "PsfGrid",
    "PsfSamples",
    "StampPsf",
    "coadd_psf",
    "coadd_psf_at",
    "grid_cell_centres",
    "make_stamp_psf",
    "pixel_fraction",
    "psf_image_at",
    "psf_kernel_at",
    "shift_stamp",
    "stack_psfs",
    "warp_psf",
    "warp_psf_at",
    "warp_psf_to_cell",
    "warped_half_size",
]
