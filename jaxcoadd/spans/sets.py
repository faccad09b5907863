"""Sparse regions of pixels, as runs along rows, on the host."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Bool, Int, Int32

from jaxcoadd.spans.rows import (
    EVERYWHERE,
    Box,
    check_range,
    check_rows,
    clip_rows,
    merge_rows,
    neighbours_of,
    rows_without,
)


@dataclasses.dataclass(frozen=True, eq=False, init=False)
class SpanSet:
    """A region of pixels: runs (y, x0, x1), from x0 to x1 with both ends.

    Parameters
    ----------
    rows
        The runs, int32 (span, 3), in any order; positions may be negative. They are
        kept sorted and merged, so equal regions have equal rows.

    Raises
    ------
    ValueError
        Rows of another shape, that are not whole 32-bit numbers, or that end before
        they begin.

    Examples
    --------
    >>> spans = SpanSet([(0, 4, 5), (0, 1, 3)]) | SpanSet.box(-1, 1, 0, 1)
    >>> spans.rows.tolist(), spans.area
    ([[0, 1, 5], [1, -1, 0]], 7)
    """

    rows: Int32[np.ndarray, "span 3"]

    def __init__(self, rows: Sequence | np.ndarray = ()):
        """Check the rows, and sort and merge them."""
        self._set(merge_rows(check_rows(rows)))

    def _set(self, rows):
        rows = rows.astype(np.int32)
        rows.flags.writeable = False
        object.__setattr__(self, "rows", rows)

    @classmethod
    def _of_merged(cls, rows) -> "SpanSet":
        """Return the region of runs that are known to be sorted and merged."""
        check_range(rows)
        result = object.__new__(cls)
        result._set(rows)
        return result

    @classmethod
    def from_image(
        cls, region: Array | np.ndarray, origin: tuple[int, int] = (0, 0)
    ) -> "SpanSet":
        """Return the true pixels of an image whose pixel [0, 0] is at `origin`.

        Parameters
        ----------
        region
            True in the region, (y, x).
        origin
            Position (x, y) of the pixel [0, 0].
        """
        pixels = np.asarray(region, dtype=bool)
        if pixels.ndim != 2:
            raise ValueError(f"a region has two dimensions, not shape {pixels.shape}")
        if not pixels.any():
            return cls()
        # In one long row, in which every run begins and ends: one search for both.
        padded = np.pad(pixels, ((0, 0), (1, 1)))
        flat = padded.reshape(-1)
        y, x = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), padded.shape[1])
        dx, dy = origin
        rows = np.stack([y[::2] + dy, x[::2] + dx, x[1::2] - 1 + dx], axis=-1)
        return cls._of_merged(rows)

    @classmethod
    def circle(
        cls, x: int, y: int, radius: int | float, *, within: Box = EVERYWHERE
    ) -> "SpanSet":
        """Return all pixels at most `radius` from a pixel, in a box.

        Parameters
        ----------
        x, y
            The pixel at the centre.
        radius
            In pixels; 0 is the one pixel.
        within
            A box to clip to, which saves making what lies outside.

        Raises
        ------
        ValueError
            A radius that is negative or not finite.
        """
        if not 0 <= radius < np.inf:
            raise ValueError(f"the radius of a circle must be 0 or more, not {radius}")
        first, last = max(y - int(radius), within[1]), min(y + int(radius), within[3])
        rows = np.arange(first, max(first, last + 1), dtype=np.float64)
        half = np.floor(np.sqrt(float(radius) ** 2 - (rows - y) ** 2))
        return cls(clip_rows(np.stack([rows, x - half, x + half], axis=-1), within))

    @classmethod
    def box(
        cls, x0: int, y0: int, x1: int, y1: int, *, within: Box = EVERYWHERE
    ) -> "SpanSet":
        """Return the pixels of a box, both ends included, in another box."""
        if x1 < x0 or y1 < y0:
            raise ValueError(f"the box {(x0, y0, x1, y1)} ends before it begins")
        first, last = max(y0, within[1]), min(y1, within[3])
        rows = np.arange(first, max(first, last + 1), dtype=np.float64)
        ends = np.full_like(rows, x0), np.full_like(rows, x1)
        return cls(clip_rows(np.stack([rows, *ends], axis=-1), within))

    @classmethod
    def diamond(cls, x: int, y: int, radius: int) -> "SpanSet":
        """Return all pixels at most `radius` steps along rows and columns away."""
        if radius < 0:
            raise ValueError(f"the radius of a diamond must be 0 or more, not {radius}")
        steps = np.arange(-radius, radius + 1, dtype=np.int64)
        half = radius - np.abs(steps)
        return cls(np.stack([y + steps, x - half, x + half], axis=-1))

    @property
    def area(self) -> int:
        """The number of pixels."""
        rows = self.rows.astype(np.int64)
        return int((rows[:, 2] - rows[:, 1] + 1).sum())

    @property
    def bounds(self) -> Box:
        """The smallest box around the region; a `ValueError` if it is empty."""
        if not len(self.rows):
            raise ValueError("an empty region has no bounds")
        y, x0, x1 = self.rows.T
        return int(x0.min()), int(y.min()), int(x1.max()), int(y.max())

    @property
    def centroid(self) -> tuple[float, float]:
        """The mean position (x, y); NaN if the region is empty."""
        y, x0, x1 = self.rows.astype(np.float64).T
        length = x1 - x0 + 1
        total = length.sum() or np.nan
        return (
            float((length * (x0 + x1) / 2).sum() / total),
            float((length * y).sum() / total),
        )

    def to_image(
        self, shape: tuple[int, int], origin: tuple[int, int] = (0, 0)
    ) -> Bool[np.ndarray, "y x"]:
        """Return an image that is true in the region, clipped to the image.

        Parameters
        ----------
        shape
            Rows and columns of the image.
        origin
            Position (x, y) of the pixel [0, 0].
        """
        within = (0, 0, shape[1] - 1, shape[0] - 1)
        rows = self.rows - np.array([origin[1], origin[0], origin[0]], dtype=np.int64)
        y, x0, x1 = clip_rows(rows, within).T
        steps = np.zeros((shape[0], shape[1] + 1), np.int8)
        # Merged spans never touch, so that no two steps fall on one place.
        steps[y, x0] = 1
        steps[y, x1 + 1] = -1
        return np.cumsum(steps[:, :-1], axis=1, dtype=np.int8).astype(bool)

    def clipped(self, box: Box) -> "SpanSet":
        """Return the part of the region in a box (x0, y0, x1, y1), both inclusive."""
        return SpanSet._of_merged(clip_rows(self.rows, box))

    def shifted(self, dx: int, dy: int) -> "SpanSet":
        """Return the region moved by whole pixels."""
        moved = self.rows + np.array([dy, dx, dx], dtype=np.int64)
        return SpanSet._of_merged(moved)

    def union(self, *others: "SpanSet") -> "SpanSet":
        """Return the pixels in this region or in any of the others."""
        return SpanSet(np.concatenate([self.rows, *(other.rows for other in others)]))

    def dilated(self, stencil: "SpanSet") -> "SpanSet":
        """Return the pixels that the stencil reaches from any pixel of the region.

        Parameters
        ----------
        stencil
            Where it reaches from the pixel (0, 0), such as ``circle(0, 0, radius)``.
        """
        steps = stencil.rows.astype(np.int64)
        moved = self.rows.astype(np.int64)[:, None] + steps[None]
        return SpanSet(moved.reshape(-1, 3))

    def eroded(self, stencil: "SpanSet") -> "SpanSet":
        """Return the pixels from which the stencil stays within the region."""
        if not len(self.rows) or not len(stencil.rows):
            return self
        x0, y0, x1, y1 = self.bounds
        left, low, right, high = stencil.bounds
        # Wide enough for every step of the stencil out of the region.
        around = SpanSet.box(
            *(x0 + min(left, -1), y0 + min(low, -1)),
            *(x1 + max(right, 1), y1 + max(high, 1)),
        )
        steps = stencil.rows[:, [0, 2, 1]] * np.int64(-1)
        return self - (around - self).dilated(SpanSet(steps))

    def split(self) -> tuple["SpanSet", ...]:
        """Return the parts whose pixels are joined along rows and columns.

        Returns
        -------
        tuple
            Parts in order of their first pixels; an empty region is one empty part.

        Notes
        -----
        As ``SpanSet.split`` of LSST's afw, which never looks from a row up to 0 to
        the row below: of a shape there that opens towards smaller y, each arm is a
        part, and the first one has what joins them.
        """
        if not len(self.rows):
            return (self,)
        neighbours = neighbours_of(self.rows)
        part = np.full(len(self.rows), -1)
        n_parts = 0
        for first in range(len(part)):
            if part[first] >= 0:
                continue
            part[first], left = n_parts, [first]
            while left:
                new = [n for n in neighbours[left.pop()] if part[n] < 0]
                part[new] = n_parts
                left += new
            n_parts += 1
        return self.divided(part)

    def divided(self, part: Int[np.ndarray, " span"]) -> tuple["SpanSet", ...]:
        """Return the spans of each part, in order of its number.

        Parameters
        ----------
        part
            The number of the part that each of the `rows` is in.
        """
        order = np.argsort(part, kind="stable")
        ends = np.flatnonzero(np.diff(part[order])) + 1
        runs = np.split(self.rows[order], ends)
        return tuple(SpanSet._of_merged(run) for run in runs)

    def contains(self, other: "SpanSet") -> bool:
        """Whether all pixels of the other region are in this one."""
        return not len((other - self).rows)

    def __or__(self, other: "SpanSet") -> "SpanSet":
        """Return the pixels in either region."""
        return self.union(other)

    def __and__(self, other: "SpanSet") -> "SpanSet":
        """Return the pixels in both regions."""
        return self - (self - other)

    def __sub__(self, other: "SpanSet") -> "SpanSet":
        """Return the pixels in this region that are not in the other."""
        return SpanSet(rows_without(self.rows, other.rows))

    def __eq__(self, other: object) -> bool:
        """Whether the other is a region of the same pixels."""
        return isinstance(other, SpanSet) and np.array_equal(self.rows, other.rows)

    def __hash__(self) -> int:
        """Hash the pixels."""
        return hash(self.rows.tobytes())
