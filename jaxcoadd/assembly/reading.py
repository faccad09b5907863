"""Read warps on the grid of the coadd: scaled, shifted, with one set of planes."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcoadd.assembly.checks import Input
from jaxcoadd.assembly.plan import Plan
from jaxcoadd.io.mask_planes import NO_DATA
from jaxcoadd.io.sections import ReadSection, read_section
from jaxcoadd.masks import remap_mask
from jaxcoadd.sharding import row_shardings
from jaxcoadd.zero_points import scale_planes

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Strip:
    """Some rows of one warp on the grid of the coadd."""

    image: np.ndarray
    variance: np.ndarray
    mask: np.ndarray


def pixel_type() -> np.dtype:
    """Return the type that pixels are computed in: 64 bits if JAX has them enabled."""
    return np.dtype(np.float64 if jax.config.read("jax_enable_x64") else np.float32)


def read_strip(
    item: Input, plan: Plan, part: slice, read: ReadSection = read_section
) -> Strip:
    """Read some rows of a warp.

    Parameters
    ----------
    item
        The input.
    plan
        With the grid and the planes of the coadd.
    part
        Rows of the coadd.
    read
        How to read rows of an HDU; one of `sections` keeps the file open.

    Returns
    -------
    Strip
        Pixels that the file does not cover are NaN, with NO_DATA.
    """
    start, stop = part.start, part.stop
    dx, dy = item.offset
    if (dx, dy) == (0, 0):
        return Strip(*_read_rows(item, plan, start, stop, read))
    height, width = plan.grid.shape
    shape = (stop - start, width)
    planes = (
        np.full(shape, np.nan, np.float32),
        np.full(shape, np.nan, np.float32),
        np.full(shape, plan.planes.bits([NO_DATA]), np.uint32),
    )
    first, last = max(start + dy, 0), min(stop + dy, height)
    if first < last:
        left, right = max(dx, 0), min(width + dx, width)
        target = np.s_[first - start - dy : last - start - dy, left - dx : right - dx]
        rows = _read_rows(item, plan, first, last, read)
        for plane, found in zip(planes, rows, strict=True):
            plane[target] = found[:, left:right]
    return Strip(*planes)


def _read_rows(
    item: Input, plan: Plan, start: int, stop: int, read: ReadSection
) -> Planes:
    """Read rows of a file, scaled, with the planes of the coadd."""
    assert item.file is not None
    rows = item.file.read_rows(start, stop, read)
    image, variance = rows.image, rows.variance
    if item.factor != 1:
        image, variance = scale_planes(image, variance, item.factor)
    mask = remap_mask(rows.mask, item.file.planes, plan.planes)
    return np.asarray(image), np.asarray(variance), np.asarray(mask)


@dataclasses.dataclass(frozen=True, eq=False)
class Cube:
    """Rows of several warps, (warp, y, x).

    In one piece, so that the memory goes back to the system when it is freed.
    """

    image: np.ndarray
    variance: np.ndarray
    mask: np.ndarray

    @classmethod
    def empty(cls, shape: tuple[int, int, int]) -> "Cube":
        """Make room for some warps."""
        kinds = (np.float32, np.float32, np.uint32)
        return cls(*(np.empty(shape, kind) for kind in kinds))

    def first(self, n: int) -> "Cube":
        """Return the first warps, in the same memory."""
        return Cube(self.image[:n], self.variance[:n], self.mask[:n])

    def rows(self, part: slice) -> "Cube":
        """Return some rows of every warp, in the same memory."""
        return Cube(self.image[:, part], self.variance[:, part], self.mask[:, part])

    def put(self, index: int, strip: Strip) -> None:
        """Store the rows of one warp."""
        self.image[index] = strip.image
        self.variance[index] = strip.variance
        self.mask[index] = strip.mask

    def to_devices(
        self, rows: int, no_data: int, devices: Sequence[Any]
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Copy the rows of every warp to JAX, and rows without data up to a number.

        Each device has as many rows, so that some more may come without data.
        """
        even = -(-rows // len(devices)) * len(devices)
        return (
            _by_rows(_padded(self.image, even, np.nan), devices),
            _by_rows(_padded(self.variance, even, np.nan), devices),
            _by_rows(_padded(self.mask, even, no_data), devices),
        )


def _padded(array: np.ndarray, rows: int, fill: float) -> np.ndarray:
    missing = rows - array.shape[1]
    if missing == 0:
        return array
    return np.pad(array, ((0, 0), (0, missing), (0, 0)), constant_values=fill)


def to_device(array: np.ndarray, device: Any = None) -> jax.Array:
    """Copy pixels to JAX, in the type that they are computed in."""
    if array.dtype.kind == "f":
        array = array.astype(pixel_type(), copy=False)
    # A copy: JAX may otherwise read memory that is filled anew meanwhile.
    return jnp.array(array, copy=True, device=device)


def _by_rows(array: np.ndarray, devices: Sequence[Any]) -> jax.Array:
    """Copy rows of every warp to each device, as `shard_pixels` spreads them."""
    parts = np.split(array, len(devices), axis=1)
    copies = [to_device(part, on) for part, on in zip(parts, devices, strict=True)]
    by_rows, _ = row_shardings(devices)
    return jax.make_array_from_single_device_arrays(array.shape, by_rows, copies)
