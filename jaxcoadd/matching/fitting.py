"""Fit the kernel that makes a model of the PSFs of an image."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from jaxcoadd.arrays import Image

from .bases import Basis
from .kernels import KernelModel, n_terms, polynomial_terms
from .models import check_odd
from .shapes import is_usable, is_wider, stamp_shapes

CELL_SIZE = 128

Stamps = Float[Array, "cell y x"]
Centres = Float[Array | np.ndarray, "cell 2"]

# Cells whose equations are made at a time: their FFTs are 27 times the stamps.
_AT_ONCE = 64
# Rows of this many rounding errors keep a solution finite where the PSFs cannot tell
# two functions apart.
_RIDGE = 8


def matching_positions(
    shape: tuple[int, int], *, cell_size: int = CELL_SIZE
) -> Float[np.ndarray, "cell 2"]:
    """Return the positions where the PSFs of an image are taken for matching.

    Parameters
    ----------
    shape
        Rows and columns of the region.
    cell_size
        Rows and columns of a cell, in pixels.

    Returns
    -------
    Float[np.ndarray, "cell 2"]
        Pairs (y, x): the centres of square cells that cover the region and at least a
        cell beyond it on each side, float64. The first cell ends before pixel (0, 0).

    Raises
    ------
    ValueError
        A size is not positive.

    Examples
    --------
    >>> matching_positions((128, 128))[:2]
    array([[-64.5, -64.5],
           [-64.5,  63.5]])
    """
    if min(*shape, cell_size) < 1:
        raise ValueError(
            f"the region is {shape} and a cell {cell_size} pixels; all must be positive"
        )
    y, x = (
        cell_size * np.arange(-1, -(-length // cell_size) + 1) + (cell_size - 1) / 2
        for length in shape
    )
    return np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2)


def fit_kernel(
    psf_stamps: Stamps,
    model: Image,
    basis: Basis,
    *,
    positions: Centres,
    shape: tuple[int, int],
    order: int = 2,
) -> KernelModel:
    """Fit the kernel that makes a model PSF of the PSFs of an image.

    Parameters
    ----------
    psf_stamps
        The PSF at each position, sum 1, of odd size. One that is not finite or is 0
        all over is left out.
    model
        The PSF that is wanted, on a stamp of `matching_stamp_size`.
    basis
        Functions from `matching_basis`.
    positions
        Pairs (y, x), as from `matching_positions`.
    shape
        Rows and columns of the region over which the kernel varies.
    order
        Order of the polynomials of the position.

    Returns
    -------
    KernelModel
        With NaN for coefficients if no stamp can be used.

    Raises
    ------
    ValueError
        A size is even, the PSFs are larger than the model or the model smaller than
        the kernel, or there are fewer positions than terms of the polynomials.

    Notes
    -----
    Least squares over all pixels of all stamps: the coefficient of the first function
    is 1, as is the kernel's sum, and those of the others are Chebyshev polynomials.
    Outside of their stamps PSFs count as 0. The minimum is found by QR, first of each
    cell and then of all their triangles: the functions are nearly dependent, and normal
    matrices would square a condition number of 1e4, too much for 32 bits.

    Differentiable in the stamps and in the model. LSST's ``ModelPsfMatchTask`` fits the
    first coefficient, too, and sets it to 1 afterwards. Where the model has more wings
    than a kernel can make, that adds a peak: from PSFs of 4.7 pixels FWHM to a double
    Gaussian of 7.7 its largest residual is 13 to 25 percent of the peak with kernels of
    21 pixels, where it is 2.5 to 3.6 percent here; see `matching_residuals`.
    """
    _check_sizes(psf_stamps, model, basis)
    if len(positions) != len(psf_stamps) or len(positions) < n_terms(order):
        raise ValueError(
            f"there are {len(psf_stamps)} PSFs at {len(positions)} positions; give one "
            f"PSF each at {n_terms(order)} or more for polynomials of order {order}"
        )
    model = model.astype(psf_stamps.dtype)
    basis = basis.astype(psf_stamps.dtype)
    usable = is_usable(psf_stamps)
    stamps = pad_stamps(psf_stamps, model.shape[0])
    # Any PSF will do in the place of one that is left out: its rows become 0.
    stamps = jnp.where(usable[:, None, None], stamps, model[None])
    triangles, targets = jax.lax.map(
        lambda stamp: _reduce_cell(stamp, model, basis), stamps, batch_size=_AT_ONCE
    )
    triangles = jnp.where(usable[:, None, None], triangles, 0)
    targets = jnp.where(usable[:, None], targets, 0)
    places = jnp.asarray(positions).astype(model.dtype)
    terms = polynomial_terms(places, shape=shape, order=order)
    varying = _solve_cells(triangles, targets, terms)
    constant = jnp.zeros((1, terms.shape[1]), model.dtype).at[0, 0].set(1)
    coefficients = jnp.concatenate([constant, varying])
    coefficients = jnp.where(jnp.any(usable), coefficients, jnp.nan)
    return KernelModel(basis, coefficients, shape, order)


def check_psf_stamps(psf_stamps: Stamps | np.ndarray, model: Image) -> None:
    """Refuse PSFs that no kernel can match to a model without deconvolving.

    Parameters
    ----------
    psf_stamps
        The PSF at each position, of odd size; values, not tracers.
    model
        The PSF that is wanted.

    Raises
    ------
    ValueError
        There is no PSF, one is not finite or is 0 all over, a size is even, or a PSF is
        wider than the model, so that a kernel would deconvolve and amplify noise.
    """
    psf_stamps = jnp.asarray(psf_stamps)
    if not psf_stamps.size:
        raise ValueError("there are no PSFs to match; give at least one stamp")
    check_odd(psf_stamps.shape[-1], "the PSF")
    bad = np.flatnonzero(~np.asarray(is_usable(psf_stamps)))
    if bad.size:
        raise ValueError(
            f"PSF {bad[0]} of {len(psf_stamps)} is not finite or is 0 all over; "
            "leave it out"
        )
    stamps = pad_stamps(psf_stamps, max(model.shape[0], psf_stamps.shape[-1]))
    (target,) = pad_stamps(model[None].astype(stamps.dtype), stamps.shape[-1])
    n_wider = int(jnp.sum(is_wider(stamps, target)))
    if n_wider:
        raise ValueError(
            f"{n_wider} of {len(stamps)} PSFs are wider than the model, the widest is "
            f"PSF {jnp.argmax(stamp_shapes(stamps, target)[0])}, so that the kernel "
            "deconvolves; take a model with a larger fwhm"
        )


def _check_sizes(psf_stamps: Stamps, model: Image, basis: Basis) -> None:
    """Refuse stamps that are even, or of sizes that do not go together."""
    for what, stamp in (
        ("the PSF", psf_stamps),
        ("the model PSF", model),
        ("the kernel", basis),
    ):
        rows, columns = stamp.shape[-2:]
        if rows != columns:
            raise ValueError(f"{what} is {rows} by {columns} pixels; make it square")
        check_odd(rows, what)
    size = model.shape[-1]
    if psf_stamps.shape[-1] > size or basis.shape[-1] > size:
        raise ValueError(
            f"the model PSF is {size} pixels, a PSF {psf_stamps.shape[-1]} and the "
            f"kernel {basis.shape[-1]}; make a model of matching_stamp_size"
        )


def pad_stamps(stamps: Stamps, size: int) -> Stamps:
    """Add zeros around stamps."""
    margin = (size - stamps.shape[-1]) // 2
    return jnp.pad(stamps, ((0, 0), (margin, margin), (margin, margin)))


def convolve_stamp(stamp: Image, functions: Basis) -> Basis:
    """Convolve a stamp with functions, on its own pixels, with 0 outside of it."""
    size, half = stamp.shape[0], functions.shape[-1] // 2
    full = (size + 2 * half,) * 2
    transform = jnp.fft.rfft2(functions, s=full) * jnp.fft.rfft2(stamp, s=full)[None]
    kept = slice(half, half + size)
    return jnp.fft.irfft2(transform, s=full)[:, kept, kept]


def _reduce_cell(
    stamp: Image, model: Image, basis: Basis
) -> tuple[Float[Array, "function function"], Float[Array, " function"]]:
    """Return the triangle and the target that have the same least squares."""
    design = convolve_stamp(stamp, basis).reshape(len(basis), -1).T
    orthogonal, triangle = jnp.linalg.qr(design)
    target = jnp.matmul(orthogonal.T, model.reshape(-1), precision="highest")
    return triangle, target


def _solve_cells(
    triangles: Float[Array, "cell row function"],
    targets: Float[Array, "cell row"],
    terms: Float[Array, "cell term"],
) -> Float[Array, "varying term"]:
    """Solve for the polynomials of all functions but the first."""
    n_cells, n_rows, n_functions = triangles.shape
    products = triangles[:, :, 1:, None] * terms[:, None, None, :]
    design = products.reshape(n_cells * n_rows, -1)
    # The first function has its coefficient already.
    targets = targets - triangles[:, :, 0]
    # The solution does not depend on the scale of the columns.
    norm = jnp.linalg.norm(jax.lax.stop_gradient(design), axis=0)
    scale = jnp.where(norm == 0, 1, norm)
    ridge = _RIDGE * float(jnp.finfo(design.dtype).eps)
    identity = ridge * jnp.eye(design.shape[1], dtype=design.dtype)
    rows = jnp.concatenate([design / scale[None], identity])
    orthogonal, triangle = jnp.linalg.qr(rows)
    target = jnp.pad(targets.reshape(-1), (0, len(identity)))
    target = jnp.matmul(orthogonal.T, target, precision="highest")
    solution = solve_triangular(triangle, target) / scale
    return solution.reshape(n_functions - 1, -1)
