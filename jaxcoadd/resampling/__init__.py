"""Resampling of images onto another grid of pixels."""

from jaxcoadd.resampling.kernels import AbstractKernel, Bilinear, Lanczos, Nearest

__all__ = ["AbstractKernel", "Bilinear", "Lanczos", "Nearest"]
