"""Warps and coadds in FITS files."""

from jaxcoadd.io.artifact_masks import (
    ArtifactMask,
    read_artifact_mask,
    write_artifact_masks,
)
from jaxcoadd.io.atomic import check_output
from jaxcoadd.io.bright_objects import read_bright_objects, read_bright_regions
from jaxcoadd.io.coadd_files import CoaddFile, CoaddPlanes, read_coadd, verify_file
from jaxcoadd.io.coadd_writer import write_coadd
from jaxcoadd.io.errors import InputError, OutputError
from jaxcoadd.io.exposure_files import ExposureFile, open_exposure
from jaxcoadd.io.grids import Grid, GridMatch, read_grid, same_grid
from jaxcoadd.io.input_maps import (
    read_input_bits,
    read_input_map,
    write_input_bits,
    write_input_map,
)
from jaxcoadd.io.mappings import PRESETS, ReaderMapping, mapping_from_table
from jaxcoadd.io.psf_grids import read_psf_grid
from jaxcoadd.io.visit_summaries import read_visit_summaries
from jaxcoadd.io.warp_files import Rows, WarpFile, open_warp, read_warp
from jaxcoadd.io.warp_writer import write_warp

__all__ = [
    "PRESETS",
    "ArtifactMask",
    "CoaddFile",
    "CoaddPlanes",
    "ExposureFile",
    "Grid",
    "GridMatch",
    "InputError",
    "OutputError",
    "ReaderMapping",
    "Rows",
    "WarpFile",
    "check_output",
    "mapping_from_table",
    "open_exposure",
    "open_warp",
    "read_artifact_mask",
    "read_bright_objects",
    "read_bright_regions",
    "read_coadd",
    "read_grid",
    "read_input_bits",
    "read_input_map",
    "read_psf_grid",
    "read_visit_summaries",
    "read_warp",
    "same_grid",
    "verify_file",
    "write_artifact_masks",
    "write_coadd",
    "write_input_bits",
    "write_input_map",
    "write_warp",
]
