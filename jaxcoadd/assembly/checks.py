"""Which inputs of a run cannot be used, and why, as far as their headers say."""

import collections
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxcoadd.io import InputError, WarpFile, same_grid
from jaxcoadd.io.layouts import file_stem
from jaxcoadd.io.zero_points import unit_zero_point

GRID_TOLERANCE = 1e-3
"""Largest distance, in pixels, of two grids that count as one."""

SHOWN = 3
"""Reasons that are given in one sentence; the others are counted."""


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


def check_inputs(inputs: Sequence[Input]) -> list[Input]:
    """Leave out what cannot be used with the others, and find the offsets.

    Parameters
    ----------
    inputs
        Files, those that could not be read skipped already.

    Returns
    -------
    list of Input
        In the same order. Those that are used share the grid of the first of them,
        up to their offsets from it, and have a zero point.
    """
    for drop in (_drop_without_flux, _drop_other_grids, _drop_repeats):
        inputs = drop(inputs)
    return list(inputs)


def check_partners(partners: Sequence[Input], warps: Sequence[WarpFile]) -> list[Input]:
    """Leave out what cannot be the PSF-matched partner of a warp.

    Parameters
    ----------
    partners
        Files, those that could not be read skipped already.
    warps
        The warps, the first of which has the grid.

    Returns
    -------
    list of Input
        In the same order. Those that are used have the identifier of a warp each.
    """
    named = {file.identifier for file in warps}

    def reason(file: WarpFile) -> str | None:
        if file.identifier in named:
            return None
        return (
            f"{file.path} is of exposure {file.identifier}, of which there is no warp; "
            "leave it out, or say what tells exposures apart as -c "
            "reader.identifier=CARD"
        )

    checked = _check_each(_drop_without_flux(partners), reason)
    checked = _check_each(checked, lambda file: _misfit(file, warps[0]))
    placed = [i if i.skipped else _with_offset(i, warps[0]) for i in checked]
    return _drop_repeats(placed)


def check_enough(
    inputs: Sequence[Input], *, min_inputs: int = 1, strict: bool = False
) -> None:
    """Refuse a run in which too many inputs are left out.

    Parameters
    ----------
    inputs
        All inputs.
    min_inputs
        How many must be used.
    strict
        Whether all must.

    Raises
    ------
    InputError
        Too few are used.
    """
    reasons = [item.skipped for item in inputs if item.skipped]
    used = len(inputs) - len(reasons)
    wanted = len(inputs) if strict else min_inputs
    if used < wanted:
        raise InputError(
            f"{used} of {len(inputs)} warps can be used and {wanted} are needed: "
            f"{join_reasons(reasons)}"
        )


def join_reasons(reasons: Sequence[str]) -> str:
    """Put some reasons into a sentence, and say how many more there are."""
    more = len(reasons) - SHOWN
    listed = "; ".join(reasons[:SHOWN])
    return f"{listed}; and {more} more" if more > 0 else listed


def _check_each(
    inputs: Sequence[Input], reason: Callable[[WarpFile], str | None]
) -> list[Input]:
    """Leave out the inputs that there is a reason against."""
    checked = []
    for item in inputs:
        found = reason(item.file) if item.file and not item.skipped else None
        checked.append(item.skip(found) if found else item)
    return checked


def _drop_without_flux(inputs: Sequence[Input]) -> list[Input]:
    """Leave out what has no zero point, or a unit that does not go with the others."""
    units = [i.file.unit for i in inputs if i.file and not i.skipped]
    common = collections.Counter(units).most_common(1)[0][0] if units else None

    def reason(file: WarpFile) -> str | None:
        if file.zero_point is None:
            return (
                f"{file.path} does not say its zero point; give it as -c "
                "reader.zero_point=27.0, or the card that holds it in its place"
            )
        known = all(unit_zero_point(unit) is not None for unit in (file.unit, common))
        if file.unit == common or known:
            return None
        return (
            f"{file.path} has {_as_unit(file.unit)} and most warps have "
            f"{_as_unit(common)}; correct the card BUNIT, or give the unit of all as "
            "-c reader.unit=NAME"
        )

    return _check_each(inputs, reason)


def _as_unit(unit: str | None) -> str:
    return "no unit" if unit is None else f"the unit {unit!r}"


def _drop_other_grids(inputs: Sequence[Input]) -> list[Input]:
    """Leave out what is not on the grid that most inputs share; note the offsets."""
    groups: list[list[WarpFile]] = []
    for item in inputs:
        if item.file and not item.skipped:
            _put_into_group(item.file, groups)
    if not groups:
        return list(inputs)
    reference = max(groups, key=len)[0]
    checked = _check_each(inputs, lambda file: _misfit(file, reference))
    return [i if i.skipped else _with_offset(i, reference) for i in checked]


def _put_into_group(file: WarpFile, groups: list[list[WarpFile]]) -> None:
    for group in groups:
        if _misfit(file, group[0]) is None:
            group.append(file)
            return
    groups.append([file])


def _misfit(file: WarpFile, reference: WarpFile) -> str | None:
    """Say why a file is not on the grid of another."""
    if file.shape != reference.shape:
        return (
            f"{file.path} has {_size(file)} pixels and {reference.path}, as most "
            f"others, {_size(reference)}; warp it to their grid"
        )
    without = [f.path for f in (file, reference) if f.wcs is None]
    if len(without) == 1:
        return (
            f"{file.path} is on another grid than {reference.path}: {without[0]} has "
            "no WCS; add its cards, or warp it again"
        )
    dx, dy, residual = same_grid(reference.grid, file.grid)
    if not residual <= GRID_TOLERANCE:
        return (
            f"{file.path} is on another grid than {reference.path}: up to "
            f"{residual:.3g} pixels off; warp it to that grid"
        )
    height, width = file.shape
    if abs(dx) >= width or abs(dy) >= height:
        return (
            f"{file.path} does not overlap {reference.path}: it is {-dx} columns and "
            f"{-dy} rows off; leave it out"
        )
    return None


def _size(file: WarpFile) -> str:
    height, width = file.shape
    return f"{height} x {width}"


def _with_offset(item: Input, reference: WarpFile) -> Input:
    if item.file is None:
        return item
    match = same_grid(reference.grid, item.file.grid)
    return dataclasses.replace(item, offset=(match.dx, match.dy))


def _drop_repeats(inputs: Sequence[Input]) -> list[Input]:
    """Leave out all but the first of the files that hold one exposure."""
    seen: dict[Path | str, Path] = {}

    def reason(file: WarpFile) -> str | None:
        place = file.path.resolve()
        if place in seen:
            return f"{file.path} is given twice; it is used once"
        seen[place] = file.path
        # What is named after its file is known by its place alone.
        if file.identifier == file_stem(file.path):
            return None
        first = seen.setdefault(file.identifier, file.path)
        if first is file.path:
            return None
        return (
            f"{file.path} is of exposure {file.identifier}, as is {first}, which is "
            "used; if both are wanted, tell them apart by another card with "
            "-c reader.identifier=CARD, or by their names with -c reader.identifier="
        )

    return _check_each(inputs, reason)
