"""Stack subregion after subregion, so that not all pixels must be in memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import jax
import numpy as np

from jaxcoadd.assembly.ahead import read_ahead
from jaxcoadd.assembly.inputs import row_slices
from jaxcoadd.assembly.plan import Plan
from jaxcoadd.assembly.reading import Cube, pixel_type, read_strip
from jaxcoadd.assembly.strips import StackStrip
from jaxcoadd.assembly.weighing import Weighed
from jaxcoadd.io.mask_planes import NO_DATA
from jaxcoadd.io.sections import sections
from jaxcoadd.sharding import row_shardings


def stack_subregions(
    plan: Plan,
    used: Sequence[Weighed],
    kept: Cube | None,
    stack: StackStrip,
    *,
    devices: Sequence[Any],
    done: Callable[[int], None] = lambda rows: None,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Stack warps into planes of the whole coadd.

    Parameters
    ----------
    plan
        The plan of the run.
    used
        The warps, none of them skipped.
    kept
        Their pixels; None to read them from the files.
    stack
        How to stack one of them.
    devices
        Over which the rows of each are spread.
    done
        Told how many rows are done, after each subregion.

    Returns
    -------
    planes : dict
        The arrays ``image``, ``variance``, ``mask`` and ``n_image``.
    counts : ndarray
        Of each warp, the pixels that were good, and those of them that were clipped;
        (2, warp).
    """
    height, width = plan.grid.shape
    dtype = pixel_type()
    no_data = plan.planes.bits([NO_DATA])
    planes = {
        "image": np.full((height, width), np.nan, dtype),
        "variance": np.full((height, width), np.nan, dtype),
        "mask": np.full((height, width), no_data, np.uint32),
        "n_image": np.zeros((height, width), np.int32),
    }
    counts = np.zeros((2, len(used)), np.int64)
    if not used:
        return planes, counts
    weights = np.array([one.weight for one in used], dtype)
    weights = jax.device_put(weights, row_shardings(devices)[1])
    for part, cube in _parts(plan, used, kept):
        # Nothing of one subregion may be alive when the next one is computed.
        pixels = cube.to_devices(plan.rows, no_data, devices)
        del cube
        stacked, counted = stack(pixels, weights, planes=plan.planes)
        del pixels
        count = part.stop - part.start
        for name, plane in planes.items():
            plane[part] = np.asarray(getattr(stacked, name))[:count]
        counts += np.asarray(counted)
        del stacked, counted
        done(count)
    return planes, counts


def _parts(
    plan: Plan, used: Sequence[Weighed], kept: Cube | None
) -> Iterator[tuple[slice, Cube]]:
    """Yield the rows of each subregion, and the pixels of the warps in them."""
    parts = row_slices(plan.grid.shape, plan.rows)
    if kept is not None:
        yield from ((part, kept.rows(part)) for part in parts)
        return

    def read(part: slice) -> Cube:
        rows, width = part.stop - part.start, plan.grid.shape[1]
        cube = Cube.empty((len(used), rows, width))
        for index, one in enumerate(used):
            cube.put(index, read_strip(one.item, plan, part, section))
        return cube

    with sections() as section, closing(read_ahead(read, parts)) as cubes:
        for part in parts:
            # Not by `zip`, which would keep the cube.
            yield part, next(cubes)
