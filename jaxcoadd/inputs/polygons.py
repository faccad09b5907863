"""Polygons of pixels: the part of a detector that is used."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from jaxcoadd.inputs.boxes import Box, outer_edges

Positions = Float[np.ndarray, "*shape"]
Vertices = Sequence[Sequence[float]] | np.ndarray
Transform = Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray]]
"""Takes x and y, and gives x and y of another frame."""


class PolygonError(ValueError):
    """Vertices that are no polygon, or a result that is not one polygon."""


def _shapely() -> ModuleType:
    try:
        import shapely
    except ImportError as error:
        raise ImportError(
            "polygons need shapely; install it with: pip install 'jaxcoadd[sky]'"
        ) from error
    return shapely


@dataclasses.dataclass(frozen=True, eq=False, init=False)
class Polygon:
    """A simple polygon, in pixels.

    Parameters
    ----------
    vertices
        Positions (x, y) of the corners, in either orientation; the first one may be
        repeated at the end. No vertices at all: the empty polygon, of area 0, which
        contains no point.
    holes
        Vertices of outlines within, whose inside is outside of the polygon.

    Raises
    ------
    PolygonError
        One or two vertices, a number that is not finite, edges that touch or cross, or
        a hole that is not inside.

    Notes
    -----
    Kept clockwise (y upwards; holes counterclockwise) and not closed, with the given
    first vertex. On the host, in 64 bits; geometry by shapely.

    Examples
    --------
    >>> square = Polygon([(0, 0), (4, 0), (4, 2), (0, 2)])
    >>> square.area, square.perimeter, square.centre, square.bounds
    (8.0, 12.0, (2.0, 1.0), (0.0, 0.0, 4.0, 2.0))
    >>> square.contains([1.0, 4.0], [1.0, 1.0])
    array([ True, False])
    """

    vertices: Float[np.ndarray, "vertex 2"]
    holes: tuple[Float[np.ndarray, "vertex 2"], ...]

    def __init__(self, vertices: Vertices, holes: Sequence[Vertices] = ()):
        """Check the vertices and keep copies that nobody can change."""
        outline = _orient(_check_vertices(vertices), clockwise=True)
        inner = [_orient(_check_vertices(hole), clockwise=False) for hole in holes]
        object.__setattr__(self, "vertices", outline)
        object.__setattr__(self, "holes", tuple(inner))
        if not self._shape.is_valid:
            why = _shapely().is_valid_reason(self._shape)
            why = why.replace("[", " at (").replace("]", ")")
            raise PolygonError(
                f"the outline of a polygon must not touch or cross itself: {why}"
            )

    @functools.cached_property
    def _shape(self) -> Any:
        shapely = _shapely()
        shape = shapely.Polygon(self.vertices, self.holes)
        shapely.prepare(shape)
        return shape

    @property
    def edges(self) -> Float[np.ndarray, "edge end 2"]:
        """First and last position (x, y) of each edge; the inside is on its right."""
        rings = (self.vertices, *self.holes)
        ends = [np.stack([ring, np.roll(ring, -1, axis=0)], axis=1) for ring in rings]
        return np.concatenate(ends)

    @property
    def is_empty(self) -> bool:
        """Whether it has no vertices."""
        return not len(self.vertices)

    @property
    def area(self) -> float:
        """The area in pixels."""
        return float(self._shape.area)

    @property
    def perimeter(self) -> float:
        """The length of the outline in pixels."""
        return float(self._shape.length)

    @property
    def centre(self) -> tuple[float, float]:
        """The centre of mass (x, y); NaN of the empty polygon."""
        if self.is_empty:
            return np.nan, np.nan
        return float(self._shape.centroid.x), float(self._shape.centroid.y)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Least x and y, greatest x and y; NaN of the empty polygon."""
        x0, y0, x1, y1 = self._shape.bounds
        return float(x0), float(y0), float(x1), float(y1)

    def contains(self, x: Any, y: Any) -> Bool[np.ndarray, "*shape"]:
        """Tell which positions are strictly inside; those on the outline are not.

        The positions are broadcast. NaN is outside.
        """
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        finite = np.isfinite(x) & np.isfinite(y)
        x, y = (np.where(finite, values, 0.0) for values in (x, y))
        return np.asarray(_shapely().contains_xy(self._shape, x, y)) & finite


def _check_vertices(vertices: Any) -> np.ndarray:
    """Return the vertices as a new array, without a closing one."""
    corners = np.array(vertices, dtype=float)
    if not corners.size:
        return np.empty((0, 2))
    if corners.ndim != 2 or corners.shape[1] != 2:
        raise PolygonError(
            f"the vertices have shape {corners.shape}; expected one row (x, y) each"
        )
    if not np.isfinite(corners).all():
        where = int(np.argmin(np.isfinite(corners).all(axis=1)))
        raise PolygonError(
            f"vertex {where} of a polygon is {tuple(corners[where].tolist())}; "
            "expected finite numbers"
        )
    if len(corners) > 1 and (corners[0] == corners[-1]).all():
        corners = corners[:-1].copy()
    if len(corners) < 3:
        raise PolygonError(
            f"a polygon needs 3 vertices or more, not {len(corners)} (none: empty)"
        )
    return corners


def _orient(corners: np.ndarray, *, clockwise: bool) -> np.ndarray:
    """Return the corners in one orientation, with the same first one, for good."""
    # Measured from a corner: far from the origin the products would cancel.
    x, y = (corners - corners[:1]).T
    area = x @ np.roll(y, -1) - y @ np.roll(x, -1)
    if area > 0 if clockwise else area < 0:
        corners = np.concatenate([corners[:1], corners[:0:-1]])
    corners.flags.writeable = False
    return corners


def box_polygon(box: Box) -> Polygon:
    """Return the outline of the pixels of a box.

    Parameters
    ----------
    box
        First and last column and row (x0, y0, x1, y1), both inclusive.

    Returns
    -------
    Polygon
        Along the outer edges of the outer pixels; empty if the box has no pixels.

    Examples
    --------
    >>> box_polygon((0, 0, 9, 4)).bounds
    (-0.5, -0.5, 9.5, 4.5)
    """
    x0, y0, x1, y1 = outer_edges(box)
    if x1 <= x0 or y1 <= y0:
        return Polygon([])
    return Polygon([(x0, y0), (x0, y1), (x1, y1), (x1, y0)])


def transform_polygon(polygon: Polygon, function: Transform) -> Polygon:
    """Move the vertices of a polygon to another frame.

    Parameters
    ----------
    polygon
        Any polygon.
    function
        Takes arrays of x and of y, and gives x and y.

    Returns
    -------
    Polygon
        The polygon of the new vertices. The edges are straight in both frames.

    Raises
    ------
    PolygonError
        A vertex has no finite position in the new frame, or the outline crosses itself.
    """
    outline, *holes = (
        np.stack(function(*ring.T), axis=-1)
        for ring in (polygon.vertices, *polygon.holes)
    )
    return Polygon(outline, holes)


def intersect_polygons(first: Polygon, second: Polygon) -> tuple[Polygon, ...]:
    """Return the pieces that two polygons have in common, perhaps none.

    Points and edges in common are no pieces.
    """
    return _pieces(first._shape.intersection(second._shape))


def unite_polygons(first: Polygon, second: Polygon) -> tuple[Polygon, ...]:
    """Return the pieces of the area of two polygons together."""
    return _pieces(first._shape.union(second._shape))


def common_polygon(first: Polygon, second: Polygon) -> Polygon:
    """Return the one piece that two polygons have in common.

    Parameters
    ----------
    first, second
        Any polygons.

    Returns
    -------
    Polygon
        The common part.

    Raises
    ------
    PolygonError
        No common area, or several pieces of it.

    Examples
    --------
    >>> common_polygon(box_polygon((0, 0, 9, 9)), box_polygon((8, 0, 19, 9))).area
    20.0
    """
    pieces = intersect_polygons(first, second)
    if not pieces:
        raise PolygonError("two polygons have no area in common; expected one piece")
    first_piece, *others = pieces
    if others:
        raise PolygonError(
            f"two polygons have {len(pieces)} pieces in common; expected one"
        )
    return first_piece


def _pieces(shape: Any) -> tuple[Polygon, ...]:
    """Return the polygons of a result of shapely, without points and lines."""
    parts = [
        part
        for part in _shapely().get_parts(shape).tolist()
        if part.geom_type == "Polygon" and part.area > 0
    ]
    return tuple(
        Polygon(
            np.asarray(part.exterior.coords),
            [np.asarray(ring.coords) for ring in part.interiors],
        )
        for part in parts
    )


def grow_polygon(polygon: Polygon | None, box: Box, by: int) -> Polygon:
    """Return the valid polygon of a detector, kept off the rim of what it covers.

    Parameters
    ----------
    polygon
        The valid polygon; ``None`` means the whole box.
    box
        First and last column and row (x0, y0, x1, y1) of the detector, inclusive.
    by
        Pixels by which the rectangle around the polygon, or the box, grows; negative
        to shrink it, as after a convolution.

    Returns
    -------
    Polygon
        Without a polygon the grown box, empty if nothing of it is left. Of a polygon
        the part within its grown rectangle: growing never enlarges it.

    Raises
    ------
    PolygonError
        Of a polygon nothing is left, or several pieces are.

    Notes
    -----
    LSST's growValidPolygons. Shrinking cuts straight edges off the rectangle; it is no
    erosion of the polygon.

    Examples
    --------
    >>> grow_polygon(None, (0, 0, 99, 49), -11).bounds
    (10.5, 10.5, 88.5, 38.5)
    """
    if polygon is None:
        x0, y0, x1, y1 = box
        return box_polygon((x0 - by, y0 - by, x1 + by, y1 + by))
    if polygon.is_empty:
        return polygon
    x0, y0, x1, y1 = polygon.bounds
    x0, y0, x1, y1 = x0 - by, y0 - by, x1 + by, y1 + by
    if x1 <= x0 or y1 <= y0:
        raise PolygonError(
            f"nothing is left of a polygon that spans {polygon.bounds} if it grows by "
            f"{by}; shrink it less, or leave the detector out"
        )
    return common_polygon(polygon, Polygon([(x0, y0), (x0, y1), (x1, y1), (x1, y0)]))


def pad_vertices(
    polygons: Sequence[Polygon | None],
) -> tuple[Float[np.ndarray, "input vertex 2"], np.ndarray]:
    """Return the vertices of several polygons as one array, padded with NaN.

    Parameters
    ----------
    polygons
        Polygons, or ``None`` where there is none.

    Returns
    -------
    tuple
        The vertices (x, y), and the number of each polygon's: -1 for ``None``.

    Raises
    ------
    PolygonError
        A polygon has holes.

    Examples
    --------
    >>> vertices, counts = pad_vertices([None, box_polygon((0, 0, 1, 1)), Polygon([])])
    >>> vertices.shape, counts.tolist()
    ((3, 4, 2), [-1, 4, 0])
    """
    if any(polygon is not None and polygon.holes for polygon in polygons):
        raise PolygonError("a polygon with holes is not one list of vertices")
    counts = np.array(
        [-1 if polygon is None else len(polygon.vertices) for polygon in polygons],
        dtype=np.int32,
    )
    result = np.full((len(polygons), max(counts.max(initial=0), 0), 2), np.nan)
    for row, polygon in zip(result, polygons, strict=True):
        if polygon is not None:
            row[: len(polygon.vertices)] = polygon.vertices
    return result, counts


def unpad_vertices(
    vertices: np.ndarray, counts: np.ndarray
) -> tuple[Polygon | None, ...]:
    """Return the polygons of arrays that `pad_vertices` made."""
    return tuple(
        None if count < 0 else Polygon(row[:count])
        for row, count in zip(vertices, counts, strict=True)
    )
