"""Functions of which a matching kernel is the sum: Gaussians times polynomials."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .models import check_odd

KERNEL_SIZE = 21
SIGMAS = (1.0, 2.0, 4.5)
DEGREES = (4, 2, 2)

Basis = Float[Array, "function y x"]


def matching_basis(
    kernel_size: int = KERNEL_SIZE,
    *,
    sigmas: Sequence[float] = SIGMAS,
    degrees: Sequence[int] = DEGREES,
) -> Basis:
    """Make the functions of which a matching kernel is the sum.

    Parameters
    ----------
    kernel_size
        Rows and columns of the kernel, odd; LSST has 29 for some cameras.
    sigmas
        Widths of the Gaussians, in pixels.
    degrees
        For each Gaussian, the highest degree of the polynomial that it is multiplied
        by.

    Returns
    -------
    Float[Array, "function y x"]
        For each Gaussian, its products with all ``u**i v**j``, i + j up to the degree,
        u and v running from -1 to 1 across the kernel. The first function has sum 1.
        Of the others a multiple of the first is taken so that they have sum 0; the
        squares of their pixels sum to 1. So only the first carries flux.

    Raises
    ------
    ValueError
        The size is even or below 3, a width is not positive and finite, a degree is
        negative, or there is not one degree a width.

    Notes
    -----
    After Alard and Lupton (1998), with the widths and degrees of LSST's PSF-matched
    warps. The scale of the functions of sum 0 has no effect on a fitted kernel.

    Examples
    --------
    >>> matching_basis().shape
    (27, 21, 21)
    """
    _check_basis(kernel_size, sigmas, degrees)
    half = kernel_size // 2
    offset = np.arange(-half, half + 1, dtype=np.float64)
    v, u = np.meshgrid(offset / half, offset / half, indexing="ij")
    squared = (u * u + v * v) * half**2
    functions = [
        np.exp(-squared / (2 * sigma**2)) * u**i * v**j
        for sigma, degree in zip(sigmas, degrees, strict=True)
        for i in range(degree + 1)
        for j in range(degree + 1 - i)
    ]
    first = functions[0] / functions[0].sum()
    others = [function - function.sum() * first for function in functions[1:]]
    others = [function / np.linalg.norm(function) for function in others]
    return jnp.asarray(np.stack([first, *others]), float)


def _check_basis(
    kernel_size: int, sigmas: Sequence[float], degrees: Sequence[int]
) -> None:
    """Refuse what makes no functions."""
    check_odd(kernel_size, "the kernel")
    if kernel_size < 3:
        raise ValueError(f"the kernel is {kernel_size} pixel; take at least 3")
    if not sigmas or len(sigmas) != len(degrees):
        raise ValueError(
            f"there are {len(sigmas)} sigmas and {len(degrees)} degrees; "
            "give one degree for each of at least one Gaussian"
        )
    for sigma in sigmas:
        if not (math.isfinite(sigma) and sigma > 0):
            raise ValueError(
                f"a sigma of the basis is {sigma}; it must be positive and finite"
            )
    for degree in degrees:
        if degree < 0:
            raise ValueError(f"a degree of the basis is {degree}; take 0 or more")
