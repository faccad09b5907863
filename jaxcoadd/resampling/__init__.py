"""Resampling of images onto another grid of pixels."""

from jaxcoadd.resampling.kernels import AbstractKernel, Bilinear, Lanczos, Nearest
from jaxcoadd.resampling.positions import (
    PositionNodes,
    Positions,
    as_position_nodes,
    as_positions,
    interpolate_positions,
)
from jaxcoadd.resampling.resample import Resampled, flag_unusable, resample

__all__ = [
    "AbstractKernel",
    "Bilinear",
    "Lanczos",
    "Nearest",
    "PositionNodes",
    "Positions",
    "Resampled",
    "as_position_nodes",
    "as_positions",
    "flag_unusable",
    "interpolate_positions",
    "resample",
]
