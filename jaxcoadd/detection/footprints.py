"""Footprints: connected regions of pixels, on the host."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Array, Bool, Int
from scipy import ndimage

from jaxcoadd.spans import Box, SpanSet

_WITH_CORNERS = np.ones((3, 3), bool)

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
    box = (0, 0, shape[1] - 1, shape[0] - 1)
    clipped = [f.shifted(-origin[0], -origin[1]).clipped(box).rows for f in footprints]
    rows = np.concatenate([SpanSet().rows, *clipped]).astype(np.int64)
    lengths = rows[:, 2] - rows[:, 1] + 1
    first = rows[:, 0] * shape[1] + rows[:, 1]
    before = np.cumsum(lengths) - lengths
    index = np.repeat(first - before, lengths) + np.arange(lengths.sum())
    owners = np.repeat(np.arange(len(footprints)), [len(some) for some in clipped])
    return index, np.repeat(owners, lengths)


def count_pixels(
    footprints: Sequence[SpanSet],
    region: Bool[np.ndarray, "y x"],
    origin: tuple[int, int] = (0, 0),
) -> Int[np.ndarray, " footprint"]:
    """Count the pixels of each footprint that are true in an image."""
    index, owner = pixels_of(footprints, region.shape, origin)
    return np.bincount(owner[region.reshape(-1)[index]], minlength=len(footprints))


def _joined(spans: SpanSet) -> Footprints:
    if not len(spans.rows):
        return ()
    x0, y0, x1, y1 = spans.bounds
    image = spans.to_image((y1 - y0 + 1, x1 - x0 + 1), (x0, y0))
    labels = np.zeros(image.shape, np.int32)
    ndimage.label(image, _WITH_CORNERS, output=labels)
    number = labels[spans.rows[:, 0] - y0, spans.rows[:, 1] - x0]
    order = np.argsort(number, kind="stable")
    ends = np.flatnonzero(np.diff(number[order])) + 1
    return tuple(SpanSet(rows) for rows in np.split(spans.rows[order], ends))
