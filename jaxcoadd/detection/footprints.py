"""Footprints: connected regions of pixels, on the host."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Array, Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jaxcoadd.spans import Box, SpanSet
from jaxcoadd.spans.rows import index_pixels, touching_rows

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
    parts = _joined(spans)
    large = areas(parts) >= min_pixels
    footprints = [part for part, one in zip(parts, large, strict=True) if one]
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
    rows, owner = _runs_of(footprints)
    index, run = index_pixels(rows, shape, origin)
    return index, owner[run]


def count_pixels(
    footprints: Sequence[SpanSet],
    region: Bool[np.ndarray, "y x"],
    origin: tuple[int, int] = (0, 0),
) -> Int[np.ndarray, " footprint"]:
    """Count the pixels of each footprint that are true in an image."""
    index, owner = pixels_of(footprints, region.shape, origin)
    return np.bincount(owner[region.reshape(-1)[index]], minlength=len(footprints))


def areas(footprints: Sequence[SpanSet]) -> Int[np.ndarray, " footprint"]:
    """Return the number of pixels of each footprint."""
    rows, owner = _runs_of(footprints)
    lengths = rows[:, 2].astype(np.int64) - rows[:, 1] + 1
    return np.bincount(owner, lengths, len(footprints)).astype(np.int64)


def _runs_of(footprints) -> tuple[np.ndarray, np.ndarray]:
    """Return the runs of all footprints, and the number of the footprint of each."""
    rows = np.concatenate([SpanSet().rows, *(f.rows for f in footprints)])
    lengths = [len(f.rows) for f in footprints]
    return rows, np.repeat(np.arange(len(footprints)), lengths)


def _joined(spans: SpanSet) -> Footprints:
    """Split a region into the parts that are joined, corners included."""
    n = len(spans.rows)
    if not n:
        return ()
    below, above = touching_rows(spans.rows)
    touches = coo_array((np.ones(len(below), bool), (below, above)), (n, n))
    _, part = connected_components(touches, directed=False)
    return spans.divided(part)
