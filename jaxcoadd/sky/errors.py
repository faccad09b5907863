"""The error of sky maps, and the checks that raise it."""

import operator
from typing import Any

import numpy as np

Position = tuple[np.ndarray, np.ndarray]


class SkyMapError(ValueError):
    """There is no such sky map, tract, patch, cell or position.

    The message is one sentence: what was asked for, and what there is.
    """


def check_positions(ra: Any, dec: Any) -> Position:
    """Return positions in degrees as float64 of one shape, or refuse them."""
    ra, dec = np.broadcast_arrays(np.asarray(ra, float), np.asarray(dec, float))
    if not np.isfinite(ra).all():
        wrong = ra[~np.isfinite(ra)].flat[0]
        raise SkyMapError(f"a right ascension is a number of degrees, not {wrong}")
    legal = np.abs(dec) <= 90
    if not legal.all():
        raise SkyMapError(
            f"a declination is from -90 to 90 degrees, not {dec[~legal].flat[0]}"
        )
    return ra, dec


def check_tract(number: Any, count: int) -> int:
    """Return the number of a tract as an integer, or refuse it."""
    try:
        index = operator.index(number)
    except TypeError:
        index = -1
    if not 0 <= index < count:
        raise SkyMapError(f"no tract {number}; the tracts are 0 to {count - 1}")
    return index


def read_index(
    wanted: Any, size: tuple[int, int], what: str, where: str
) -> tuple[int, int]:
    """Read which of the rectangles of a grid is meant.

    Parameters
    ----------
    wanted
        A sequential number, a pair (x, y), or a text "x,y".
    size
        Columns and rows of the grid.
    what
        The name of a rectangle: patch or cell.
    where
        The name of what it belongs to.

    Raises
    ------
    SkyMapError
        It is none of these, or outside of the grid.
    """
    columns, rows = size
    legal = f"they are 0 to {columns * rows - 1}, or 0,0 to {columns - 1},{rows - 1}"
    try:
        index = _as_pair(wanted, columns)
    except (TypeError, ValueError):
        raise SkyMapError(f"{wanted!r} names no {what} of {where}; {legal}") from None
    x, y = index
    if not (0 <= x < columns and 0 <= y < rows):
        raise SkyMapError(f"no {what} {wanted} in {where}; {legal}")
    return x, y


def _as_pair(wanted: Any, columns: int) -> tuple[int, int]:
    if isinstance(wanted, str):
        if "," not in wanted:
            # A number in a text could be meant either way, as LSST holds too.
            raise ValueError
        wanted = [int(part) for part in wanted.split(",")]
    if np.ndim(wanted) == 0:
        y, x = divmod(operator.index(wanted), columns)
        return x, y
    x, y = (operator.index(part) for part in wanted)
    return x, y
