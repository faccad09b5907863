"""Where pixels are on the sky: coordinates, on the host in double precision."""

from jaxcoadd.sky.positions import (
    mapped_coordinates,
    node_coordinates,
    pixel_coordinates,
    pixel_mapping,
)

__all__ = [
    "mapped_coordinates",
    "node_coordinates",
    "pixel_coordinates",
    "pixel_mapping",
]
