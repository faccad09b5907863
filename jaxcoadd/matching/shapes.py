"""Size and ellipticity of PSF stamps, from moments."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcoadd.arrays import Image

Stamps = Float[Array, "cell y x"]
PerCell = Float[Array, " cell"]

# Two PSFs that are equal may differ by rounding.
_SAME = 1e-5


def is_usable(psf_stamps: Stamps) -> Bool[Array, " cell"]:
    """Tell which stamps are finite and not 0 all over."""
    finite = jnp.all(jnp.isfinite(psf_stamps), axis=(1, 2))
    return finite & jnp.any(psf_stamps != 0, axis=(1, 2))


def stamp_shapes(
    stamps: Stamps, window: Image
) -> tuple[PerCell, Float[Array, "cell 2"]]:
    """Return sigma and ellipticity from second moments under a window.

    Parameters
    ----------
    stamps
        Images of points.
    window
        Weights of the pixels, of the same size. Without them the moments would be those
        of the faintest wings and of the edge of the stamp.

    Returns
    -------
    tuple
        Half the sum of the moments in x and y, as its root, in pixels; and (e1, e2),
        their difference and twice the mixed moment, divided by their sum. All about the
        centroid.
    """
    offset = jnp.arange(window.shape[0], dtype=stamps.dtype) - window.shape[0] // 2
    weighted = stamps * window[None]
    total = jnp.sum(weighted, axis=(1, 2))
    rows, columns = jnp.sum(weighted, axis=2), jnp.sum(weighted, axis=1)
    mean_y = jnp.sum(rows * offset[None], axis=1) / total
    mean_x = jnp.sum(columns * offset[None], axis=1) / total
    dy, dx = offset[None] - mean_y[:, None], offset[None] - mean_x[:, None]
    yy = jnp.sum(rows * dy**2, axis=1) / total
    xx = jnp.sum(columns * dx**2, axis=1) / total
    product = dy[:, :, None] * dx[:, None, :]
    xy = jnp.sum(weighted * product, axis=(1, 2)) / total
    ellipticity = jnp.stack([xx - yy, 2 * xy], axis=1) / (xx + yy)[:, None]
    return jnp.sqrt((xx + yy) / 2), ellipticity


def is_wider(stamps: Stamps, model: Image) -> Bool[Array, " cell"]:
    """Tell which stamps are wider than a model, of the same size, in their sigma."""
    sigma, _ = stamp_shapes(stamps, model)
    own_sigma, _ = stamp_shapes(model[None], model)
    return sigma > own_sigma * (1 + _SAME)
