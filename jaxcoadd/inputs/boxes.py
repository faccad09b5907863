"""Boxes of whole pixels, (x0, y0, x1, y1), with the last column and row included."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

Box = tuple[int, int, int, int]


def outer_edges(box: Sequence[int]) -> tuple[float, float, float, float]:
    """Return the outer edges of a box's outer pixels: half a pixel further out."""
    x0, y0, x1, y1 = box
    return x0 - 0.5, y0 - 0.5, x1 + 0.5, y1 + 0.5


def box_shape(box: Sequence[int]) -> tuple[int, int]:
    """Return the numbers of rows and columns.

    Raises
    ------
    ValueError
        The box has no pixels.
    """
    x0, y0, x1, y1 = (int(edge) for edge in box)
    if x1 < x0 or y1 < y0:
        raise ValueError(
            f"the box {(x0, y0, x1, y1)} has no pixels; expected first column and row, "
            "then last ones"
        )
    return y1 - y0 + 1, x1 - x0 + 1


def box_contains(
    box: Sequence[int], x: np.ndarray, y: np.ndarray
) -> Bool[np.ndarray, "*shape"]:
    """Tell which positions are on a box's pixels; NaN is on none.

    The left and lower edges belong to the box, the right and upper ones do not.
    """
    x0, y0, x1, y1 = outer_edges(box)
    return (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
