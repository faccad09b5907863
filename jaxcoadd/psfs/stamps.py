"""Point-spread functions of images: stamps that may change with the position.

A stamp has odd sizes and is centred on its middle pixel. A *kernel image* has its
centre on a pixel; an *image at a position* lies where the position does, between
pixels. Positions are (x, y); sizes are rows and columns.
"""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from jaxcoadd.arrays import Image, Region
from jaxcoadd.resampling import Lanczos

Position = Float[Array, "2"]
HalfSize = Int[Array, "2"]

# The kernel that moves a stamp by a part of a pixel.
_SHIFT = Lanczos(5)
# A centroid farther from the centre than this part of the stamp is a stamp cut out
# elsewhere, not an asymmetric one.
_OFF_CENTRE = 0.25


class StampPsf(eqx.Module):
    """A point-spread function: a sum of stamps, each times a linear function.

    Parameters
    ----------
    stamps
        One or several stamps of odd sizes.
    coefficients
        For each stamp the constant, the slope in x and the slope in y of its factor.
    half_size
        Rows and columns of the stamps on either side of the middle; what lies beyond
        is padding.

    Notes
    -----
    At (x, y) it is ``sum_b (c[b, 0] + c[b, 1] x + c[b, 2] y) stamps[b]``, divided by
    its sum. Several have a leading axis: see `stack_psfs`.
    """

    stamps: Float[Array, "*input stamp y x"]
    coefficients: Float[Array, "*input stamp 3"]
    half_size: Int[Array, "*input 2"]


def make_stamp_psf(
    stamps: np.ndarray,
    coefficients: np.ndarray | Sequence[Sequence[float]] | None = None,
) -> StampPsf:
    """Make a point-spread function of stamps, and refuse what cannot be one.

    Parameters
    ----------
    stamps
        A stamp (y, x), or several (stamp, y, x), of any sum.
    coefficients
        Three a stamp, as `StampPsf` has them; without them there is one stamp and
        it is the same everywhere.

    Raises
    ------
    ValueError
        There is no stamp, a size is even, a pixel is not finite, the coefficients are
        not three finite numbers a stamp, the sum of the stamp is 0, or its centroid is
        far from its middle pixel.
    """
    given = np.asarray(stamps)
    given = given[None] if given.ndim == 2 else given
    if given.ndim != 3 or given.size == 0:
        raise ValueError(
            f"stamps of a PSF have shape (stamp, y, x) and these have {given.shape}; "
            "give at least one stamp"
        )
    if 0 in (given.shape[1] % 2, given.shape[2] % 2):
        raise ValueError(
            f"a stamp of a PSF is {given.shape[1]} by {given.shape[2]} pixels; sizes "
            "must be odd, so that a pixel is the centre: pad it"
        )
    if not np.isfinite(given).all():
        raise ValueError(
            f"{np.sum(~np.isfinite(given))} pixels of a PSF are not finite; set them "
            "to 0 or leave the PSF out"
        )
    if coefficients is None:
        _check_fixed_stamp(given)
        coefficients = [[1.0, 0.0, 0.0]]
    factors = np.asarray(coefficients, float)
    if factors.shape != (len(given), 3) or not np.isfinite(factors).all():
        raise ValueError(
            f"{len(given)} stamps need {len(given)} rows of three finite coefficients; "
            f"these have shape {factors.shape} and {np.sum(~np.isfinite(factors))} "
            "that are not finite"
        )
    return StampPsf(
        stamps=jnp.asarray(given, jnp.result_type(float)),
        coefficients=jnp.asarray(factors, jnp.result_type(float)),
        half_size=jnp.asarray([n // 2 for n in given.shape[1:]]),
    )


def _check_fixed_stamp(stamps: np.ndarray) -> None:
    """Refuse a stamp without flux, or with its flux elsewhere than in the middle."""
    if len(stamps) != 1:
        raise ValueError(
            f"{len(stamps)} stamps have no coefficients; give three a stamp, or one "
            "stamp"
        )
    stamp = stamps[0].astype(float)
    total = stamp.sum()
    if abs(total) <= stamp.size * np.finfo(float).eps * np.abs(stamp).max():
        raise ValueError("the sum of the stamp of a PSF is 0; leave the PSF out")
    for axis, name in ((1, "x"), (0, "y")):
        middle = stamp.shape[axis] // 2
        offsets = np.arange(stamp.shape[axis]) - middle
        offset = (stamp.sum(axis=1 - axis) * offsets).sum() / total
        if abs(offset) > _OFF_CENTRE * stamp.shape[axis]:
            raise ValueError(
                f"the centroid of the stamp of a PSF is {offset:.1f} pixels in {name} "
                "from its middle pixel; cut it out around the centre"
            )


def stack_psfs(psfs: Sequence[StampPsf]) -> StampPsf:
    """Put point-spread functions into one, with an axis of inputs in front.

    Parameters
    ----------
    psfs
        Each with any number of stamps of any size.

    Returns
    -------
    StampPsf
        Smaller stamps are padded with 0, and missing ones are 0.

    Raises
    ------
    ValueError
        There are none.
    """
    if not psfs:
        raise ValueError("there is no PSF to put into a stack; give at least one")
    shape = np.max([psf.stamps.shape for psf in psfs], axis=0)
    return StampPsf(
        stamps=jnp.stack([_pad_stamps(psf.stamps, shape) for psf in psfs]),
        coefficients=jnp.stack(
            [
                jnp.pad(psf.coefficients, [(0, shape[0] - len(psf.stamps)), (0, 0)])
                for psf in psfs
            ]
        ),
        half_size=jnp.stack([psf.half_size for psf in psfs]),
    )


def _pad_stamps(
    stamps: Float[Array, "stamp y x"], shape: np.ndarray
) -> Float[Array, "stamps y1 x1"]:
    """Pad with 0 to a number of stamps and a size, with the centre in the middle."""
    more, rows, columns = (int(n) for n in shape - np.array(stamps.shape))
    beside = [(n // 2, n // 2) for n in (rows, columns)]
    return jnp.pad(stamps, [(0, more), *beside])


def psf_kernel_at(psf: StampPsf, position: Position) -> Image:
    """Return the kernel image at a position: centred on its middle pixel, of sum 1.

    Parameters
    ----------
    psf
        The point-spread function of one image.
    position
        Where in the image, (x, y).

    Notes
    -----
    Smooth in stamps, coefficients and position. All NaN where the sum is 0.
    """
    factors = psf.coefficients[:, 0] + jnp.sum(
        psf.coefficients[:, 1:] * position[None], axis=1
    )
    return normalise(jnp.sum(factors[:, None, None] * psf.stamps, axis=0))


def psf_image_at(psf: StampPsf, position: Position) -> Image:
    """Return the image of a point source at a position, in the image's own pixels.

    Parameters
    ----------
    psf
        The point-spread function of one image.
    position
        Where in the image, (x, y).

    Returns
    -------
    Array
        Its middle pixel is ``floor(position + 0.5)``.

    Notes
    -----
    LSST: ``computeImage``. In 32 bits a position of thousands has few digits for its
    fraction; then split it before, and use `psf_kernel_at` and `shift_stamp`.
    """
    kernel = psf_kernel_at(psf, position)
    return shift_stamp(kernel, pixel_fraction(position), psf.half_size)


def pixel_fraction(position: Position) -> Position:
    """Return how far positions are from their pixel's centre, from -0.5 to 0.5."""
    return position - jnp.floor(position + 0.5)


def normalise(stamp: Image) -> Image:
    """Divide a stamp by its sum; all NaN if that is 0."""
    total = jnp.sum(stamp)
    return jnp.where(total == 0, jnp.nan, stamp / jnp.where(total == 0, 1, total))


def is_within(shape: tuple[int, ...], half_size: HalfSize) -> Region:
    """Tell which pixels are at most a half size from the middle one."""
    rows, columns = (jnp.abs(jnp.arange(n) - n // 2) for n in shape)
    return (rows <= half_size[0])[:, None] & (columns <= half_size[1])[None]


def shift_stamp(stamp: Image, fraction: Position, half_size: HalfSize) -> Image:
    """Move a stamp by a part of a pixel, within its size.

    Parameters
    ----------
    stamp
        A stamp, 0 beyond its half size.
    fraction
        By how much, in x and y, at most 1; it is first rounded to 32 bits.
    half_size
        Rows and columns on either side of the middle that belong to the stamp.

    Returns
    -------
    Array
        The stamp convolved with ten values of Lanczos' kernel of order 5 an axis, of
        sum 1. Flux that leaves the stamp is lost. The stamp itself if both are 0.

    Notes
    -----
    Smooth in the stamp and in the fraction.
    """
    moved = fraction.astype(jnp.float32).astype(stamp.dtype)
    columns = _shift_matrix(moved[0], stamp.shape[1])
    rows = _shift_matrix(moved[1], stamp.shape[0])
    # Some devices would round the factors of a matrix product to fewer digits.
    across = jnp.matmul(stamp, columns.T, precision="highest")
    shifted = jnp.matmul(rows, across, precision="highest")
    return jnp.where(is_within(stamp.shape, half_size), shifted, 0)


def _shift_matrix(shift: Float[Array, ""], size: int) -> Float[Array, "to of"]:
    """Return the weight of each pixel in each pixel of the moved row."""
    whole = jnp.floor(-shift)
    weights = jnp.stack(_SHIFT.weights(-shift - whole))
    weights = weights / jnp.sum(weights)
    # At a whole pixel the others' weights are sines of whole turns: 1e-17, and not 0.
    alone = jnp.zeros_like(weights).at[_SHIFT.half_width - 1].set(1)
    rest = jnp.where(-shift == whole, alone - weights, 0)
    weights = weights + lax.stop_gradient(rest)
    to, of = np.indices((size, size))
    tap = of - to - whole.astype(int) + _SHIFT.half_width - 1
    inside = (tap >= 0) & (tap < len(weights))
    return jnp.where(inside, weights[jnp.clip(tap, 0, len(weights) - 1)], 0)
