"""What a run will do, found out from headers alone."""

import collections
import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from jaxcoadd.assembly.settings import Settings, SettingsError
from jaxcoadd.coadds import check_planes
from jaxcoadd.io import Grid, InputError, WarpFile, open_warp, same_grid
from jaxcoadd.io.zero_points import NANOJANSKY, unit_zero_point
from jaxcoadd.masks import MaskPlanes, unite_planes
from jaxcoadd.zero_points import zero_point_factors

GRID_TOLERANCE = 1e-3
"""Largest distance, in pixels, of two grids that count as one."""

RUNTIME_BYTES = 500 << 20
"""What Python, JAX and compilation take, beside pixels."""

STACK_BYTES = 16
"""Bytes a pixel of a warp in a subregion: image, variance and mask, and reading."""

WEIGH_BYTES = 40
"""Bytes a pixel while one warp is weighed: its planes, and those of the clip."""

RESULT_BYTES = 40
"""Bytes a pixel of the coadd: its planes, and a copy while they are written."""


@dataclasses.dataclass(frozen=True, eq=False)
class Input:
    """One file of a run.

    Parameters
    ----------
    path
        The file.
    file
        Its headers, if they could be read.
    offset
        The pixel (x, y) of the coadd is the pixel (x + dx, y + dy) of the file.
    factor
        Brings the image to the zero point of the coadd.
    skipped
        Why it is left out; empty if it is not.
    """

    path: Path
    file: WarpFile | None = None
    offset: tuple[int, int] = (0, 0)
    factor: float = 1.0
    skipped: str = ""

    def skip(self, reason: str) -> "Input":
        """Return the same input, left out for a reason."""
        return dataclasses.replace(self, skipped=reason)


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """What a run will do.

    Parameters
    ----------
    inputs
        All files, in the order given.
    grid
        Where the pixels of the coadd lie.
    planes
        Mask planes of all inputs together.
    zero_point, unit
        Of the coadd.
    rows
        Rows that are read and stacked at a time.
    keep
        Whether the warps fit into memory, so that each file is read once.
    memory
        Bytes that the run will take, by estimate.
    """

    inputs: tuple[Input, ...]
    grid: Grid
    planes: MaskPlanes
    zero_point: float
    unit: str | None
    rows: int
    keep: bool
    memory: int

    @property
    def used(self) -> tuple[Input, ...]:
        """The inputs that are not left out."""
        return tuple(i for i in self.inputs if not i.skipped)


def make_plan(
    paths: Sequence[str | Path], settings: Settings, *, memory: int | None = None
) -> Plan:
    """Find out from headers what a run will do.

    Parameters
    ----------
    paths
        The warps.
    settings
        How to coadd them.
    memory
        Bytes that the run may take; None: half of what the machine has.

    Raises
    ------
    InputError
        No file can be used.
    SettingsError
        A setting names a mask plane that no file has, or memory is too small.
    """
    inputs = [_open(Path(path), settings) for path in paths]
    for check in (_drop_repeats, _drop_other_grids, _drop_other_units):
        inputs = check(inputs)
    used = [i for i in inputs if not i.skipped]
    if not used:
        reasons = "; ".join(i.skipped for i in inputs)
        raise InputError(f"none of the {len(inputs)} warps can be used: {reasons}")
    files = [i.file for i in used if i.file is not None]
    planes = unite_planes(file.planes for file in files)
    _check_settings(settings, planes)
    zero_point = _common_zero_point(files, settings)
    grid = files[0].grid
    rows, keep, bytes_taken = _divide(grid.shape, len(files), settings, memory)
    same = {file.unit for file in files}
    unit = same.pop() if len(same) == 1 and zero_point == files[0].zero_point else None
    return Plan(
        inputs=tuple(_with_factor(i, zero_point) for i in inputs),
        grid=grid,
        planes=planes,
        zero_point=zero_point,
        unit="nJy" if zero_point == NANOJANSKY else unit,
        rows=rows,
        keep=keep,
        memory=bytes_taken,
    )


def _open(path, settings) -> Input:
    try:
        return Input(path, open_warp(path, settings.reader))
    except InputError as error:
        return Input(path, skipped=str(error))


def _check_each(
    inputs: Sequence[Input], reason: Callable[[WarpFile], str | None]
) -> list[Input]:
    """Leave out the inputs that there is a reason against."""
    checked = []
    for item in inputs:
        found = reason(item.file) if item.file and not item.skipped else None
        checked.append(item.skip(found) if found else item)
    return checked


def _drop_repeats(inputs):
    seen: dict[str, Path] = {}

    def reason(file):
        first = seen.setdefault(file.identifier, file.path)
        if first is not file.path:
            return f"{file.path} is exposure {file.identifier}, as is {first}"
        return None

    return _check_each(inputs, reason)


def _drop_other_grids(inputs):
    """Leave out what is not on the grid that most inputs share; note the offsets."""
    files = [i.file for i in inputs if i.file and not i.skipped]
    if not files:
        return inputs
    agree = [sum(_misfit(other, file) is None for other in files) for file in files]
    reference = files[agree.index(max(agree))]
    checked = _check_each(inputs, lambda file: _misfit(file, reference))
    ordered = [i if i.skipped else _with_offset(i, reference) for i in checked]
    # The grid of the coadd is that of the first input without an offset.
    return ordered


def _misfit(file: WarpFile, reference: WarpFile) -> str | None:
    if file.shape != reference.shape:
        return (
            f"{file.path} is {file.shape[0]} rows by {file.shape[1]} columns, the "
            f"others {reference.shape[0]} by {reference.shape[1]}; warp it to their grid"
        )
    match = same_grid(reference.grid, file.grid)
    if not match.residual <= GRID_TOLERANCE:
        return (
            f"{file.path} is on another grid than {reference.path}: up to "
            f"{match.residual:.3g} pixels off; warp it to that grid"
        )
    return None


def _with_offset(item: Input, reference: WarpFile) -> Input:
    assert item.file is not None
    match = same_grid(reference.grid, item.file.grid)
    return dataclasses.replace(item, offset=(match.dx, match.dy))


def _drop_other_units(inputs):
    """Leave out what has no zero point, or a unit that does not go with the others."""
    units = [i.file.unit for i in inputs if i.file and not i.skipped]
    common = collections.Counter(units).most_common(1)[0][0] if units else None

    def reason(file):
        if file.zero_point is None:
            return (
                f"{file.path} says no zero point; give it, or the card that holds it, "
                "as reader.zero_point"
            )
        if file.unit == common:
            return None
        known = all(unit_zero_point(unit) is not None for unit in (file.unit, common))
        if known:
            return None
        return f"{file.path} has unit {file.unit!r}, most others have {common!r}"

    return _check_each(inputs, reason)


def _check_settings(settings, planes):
    try:
        check_planes(settings.coadd_config(), planes)
    except SettingsError:
        raise
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _common_zero_point(files, settings) -> float:
    if settings.zero_point is not None:
        return settings.zero_point
    found = {file.zero_point for file in files}
    return found.pop() if len(found) == 1 else NANOJANSKY


def _with_factor(item: Input, zero_point: float) -> Input:
    if item.file is None or item.file.zero_point is None:
        return item
    factor = float(zero_point_factors(item.file.zero_point, zero_point))
    return dataclasses.replace(item, factor=factor)


def _divide(shape, n_warps, settings, memory) -> tuple[int, bool, int]:
    """Choose the rows of a subregion, and whether to keep the warps in memory."""
    height, width = shape
    pixels = height * width
    wide = 2 if jax.config.read("jax_enable_x64") else 1
    fixed = RUNTIME_BYTES + pixels * max(RESULT_BYTES, WEIGH_BYTES) * wide
    row = n_warps * width * STACK_BYTES * wide
    available = memory or _machine_memory() // 2
    left = available - fixed
    if left < row:
        raise SettingsError(
            f"memory of {available >> 20} MiB is too small for {n_warps} warps of "
            f"{height} x {width} pixels; it takes at least {(fixed + row) >> 20} MiB"
        )
    everything = n_warps * pixels * 12
    keep = everything + row * min(height, 64) <= left
    rows = settings.subregion_rows or (left - everything * keep) // row
    rows = max(1, min(rows, height))
    return rows, keep, fixed + everything * keep + rows * row


def _machine_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
