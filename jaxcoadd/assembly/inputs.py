"""Choose and order inputs, and cut the area of a coadd into subregions."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

Box = tuple[int, int, int, int]


def subregions(box: Box, size: tuple[int, int]) -> Iterator[Box]:
    """Cut a box into boxes of at most a size, row by row.

    Parameters
    ----------
    box
        x and y of the first pixel, x and y of the last.
    size
        Columns and rows of a subregion.

    Raises
    ------
    ValueError
        There is nothing to cut, or into nothing.
    """
    left, bottom, right, top = box
    columns, rows = size
    if right < left or top < bottom:
        raise ValueError(f"the box {box} has no pixels")
    if columns < 1 or rows < 1:
        raise ValueError(f"a subregion of {columns} x {rows} pixels has none")
    for y in range(bottom, top + 1, rows):
        for x in range(left, right + 1, columns):
            yield x, y, min(x + columns - 1, right), min(y + rows - 1, top)


def row_slices(shape: tuple[int, int], rows: int) -> list[slice]:
    """Cut an image of some shape into slices of at most so many rows."""
    height, width = shape
    boxes = subregions((0, 0, width - 1, height - 1), (width, rows))
    return [slice(first, last + 1) for _, first, _, last in boxes]


def match_by_key(
    items: Sequence[Any],
    keys: Sequence[Hashable],
    wanted: Sequence[Hashable],
    *,
    missing: Any = None,
) -> list[Any]:
    """Return the item of each wanted key, the first if there are several.

    Parameters
    ----------
    items, keys
        Items, and the key of each.
    wanted
        Keys in the order of the result.
    missing
        Stands for the item of a key that there is none of.
    """
    first = dict(zip(reversed(keys), reversed(items), strict=True))
    return [first.get(key, missing) for key in wanted]


def choose_visits(
    items: Sequence[Any], visits: Sequence[Hashable], good: Sequence[Hashable]
) -> list[Any]:
    """Return the items of good visits, in their order; the last of a visit counts."""
    last = dict(zip(visits, items, strict=True))
    return [last[visit] for visit in dict.fromkeys(good) if visit in last]
