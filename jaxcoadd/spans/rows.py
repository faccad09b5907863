"""Runs of pixels as plain arrays (span, 3): row, first and last column."""

from collections.abc import Sequence

import numpy as np

Box = tuple[int, int, int, int]
"""First and last column and row (x0, y0, x1, y1), both inclusive."""

_INT32 = np.iinfo(np.int32)
EVERYWHERE = (_INT32.min, _INT32.min, _INT32.max, _INT32.max)
"""The box of all positions that a span can have."""


def check_rows(rows: Sequence | np.ndarray) -> np.ndarray:
    """Return rows as int64 (span, 3), or raise what is wrong with them."""
    rows = np.asarray(rows)
    if not rows.size:
        return np.zeros((0, 3), np.int64)
    if rows.ndim != 2 or rows.shape[1] != 3 or rows.dtype.kind not in "iu":
        raise ValueError(
            f"spans are whole numbers (y, x0, x1), (span, 3), not {rows.dtype} "
            f"{rows.shape}"
        )
    check_range(rows)
    rows = rows.astype(np.int64)
    reversed_ = rows[:, 2] < rows[:, 1]
    if reversed_.any():
        span = tuple(rows[reversed_][0].tolist())
        raise ValueError(f"the span (y, x0, x1) {span} ends before it begins")
    return rows


def check_range(rows: np.ndarray) -> None:
    """Refuse positions that are not 32-bit whole numbers."""
    if len(rows) and (rows.min() < _INT32.min or rows.max() > _INT32.max):
        raise ValueError("spans must be within the 32-bit whole numbers")


def merge_rows(rows: np.ndarray) -> np.ndarray:
    """Sort spans, and join those that overlap or touch."""
    if not len(rows):
        return rows
    y, x0, x1 = rows[np.lexsort((rows[:, 1], rows[:, 0]))].T
    # One long line of pixels: the rows that occur, end to end, with a gap between.
    line = np.cumsum(np.diff(y, prepend=y[0]) != 0) * (x1.max() - x0.min() + 3)
    first, last = line + x0, np.maximum.accumulate(line + x1)
    begins = np.append(True, first[1:] > last[:-1] + 1)
    ends = np.append(begins[1:], True)
    return np.stack([y[begins], x0[begins], last[ends] - line[ends]], axis=-1)


def neighbours_of(rows: np.ndarray) -> list[list[int]]:
    """Return for each span those that `SpanSet.split` goes on to from there."""
    y, x0, x1 = rows.astype(np.int64).T
    result: list[list[int]] = [[] for _ in rows]
    for n in range(len(rows)):
        first, last = np.searchsorted(y, [y[n] + 1, y[n] + 2])
        touching = (x0[first:last] <= x1[n]) & (x1[first:last] >= x0[n])
        for above in (first + np.flatnonzero(touching)).tolist():
            result[n].append(above)
            if y[above] > 0:
                result[above].append(n)
    return result


def rows_without(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return what is left of merged spans outside of other merged spans."""
    both = np.concatenate([rows, others]).astype(np.int64)
    if not len(both):
        return both
    # Along one row, the steps of this region less those of the other one.
    y = np.repeat(both[:, 0], 2)
    x = np.stack([both[:, 1], both[:, 2] + 1], axis=-1).reshape(-1)
    mine = np.arange(len(both)) < len(rows)
    step = np.where(mine, 1, -2)[:, None] * np.array([1, -1])
    order = np.lexsort((x, y))
    y, x, level = y[order], x[order], np.cumsum(step.reshape(-1)[order])
    # Where steps coincide, the last of them tells.
    inside = np.append((level[:-1] == 1) & (x[1:] > x[:-1]), False)
    at = np.flatnonzero(inside)
    return np.stack([y[at], x[at], x[at + 1] - 1], axis=-1)


def clip_rows(rows: np.ndarray, box: Box) -> np.ndarray:
    """Return the parts of spans in a box, as int64."""
    x0, y0, x1, y1 = box
    rows = rows[(y0 <= rows[:, 0]) & (rows[:, 0] <= y1)]
    rows = np.stack(
        [rows[:, 0], np.maximum(rows[:, 1], x0), np.minimum(rows[:, 2], x1)], axis=-1
    )
    return rows[rows[:, 1] <= rows[:, 2]].astype(np.int64)


def index_pixels(
    rows: np.ndarray, shape: tuple[int, int], origin: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """List the pixels of spans that are on an image.

    Parameters
    ----------
    rows
        Spans, in any order.
    shape
        Rows and columns of the image.
    origin
        Position (x, y) of the pixel [0, 0].

    Returns
    -------
    index
        Where each pixel is in the flat image.
    owner
        The number of its span, increasing.
    """
    y, x0, x1 = (rows - np.array([origin[1], origin[0], origin[0]])).T
    x0, x1 = np.maximum(x0, 0), np.minimum(x1, shape[1] - 1)
    inside = np.flatnonzero((0 <= y) & (y < shape[0]) & (x0 <= x1))
    first, lengths = (y * shape[1] + x0)[inside], (x1 - x0 + 1)[inside]
    before = np.cumsum(lengths) - lengths
    index = np.repeat(first - before, lengths) + np.arange(lengths.sum())
    return index, np.repeat(inside, lengths)


def touching_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of merged spans that touch from row to row, corners included."""
    y, x0, x1 = rows.astype(np.int64).T
    # One long line of pixels: rows end to end, with a gap for those that are missing.
    length = x1.max() - x0.min() + 3
    line = np.cumsum(np.minimum(np.diff(y, prepend=y[0]), 2)) * length
    first, last = line + x0, line + x1
    begin = np.searchsorted(last, first + length - 1)
    n_above = np.searchsorted(first, last + length + 1, side="right") - begin
    below = np.repeat(np.arange(len(rows)), n_above)
    before = np.cumsum(n_above) - n_above
    return below, np.repeat(begin - before, n_above) + np.arange(len(below))
