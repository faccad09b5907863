"""Spread a stack over devices, by rows."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxcoadd.warps import WarpStack


def shard_pixels(stack: WarpStack, devices: Sequence[Any] | None = None) -> WarpStack:
    """Spread the rows of a stack evenly over devices.

    Parameters
    ----------
    stack
        Warps; every device gets some rows of all of them, since a clipped mean needs
        the whole column of a pixel.
    devices
        All devices of the platform by default. Only as many are used as divide the
        number of rows.

    Returns
    -------
    WarpStack
        For ``jax.jit(coadd)``: the result is spread in the same way, and equal bit
        for bit to that of one device.

    Examples
    --------
    >>> stack = stack_warps([Warp(np.ones((8, 3)), np.ones((8, 3)))])
    >>> jax.jit(coadd)(shard_pixels(stack)).image.shape
    (8, 3)
    """
    devices = jax.devices() if devices is None else list(devices)
    rows = stack.shape[1]
    number = max(n for n in range(1, len(devices) + 1) if rows % n == 0)
    by_rows, whole = row_shardings(devices[:number])
    return jax.tree.map(
        lambda array: jax.device_put(array, by_rows if array.ndim == 3 else whole),
        stack,
    )


def row_shardings(devices: Sequence[Any]) -> tuple[NamedSharding, NamedSharding]:
    """Return how images (warp, y, x) are split by rows, and how all else is copied."""
    mesh = Mesh(np.array(devices), ("rows",), axis_types=(AxisType.Explicit,))
    return NamedSharding(mesh, P(None, "rows", None)), NamedSharding(mesh, P())
