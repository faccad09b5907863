"""Convolve an image, its variance and its mask with a kernel that varies."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcoadd.arrays import FloatScalar, Image, Mask
from jaxcoadd.masks import LSST_PLANES

from .kernels import KernelModel, coefficients_at

# Pixels over which a kernel is interpolated.
_STEP = 10

Blocks = Float[Array, "block_y row block_x column"]
Knots = Float[Array, "knot_y knot_x"]


def match_psf(
    image: Image,
    variance: Image,
    mask: Mask,
    kernel_model: KernelModel,
    *,
    origin: tuple[FloatScalar, FloatScalar] = (0, 0),
    no_data: int = LSST_PLANES.bits(["NO_DATA"]),
) -> tuple[Image, Image, Mask]:
    """Convolve an image with the kernel that matches its PSF to a model.

    Parameters
    ----------
    image, variance
        Flux per pixel and its variance, in the square of the unit.
    mask
        Its bits.
    kernel_model
        The kernel, from `fit_kernel`.
    origin
        Row and column, in the region of the kernel, of the first pixel.
    no_data
        Bit value of the plane NO_DATA; LSST's by default.

    Returns
    -------
    tuple
        Image, variance and mask, in the shape of the input: at each pixel, of the
        pixels around it, the sum of the flux times the kernel, the sum of the variance
        times its square, and all bits under the whole square of the kernel, whose taps
        are nowhere 0. A pixel that is not finite makes NaN, infinite variance and
        NO_DATA of those whose kernel reaches it, and of no others; infinite variance
        alone makes infinite variance and NO_DATA. On the rim, half the kernel wide, the
        image is NaN, the variance infinite, and the mask NO_DATA alone.

    Raises
    ------
    ValueError
        The planes differ in shape, or are smaller than the kernel.

    Notes
    -----
    Differentiable in image, variance and kernel. The variance leaves out that
    neighbours become correlated; see `noise_correlation`.

    As LSST's ``convolve`` does, the kernel, of sum 1, is found at knots and
    interpolated linearly in y and x between them. Here knots are every 10 pixels, from
    the first pixel that is not on the rim; where the original lays them is not known,
    so that results differ, by at most the error of the interpolation: of a coefficient
    c of order 2 over L pixels, ``200 c / (L - 1)**2``: c / 80000 for 4000 pixels.
    """
    size = kernel_model.basis.shape[-1]
    _check_planes(image, variance, mask, size)
    kernel_model = jax.tree.map(lambda leaf: leaf.astype(image.dtype), kernel_model)
    seen, known = jnp.isfinite(image), jnp.isfinite(variance)
    matched, matched_variance = _convolve(
        jnp.where(seen, image, 0),
        jnp.where(known, variance, 0).astype(image.dtype),
        kernel_model,
        origin,
    )
    unseen = _spread((~seen).astype(jnp.uint32), size) != 0
    unknown = _spread((~(seen & known)).astype(jnp.uint32), size) != 0
    matched = jnp.where(unseen, jnp.nan, matched)
    # Without any PSF to fit the kernel itself is NaN.
    unknown = unknown | ~jnp.isfinite(matched) | ~jnp.isfinite(matched_variance)
    matched_variance = jnp.where(unknown, jnp.inf, matched_variance)
    bits = _spread(mask, size)
    bits = bits | jnp.where(unknown, jnp.uint32(no_data), jnp.uint32(0))
    return (
        jnp.pad(matched, size // 2, constant_values=jnp.nan),
        jnp.pad(matched_variance, size // 2, constant_values=jnp.inf),
        jnp.pad(bits, size // 2, constant_values=jnp.uint32(no_data)),
    )


def _check_planes(image: Image, variance: Image, mask: Mask, size: int) -> None:
    """Refuse planes that do not go together, or have no pixel off the rim."""
    if not image.shape == variance.shape == mask.shape:
        raise ValueError(
            f"image is {image.shape}, variance {variance.shape} and mask {mask.shape}; "
            "they must have one shape"
        )
    if min(image.shape) < size:
        raise ValueError(
            f"image is {image.shape}, smaller than the kernel, ({size}, {size}), so "
            "that no pixel would be left; cut a larger box"
        )


def _spread(mask: Mask, size: int) -> Mask:
    """Unite the bits under a square, where it is whole."""
    rows, columns = (length - size + 1 for length in mask.shape)
    union = functools.reduce(
        jnp.bitwise_or, (mask[start : start + rows] for start in range(size))
    )
    return functools.reduce(
        jnp.bitwise_or, (union[:, start : start + columns] for start in range(size))
    )


def _convolve(
    image: Image,
    variance: Image,
    kernel_model: KernelModel,
    origin: tuple[FloatScalar, FloatScalar],
) -> tuple[Image, Image]:
    """Convolve two finite planes, where the kernel is whole."""
    size, dtype = kernel_model.basis.shape[-1], kernel_model.basis.dtype
    rows, columns = (length - size + 1 for length in image.shape)
    n_y, n_x = -(-rows // _STEP), -(-columns // _STEP)
    room = ((0, n_y * _STEP - rows), (0, n_x * _STEP - columns))
    planes = jnp.pad(image, room), jnp.pad(variance, room)
    factors = _factors_at_knots(kernel_model, origin, n_y, n_x)

    # A rematerialised step, as the gradient would otherwise keep planes of all taps.
    @jax.checkpoint
    def add_row(sums, row):
        start, functions = row
        knots = jnp.einsum("fk,yxf->kyx", functions, factors, precision="highest")
        strips = [
            jax.lax.dynamic_slice_in_dim(plane, start, n_y * _STEP) for plane in planes
        ]
        for column in range(size):
            kernel = _interpolate(knots[column])
            flux, noise = (_cut_blocks(strip, column, n_x) for strip in strips)
            sums = sums[0] + kernel * flux, sums[1] + kernel * kernel * noise
        return sums, None

    # In a convolution the last tap multiplies the first pixel.
    taps = jnp.moveaxis(kernel_model.basis[:, ::-1, ::-1], 1, 0)
    zero = jnp.zeros((n_y, _STEP, n_x, _STEP), dtype)
    (flux, noise), _ = jax.lax.scan(add_row, (zero, zero), (jnp.arange(size), taps))
    whole = (n_y * _STEP, n_x * _STEP)
    return flux.reshape(whole)[:rows, :columns], noise.reshape(whole)[:rows, :columns]


def _factors_at_knots(
    kernel_model: KernelModel,
    origin: tuple[FloatScalar, FloatScalar],
    n_y: int,
    n_x: int,
) -> Float[Array, "knot_y knot_x function"]:
    """Return the factors of the functions at the corners of all blocks."""
    dtype, half = kernel_model.basis.dtype, kernel_model.basis.shape[-1] // 2
    y, x = (
        jnp.asarray(first).astype(dtype)
        + (half + _STEP * jnp.arange(count + 1)).astype(dtype)
        for first, count in zip(origin, (n_y, n_x), strict=True)
    )
    knots = jnp.stack(jnp.meshgrid(y, x, indexing="ij"), axis=-1)
    return coefficients_at(kernel_model, knots)


def _interpolate(knots: Knots) -> Blocks:
    """Interpolate between the corners of each block."""
    part = jnp.arange(_STEP, dtype=knots.dtype) / _STEP
    down = part[None, :, None]
    rows = (1 - down) * knots[:-1, None, :] + down * knots[1:, None, :]
    across = part[None, None, None, :]
    return (1 - across) * rows[:, :, :-1, None] + across * rows[:, :, 1:, None]


def _cut_blocks(strip: Image, column: int, n_x: int) -> Blocks:
    """Cut blocks from a strip, of which the first begins at a column."""
    cut = strip[:, column : column + n_x * _STEP]
    return cut.reshape(-1, _STEP, n_x, _STEP)
