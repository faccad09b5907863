"""A model of the static sky that predicts warps, each at its own PSF."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Complex, Float

from jaxcoadd.arrays import FloatScalar, Image, Region

Transform = Complex[Array, "ky kx"]
Adjustment = Float[Array, "4"]
"""What a PSF is changed by: relative flux, offsets in y and x (pixels), and half of
what is added to its variance (square pixels)."""

MOST_ADJUSTED = (0.05, 0.15, 0.15, 0.2)
"""A warp that needs more is not adjusted: it is wrong, and shall stand out."""

_ROUNDS = 5
_SLACK = 0.02
_BRIGHT = 5.0


class SkyModel(eqx.Module):
    """The sums that the static sky is solved from, in Fourier space.

    Parameters
    ----------
    weighted
        Sum of the transforms of warps, times those of their PSFs, conjugate, over
        variances.
    power
        Sum of the squared sizes of transforms of PSFs, over variances.
    weight
        Sum of one over variances.
    """

    weighted: Transform
    power: Float[Array, "ky kx"]
    weight: FloatScalar

    def __add__(self, other: "SkyModel") -> "SkyModel":
        """Add the sums of other warps."""
        return jax.tree.map(jnp.add, self, other)


def psf_transform(
    psf: Image, adjustment: Adjustment, shape: tuple[int, int]
) -> Transform:
    """Return the transform of a PSF, for images of some shape.

    Parameters
    ----------
    psf
        A stamp of sum 1 with the centre in the middle; odd rows and columns.
    adjustment
        What it is changed by, see `Adjustment`.
    shape
        Rows and columns of the images.

    Notes
    -----
    Smooth in both.
    """
    rows, columns = psf.shape
    stamp = jnp.zeros(shape, psf.dtype).at[:rows, :columns].set(psf)
    stamp = jnp.roll(stamp, (-(rows // 2), -(columns // 2)), (0, 1))
    ky, kx = _frequencies(shape, psf.dtype)
    flux, y, x, spread = adjustment
    angle, size = ky * y + kx * x, (1 + flux) * _gaussian(ky, kx, spread)
    change = lax.complex(size * jnp.cos(angle), -size * jnp.sin(angle))
    return jnp.fft.rfft2(stamp) * change


def sums_of(image: Image, transform: Transform, variance: FloatScalar) -> SkyModel:
    """Return the sums of one warp.

    Parameters
    ----------
    image
        The warp, every pixel of it known or filled.
    transform
        That of its PSF.
    variance
        Variance of its noise.

    Notes
    -----
    Linear in the image.
    """
    seen = _scaled(jnp.conj(transform) * jnp.fft.rfft2(image), 1 / variance)
    return SkyModel(seen, _power(transform) / variance, 1 / variance)


def predict(
    model: SkyModel, transform: Transform, shape: tuple[int, int], *, ridge: float
) -> Image:
    """Return what a warp would show of the static sky.

    Parameters
    ----------
    model
        The sums of all warps.
    transform
        That of the warp's PSF.
    shape
        Rows and columns.
    ridge
        What keeps frequencies that no warp shows at 0, as a share of all weights.

    Notes
    -----
    The least-squares solution with a ridge, seen through the PSF. Linear in what the
    warps hold, and smooth in their PSFs.
    """
    sky = _scaled(model.weighted, 1 / (model.power + ridge * model.weight))
    return jnp.fft.irfft2(transform * sky, shape)


def noise_share(
    model: SkyModel,
    transform: Transform,
    variance: FloatScalar,
    shape: tuple[int, int],
    *,
    ridge: float,
    width: float = 0.0,
) -> Float[Array, ""]:
    r"""Return which share of a warp's noise is in its residual.

    Parameters
    ----------
    model, transform, variance, shape, ridge
        As for `predict` and `sums_of`; the warp is among those of the model.
    width
        Of a Gaussian that the residual is smoothed by, pixels.

    Returns
    -------
    Array
        The variance of the residual over that of the warp. A warp is predicted by
        itself as well, so the share is below 1: with :math:`h` the part that it has in
        its own prediction, and no ridge, it is :math:`1 - h`.
    """
    own = _power(transform) / variance
    total = model.power + ridge * model.weight
    power = (1 - own / total) ** 2 + own * (model.power - own) / total**2
    ky, kx = _frequencies(shape, own.dtype)
    window = _gaussian(ky, kx, width**2)
    # All columns but the first and the last stand for two.
    columns = jnp.arange(own.shape[1])
    twice = (columns > 0) & (2 * columns != shape[1])
    counts = jnp.broadcast_to(jnp.where(twice, 2, 1).astype(own.dtype), (1, len(twice)))
    return (power * window * counts).sum() / (window * counts).sum()


def fit_adjustment(
    image: Image,
    prediction: Image,
    sigma: Image,
    good: Region,
    *,
    noise: FloatScalar,
) -> Adjustment:
    """Fit how a warp's flux, place and width differ from a prediction.

    Parameters
    ----------
    image, prediction
        A warp and what it should show, (y, x).
    sigma
        Standard deviation of each pixel.
    good
        Which pixels are known.
    noise
        Standard deviation of the warp's empty sky: only what is five times brighter
        has a say.

    Returns
    -------
    Adjustment
        What to add to that of the prediction; zeros if there are no sources.

    Notes
    -----
    Least squares with Huber's weights. Smooth in the image between changes of these.
    """
    slope_y, slope_x = _slope(prediction, 0), _slope(prediction, 1)
    curve = _slope(slope_y, 0) + _slope(slope_x, 1)
    used = good & (prediction > _BRIGHT * noise)
    scale = jnp.sqrt(sigma**2 + (_SLACK * prediction) ** 2)
    inverse = jnp.where(used, 1 / jnp.where(used, scale, 1), 0)
    base = jnp.stack([prediction, -slope_y, -slope_x, curve]) * inverse[None]
    base = base.reshape(4, -1)
    off = (jnp.where(used, image - prediction, 0) * inverse).reshape(-1)

    def improve(found, _):
        left = off - _product(found, base)
        weight = 1.5 / jnp.maximum(jnp.abs(left), 1.5)
        weighted = base * weight[None]
        matrix = _product(weighted, base.T)
        size = jnp.sqrt(jnp.diag(matrix))
        size = jnp.where(size > 0, size, 1)
        scaled = matrix / (size[:, None] * size[None]) + 1e-4 * jnp.eye(
            4, dtype=size.dtype
        )
        side = _product(weighted, off) / size
        return jnp.linalg.solve(scaled, side) / size, None

    start = jnp.zeros(4, prediction.dtype)
    return lax.scan(improve, start, None, length=_ROUNDS)[0]


def bounded(adjustment: Adjustment) -> Adjustment:
    """Return an adjustment, or none at all where any part is beyond its limit."""
    limits = jnp.asarray(MOST_ADJUSTED, adjustment.dtype)
    return jnp.where((jnp.abs(adjustment) <= limits).all(), adjustment, 0)


def _product(matrix, other):
    # Devices that round factors first would lose what differs.
    return jnp.matmul(matrix, other, precision="highest")


def _power(transform):
    return transform.real**2 + transform.imag**2


def _scaled(transform, factor):
    """Multiply by real numbers."""
    return lax.complex(transform.real * factor, transform.imag * factor)


def _slope(image, axis):
    return jnp.asarray(jnp.gradient(image, axis=axis))


def _gaussian(ky, kx, spread):
    return jnp.exp(-spread * (ky**2 + kx**2))


def _frequencies(shape, dtype):
    rows, columns = shape
    ky = 2 * jnp.pi * jnp.fft.fftfreq(rows, dtype=dtype)[:, None]
    kx = 2 * jnp.pi * jnp.fft.rfftfreq(columns, dtype=dtype)[None]
    return jnp.broadcast_arrays(ky, kx)
