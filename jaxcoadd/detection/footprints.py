"""Footprints: connected regions of pixels, on the host."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Array, Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jaxcoadd.spans import Box, SpanSet

Footprints = tuple[SpanSet, ...]
"""Regions that do not touch each other, not even by corners."""


def find_footprints(
    region: Bool[Array | np.ndarray, "y x"] | SpanSet,
    *,
    min_pixels: int = 1,
    strong: Bool[Array | np.ndarray, "y x"] | None = None,
    origin: tuple[int, int] = (0, 0),
) -> Footprints:
    """Split a region into the parts that are joined, corners included.

    Parameters
    ----------
    region
        True in the region, (y, x), or its spans.
    min_pixels
        Parts of fewer pixels are left out.
    strong
        If given, parts without one of these pixels are left out.
    origin
        Position (x, y) of the pixel [0, 0] of the images.

    Returns
    -------
    tuple
        Parts in order of their first pixels, by rows.

    Notes
    -----
    LSST: ``FootprintSet``, whose footprints may be in another order.
    """
    spans = region
    if not isinstance(spans, SpanSet):
        spans = SpanSet.from_image(np.asarray(spans), origin)
    footprints = [part for part in _joined(spans) if part.area >= min_pixels]
    if strong is not None:
        peaks = SpanSet.from_image(np.asarray(strong), origin)
        footprints = [part for part in footprints if len((part & peaks).rows)]
    return tuple(footprints)


def grow_footprints(
    footprints: Iterable[SpanSet], stencil: SpanSet, *, within: Box
) -> Footprints:
    """Dilate footprints, join those that meet, and clip them to a box.

    Parameters
    ----------
    footprints
        Any regions.
    stencil
        What each pixel grows to, such as ``SpanSet.circle(0, 0, 3)``.
    within
        The box (x0, y0, x1, y1) of the image.
    """
    union = SpanSet().union(*footprints)
    return _joined(union.dilated(stencil).clipped(within))


def merge_footprints(*several: Iterable[SpanSet]) -> Footprints:
    """Join the footprints of several sets where they touch or overlap."""
    return _joined(SpanSet().union(*(part for some in several for part in some)))


def growth_stencil(radius: int, *, isotropic: bool) -> SpanSet:
    """Return the circle, or else the diamond, that footprints grow by."""
    shape: Callable[..., SpanSet] = SpanSet.circle if isotropic else SpanSet.diamond
    return shape(0, 0, radius)


def pixels_of(
    footprints: Sequence[SpanSet],
    shape: tuple[int, int],
    origin: tuple[int, int] = (0, 0),
) -> tuple[Int[np.ndarray, " pixel"], Int[np.ndarray, " pixel"]]:
    """List the pixels of footprints that are on an image.

    Parameters
    ----------
    footprints
        Any regions.
    shape
        Rows and columns of the image.
    origin
        Position (x, y) of the pixel [0, 0].

    Returns
    -------
    index
        Where each pixel is in the flat image.
    owner
        The number of its footprint, increasing.
    """
    rows = np.concatenate([SpanSet().rows, *(f.rows for f in footprints)])
    owner = np.repeat(np.arange(len(footprints)), [len(f.rows) for f in footprints])
    y, x0, x1 = (rows - np.array([origin[1], origin[0], origin[0]])).T
    x0, x1 = np.maximum(x0, 0), np.minimum(x1, shape[1] - 1)
    inside = (0 <= y) & (y < shape[0]) & (x0 <= x1)
    first, lengths = (y * shape[1] + x0)[inside], (x1 - x0 + 1)[inside]
    before = np.cumsum(lengths) - lengths
    index = np.repeat(first - before, lengths) + np.arange(lengths.sum())
    return index, np.repeat(owner[inside], lengths)


def count_pixels(
    footprints: Sequence[SpanSet],
    region: Bool[np.ndarray, "y x"],
    origin: tuple[int, int] = (0, 0),
) -> Int[np.ndarray, " footprint"]:
    """Count the pixels of each footprint that are true in an image."""
    index, owner = pixels_of(footprints, region.shape, origin)
    return np.bincount(owner[region.reshape(-1)[index]], minlength=len(footprints))


def _joined(spans: SpanSet) -> Footprints:
    """Split a region into the parts that are joined, corners included."""
    rows = spans.rows
    if not len(rows):
        return ()
    below, above = _touching(rows.astype(np.int64))
    touches = coo_array((np.ones(len(below), bool), (below, above)), (len(rows),) * 2)
    _, number = connected_components(touches, directed=False)
    order = np.argsort(number, kind="stable")
    ends = np.flatnonzero(np.diff(number[order])) + 1
    return tuple(SpanSet(part) for part in np.split(rows[order], ends))


def _touching(rows: Int[np.ndarray, "span 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of spans that touch from one row to the next, or by corners."""
    y, x0, x1 = rows.T
    # One long line of pixels: rows end to end, with a gap for those that are missing.
    length = x1.max() - x0.min() + 3
    line = np.cumsum(np.minimum(np.diff(y, prepend=y[0]), 2)) * length
    first, last = line + x0, line + x1
    begin = np.searchsorted(last, first + length - 1)
    n_above = np.searchsorted(first, last + length + 1, side="right") - begin
    below = np.repeat(np.arange(len(rows)), n_above)
    before = np.cumsum(n_above) - n_above
    return below, np.repeat(begin - before, n_above) + np.arange(len(below))
