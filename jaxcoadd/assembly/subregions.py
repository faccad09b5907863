"""Stack subregion after subregion, so that not all pixels must be in memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcoadd.assembly.ahead import read_ahead
from jaxcoadd.assembly.inputs import row_slices
from jaxcoadd.assembly.plan import Plan
from jaxcoadd.assembly.reading import Cube, pixel_type, read_strip
from jaxcoadd.assembly.strips import StackStrip
from jaxcoadd.assembly.weighing import Weighed
from jaxcoadd.coadds import Coadd, coadd_planes
from jaxcoadd.io.mask_planes import NO_DATA
from jaxcoadd.io.sections import sections
from jaxcoadd.sharding import row_shardings

MaskRows = Callable[[int, np.ndarray, slice], np.ndarray]
"""Returns another mask of some rows of one warp, by its number, mask and rows."""


def stack_subregions(
    plan: Plan,
    used: Sequence[Weighed],
    kept: Cube | None,
    stack: StackStrip,
    *,
    devices: Sequence[Any],
    done: Callable[[int], None] = lambda rows: None,
    mask_rows: MaskRows | None = None,
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
        Told how many rows are done, after each subregion. Where a device runs out of
        memory, subregions are halved from then on.
    mask_rows
        Changes the masks of the warps as they are read.

    Returns
    -------
    planes : dict
        The arrays ``image``, ``variance``, ``mask`` and ``n_image``.
    counts : ndarray
        Of each warp, the pixels that were good, and those of them that were clipped;
        (2, warp).
    """
    no_data = plan.planes.bits([NO_DATA])
    planes = _empty_planes(plan.grid.shape, no_data)
    counts = np.zeros((2, len(used)), np.int64)
    if not used:
        return planes, counts
    weights = np.array([one.weight for one in used], pixel_type())
    weights = jax.device_put(weights, row_shardings(devices)[1])
    rows = plan.rows

    def stack_piece(cube: Cube) -> tuple[dict[str, np.ndarray], np.ndarray] | None:
        """Stack some rows; None if the device has not enough memory for them."""
        try:
            pixels = cube.to_devices(rows, no_data, devices)
            stacked, counted = stack(pixels, weights, planes=plan.planes)
            # It may run out of memory only now, when the results are asked for.
            found = {name: np.asarray(getattr(stacked, name)) for name in planes}
            return found, np.asarray(counted)
        except RuntimeError as error:
            if "RESOURCE_EXHAUSTED" in str(error) and rows > 1:
                return None
            raise

    for part, cube in _parts(plan, used, kept, mask_rows):
        start = part.start
        while start < part.stop:
            piece = slice(start, min(start + rows, part.stop))
            found = stack_piece(
                cube.rows(slice(piece.start - part.start, piece.stop - part.start))
            )
            if found is None:
                rows = -(-rows // 2)
                continue
            for name, plane in planes.items():
                plane[piece] = found[0][name][: piece.stop - piece.start]
            counts += found[1]
            done(piece.stop - piece.start)
            start = piece.stop
        # Nothing of one subregion may be alive when the next one is computed.
        del cube, found
    return planes, counts


def as_coadd(stacked: dict[str, np.ndarray], plan: Plan) -> Coadd:
    """Return the planes of a whole coadd as one; nobody asks for its weight.

    Parameters
    ----------
    stacked
        From `stack_subregions`.
    plan
        The plan of the run.
    """
    planes = {name: jnp.asarray(plane) for name, plane in stacked.items()}
    return Coadd(
        **planes,
        weight=jnp.zeros_like(planes["image"]),
        planes=coadd_planes(plan.planes),
        zero_point=plan.zero_point,
    )


def _empty_planes(shape: tuple[int, int], no_data: int) -> dict[str, np.ndarray]:
    """Make the planes of a coadd without data."""
    return {
        "image": np.full(shape, np.nan, pixel_type()),
        "variance": np.full(shape, np.nan, pixel_type()),
        "mask": np.full(shape, no_data, np.uint32),
        "n_image": np.zeros(shape, np.int32),
    }


def _parts(
    plan: Plan,
    used: Sequence[Weighed],
    kept: Cube | None,
    mask_rows: MaskRows | None,
) -> Iterator[tuple[slice, Cube]]:
    """Yield the rows of each subregion, and the pixels of the warps in them."""
    parts = row_slices(plan.grid.shape, plan.rows)
    if kept is not None:
        for part in parts:
            yield part, _masked(kept.rows(part), part, mask_rows)
        return

    def read(part: slice) -> Cube:
        rows, width = part.stop - part.start, plan.grid.shape[1]
        cube = Cube.empty((len(used), rows, width))
        for index, one in enumerate(used):
            cube.put(index, read_strip(one.item, plan, part, section))
        return _masked(cube, part, mask_rows)

    with sections() as section, closing(read_ahead(read, parts)) as cubes:
        for part in parts:
            # Not by `zip`, which would keep the cube.
            yield part, next(cubes)


def _masked(cube: Cube, part: slice, mask_rows: MaskRows | None) -> Cube:
    """Change the masks of some rows, in the same memory."""
    if mask_rows is not None:
        for index, mask in enumerate(cube.mask):
            cube.mask[index] = mask_rows(index, mask, part)
    return cube
