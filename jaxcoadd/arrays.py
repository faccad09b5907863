"""Names for the shapes of arrays, and arrays of any kind taken as pixels.

A name in the plural has the axis of warps in front. Axes are ``warp`` (one
entry an input), ``y`` and ``x`` (rows, columns), and ``pixel`` (a flat run of
pixels, as the pixelwise stages see them).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

Image = Float[Array, "y x"]
Images = Float[Array, "warp y x"]
Mask = UInt32[Array, "y x"]
Masks = UInt32[Array, "warp y x"]
Region = Bool[Array, "y x"]
Count = Int[Array, "y x"]

Values = Float[Array, "warp pixel"]
Flags = UInt32[Array, "warp pixel"]
Kept = Bool[Array, "warp pixel"]
Weights = Float[Array, "warp #pixel"]

PixelValues = Float[Array, " pixel"]
PixelFlags = UInt32[Array, " pixel"]
PixelCount = Int[Array, " pixel"]
PixelKept = Bool[Array, " pixel"]

AnyValues = Float[Array, "*warp pixel"]
AnyKept = Bool[Array, "*warp pixel"]

PerWarp = Float[Array, " warp"]
Present = Bool[Array, " warp"]
FloatScalar = float | Float[Array, ""]
WeightUnit = Float[Array, "#pixel"] | FloatScalar


def as_pixels(values: Any) -> jax.Array:
    """Take any array of numbers as a JAX array of the machine's byte order."""
    if isinstance(values, np.ndarray):
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
    array = jnp.asarray(values)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


def as_mask(values: Any) -> jax.Array:
    """Take any array of integers as unsigned 32-bit bits."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        # NumPy wraps negative numbers, which is what a set bit 31 needs.
        return jnp.asarray(values.astype(np.uint32))
    array = jnp.asarray(values)
    if array.dtype == jnp.int32:
        return jax.lax.bitcast_convert_type(array, jnp.uint32)
    return array.astype(jnp.uint32)


def check_planes(image: jax.Array, variance: jax.Array, mask: jax.Array) -> None:
    """Refuse planes that are not images of one shape."""
    planes = {"image": image, "variance": variance, "mask": mask}
    for name, plane in planes.items():
        if plane.shape != image.shape or plane.ndim != 2:
            raise ValueError(
                f"{name} has shape {plane.shape}; image, variance and mask must be "
                f"two-dimensional and equal, the image is {image.shape}"
            )
