"""Names for the shapes of arrays.

A name in the plural has the axis of warps in front. Axes are ``warp`` (one
entry an input), ``y`` and ``x`` (rows, columns), and ``pixel`` (a flat run of
pixels, as the pixelwise stages see them).
"""

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
