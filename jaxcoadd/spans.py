"""Sparse regions of pixels, as runs along rows, on the host."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Array, Bool, Int32, Integer, UInt32

from jaxcoadd.masks import MaskPlanes

Box = tuple[int, int, int, int]
"""First and last column and row (x0, y0, x1, y1), both inclusive."""

_INT32 = np.iinfo(np.int32)
EVERYWHERE = (_INT32.min, _INT32.min, _INT32.max, _INT32.max)
"""The box of all positions that a span can have."""


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
        merged = _merged(_checked(rows)).astype(np.int32)
        merged.flags.writeable = False
        object.__setattr__(self, "rows", merged)

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
        # In one long row, in which every run begins and ends: one search for both.
        padded = np.pad(pixels, ((0, 0), (1, 1)))
        flat = padded.reshape(-1)
        y, x = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), padded.shape[1])
        return cls(np.stack([y[::2], x[::2], x[1::2] - 1], axis=-1)).shifted(*origin)

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
        return cls(_clip(np.stack([rows, x - half, x + half], axis=-1), within))

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
        return cls(_clip(np.stack([rows, *ends], axis=-1), within))

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
        y, x0, x1 = _clip(rows, within).T
        steps = np.zeros((shape[0], shape[1] + 1), np.int8)
        # Merged spans never touch, so that no two steps fall on one place.
        steps[y, x0] = 1
        steps[y, x1 + 1] = -1
        return np.cumsum(steps[:, :-1], axis=1, dtype=np.int8).astype(bool)

    def clipped(self, box: Box) -> "SpanSet":
        """Return the part of the region in a box (x0, y0, x1, y1), both inclusive."""
        return SpanSet(_clip(self.rows, box))

    def shifted(self, dx: int, dy: int) -> "SpanSet":
        """Return the region moved by whole pixels."""
        return SpanSet(self.rows + np.array([dy, dx, dx], dtype=np.int64))

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
        neighbours = _neighbours(self.rows)
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
        return tuple(SpanSet(self.rows[part == n]) for n in range(n_parts))

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
        return SpanSet(_without(self.rows, other.rows))

    def __eq__(self, other: object) -> bool:
        """Whether the other is a region of the same pixels."""
        return isinstance(other, SpanSet) and np.array_equal(self.rows, other.rows)

    def __hash__(self) -> int:
        """Hash the pixels."""
        return hash(self.rows.tobytes())


def apply_alternative_masks(
    mask: Integer[Array | np.ndarray, "y x"],
    planes: MaskPlanes,
    alternatives: Mapping[str, Sequence[SpanSet]],
    *,
    bad_planes: Iterable[str] = (),
    origin: tuple[int, int] = (0, 0),
) -> tuple[UInt32[Array | np.ndarray, "y x"], MaskPlanes]:
    """Set planes of a mask in regions, and let "NO_DATA" replace what was bad.

    Parameters
    ----------
    mask
        Bits of the mask planes, NumPy or JAX. It is not changed.
    planes
        Which plane each bit is.
    alternatives
        Regions for every plane to set, clipped to the mask. A plane that does not
        exist is added at the lowest free bit, in the order of the mapping.
    bad_planes
        If "NO_DATA" is one of these and of the alternatives, all of these are cleared
        in its regions before any plane is set.
    origin
        Position (x, y) of the pixel [0, 0].

    Returns
    -------
    tuple
        The mask, in the kind of the input, and its planes.

    Raises
    ------
    ValueError
        The mask is not uint32, or there would be more than 32 planes.

    Notes
    -----
    As applyAltMaskPlanes of LSST's CompareWarpAssembleCoaddTask: data that were found
    to be artifacts are missing, and whatever else was wrong with them no longer counts.

    Examples
    --------
    >>> planes = MaskPlanes(("BAD",))
    >>> spans = SpanSet.box(1, 0, 2, 0)
    >>> mask, planes = apply_alternative_masks(
    ...     np.ones((1, 3), np.uint32), planes, {"CLIPPED": [spans]}
    ... )
    >>> mask, planes.names
    (array([[1, 3, 3]], dtype=uint32), ('BAD', 'CLIPPED'))
    """
    if mask.dtype != np.uint32:
        raise ValueError(f"a mask has dtype uint32, not {mask.dtype}")
    mask, bad_planes = mask.copy(), tuple(bad_planes)
    planes = planes.add(*alternatives)
    height, width = mask.shape
    regions = {
        name: SpanSet().union(*spans).to_image((height, width), origin)
        for name, spans in alternatives.items()
    }
    nothing = np.uint32(0)
    if "NO_DATA" in regions and "NO_DATA" in bad_planes:
        bad = np.uint32(planes.bits(bad_planes))
        mask = mask & ~np.where(regions["NO_DATA"], bad, nothing)
    for name, region in regions.items():
        mask = mask | np.where(region, np.uint32(1 << planes.bit(name)), nothing)
    return mask, planes


def _checked(rows: Sequence | np.ndarray) -> np.ndarray:
    """Return rows as int64 (span, 3), or raise what is wrong with them."""
    rows = np.asarray(rows)
    if not rows.size:
        return np.zeros((0, 3), np.int64)
    if rows.ndim != 2 or rows.shape[1] != 3 or rows.dtype.kind not in "iu":
        raise ValueError(
            f"spans are whole numbers (y, x0, x1), (span, 3), not {rows.dtype} "
            f"{rows.shape}"
        )
    if rows.min() < _INT32.min or rows.max() > _INT32.max:
        raise ValueError("spans must be within the 32-bit whole numbers")
    rows = rows.astype(np.int64)
    reversed_ = rows[:, 2] < rows[:, 1]
    if reversed_.any():
        span = tuple(rows[reversed_][0].tolist())
        raise ValueError(f"the span (y, x0, x1) {span} ends before it begins")
    return rows


def _merged(rows: np.ndarray) -> np.ndarray:
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


def _neighbours(rows: np.ndarray) -> list[list[int]]:
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


def _without(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
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


def _clip(rows: np.ndarray, box: Box) -> np.ndarray:
    """Return the parts of spans in a box, as int64."""
    x0, y0, x1, y1 = box
    rows = rows[(y0 <= rows[:, 0]) & (rows[:, 0] <= y1)]
    rows = np.stack(
        [rows[:, 0], np.maximum(rows[:, 1], x0), np.minimum(rows[:, 2], x1)], axis=-1
    )
    return rows[rows[:, 1] <= rows[:, 2]].astype(np.int64)
