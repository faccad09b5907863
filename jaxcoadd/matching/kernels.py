"""A kernel that varies over an image: functions times polynomials of the position."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .bases import Basis

Positions = Float[Array, "*position 2"]
Terms = Float[Array, "*position term"]
Kernels = Float[Array, "*position y x"]


class KernelModel(eqx.Module):
    """A matching kernel that varies over a region.

    Parameters
    ----------
    basis
        The functions, as from `matching_basis`.
    coefficients
        The factors of the polynomials, one row a function, in the order of
        `polynomial_terms`. The first function has the constant 1, and no more.
    shape
        Rows and columns of the region, over which the polynomials run from -1 to 1.
        Its first pixel is (0, 0).
    order
        Order of the polynomials.
    """

    basis: Basis
    coefficients: Float[Array, "function term"]
    shape: tuple[int, int] = eqx.field(static=True)
    order: int = eqx.field(static=True)


def n_terms(order: int) -> int:
    """Return the number of products of polynomials up to an order in two axes."""
    return (order + 1) * (order + 2) // 2


def _chebyshev(x: Float[Array, "*s"], order: int) -> list[Float[Array, "*s"]]:
    """Return the polynomials of the first kind, from order 0 on."""
    found = [jnp.ones_like(x), x]
    for _ in range(order - 1):
        found.append(2 * x * found[-1] - found[-2])
    return found[: order + 1]


def polynomial_terms(
    positions: Positions, *, shape: tuple[int, int], order: int
) -> Terms:
    """Return the products of Chebyshev polynomials in y and x, at positions.

    Parameters
    ----------
    positions
        Pairs (y, x), in pixels; outside of the region as well.
    shape
        Rows and columns of the region.
    order
        Highest sum of the two orders.

    Returns
    -------
    Float[Array, "*position term"]
        ``T_i(y) T_j(x)``, j running fastest, the axes scaled to -1 at the centre of the
        first pixel and 1 at that of the last.
    """
    y, x = (
        _chebyshev(2 * positions[..., axis] / max(length - 1, 1) - 1, order)
        for axis, length in enumerate(shape)
    )
    products = [y[i] * x[j] for i in range(order + 1) for j in range(order + 1 - i)]
    return jnp.stack(products, axis=-1)


def coefficients_at(
    model: KernelModel, positions: Positions
) -> Float[Array, "*position function"]:
    """Return the factor of each function at positions, for kernels of sum 1."""
    positions = positions.astype(model.coefficients.dtype)
    terms = polynomial_terms(positions, shape=model.shape, order=model.order)
    factors = jnp.matmul(terms, model.coefficients.T, precision="highest")
    sums = jnp.matmul(factors, jnp.sum(model.basis, axis=(1, 2)), precision="highest")
    return factors / sums[..., None]


def kernels_at(model: KernelModel, positions: Positions) -> Kernels:
    """Return the matching kernel at positions.

    Parameters
    ----------
    model
        The kernel.
    positions
        Pairs (y, x), in pixels of the region.

    Returns
    -------
    Float[Array, "*position y x"]
        What a point becomes there; sum 1.

    Notes
    -----
    Differentiable in the model and in the positions. Not interpolated, as `match_psf`
    does.
    """
    factors = coefficients_at(model, positions)
    return jnp.tensordot(factors, model.basis, axes=1, precision="highest")
