"""Points and convex polygons on the sphere, as unit vectors in float64."""

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from jaxcoadd.sky.errors import SkyMapError

# More than the rounding of a triple product of unit vectors: five steps each way.
_ROUNDING = 5 * np.finfo(float).eps


def unit_vectors(ra: ArrayLike, dec: ArrayLike) -> np.ndarray:
    """Return the unit vectors (x, y, z) of positions in degrees, on the last axis."""
    ra, dec = np.radians(ra), np.radians(dec)
    cosine = np.cos(dec)
    return np.stack([cosine * np.cos(ra), cosine * np.sin(ra), np.sin(dec)], axis=-1)


def sky_positions(vectors: np.ndarray) -> np.ndarray:
    """Return RA from 0 to 360 and Dec in degrees, on the last axis, of vectors.

    RA is 0 at the poles, where rounding would make it anything.
    """
    x, y, z = np.moveaxis(vectors, -1, 0)
    across = np.hypot(x, y)
    at_pole = across < _ROUNDING * np.abs(z)
    ra = np.where(at_pole, 0.0, np.degrees(np.arctan2(y, x)) % 360)
    return np.stack([ra, np.degrees(np.arctan2(z, across))], axis=-1)


def points_around(
    ra: float, dec: float, distance: float, bearings: ArrayLike
) -> np.ndarray:
    """Return points at a distance from a position.

    Parameters
    ----------
    ra, dec, distance
        In degrees.
    bearings
        Directions in degrees, from east towards north.

    Returns
    -------
    array
        RA and Dec in degrees, one row a bearing.
    """
    centre, (ra, dec) = unit_vectors(ra, dec), np.radians((ra, dec))
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    north = np.cross(centre, east)
    bearings, distance = np.radians(bearings)[:, None], np.radians(distance)
    direction = np.cos(bearings) * east + np.sin(bearings) * north
    return sky_positions(np.cos(distance) * centre + np.sin(distance) * direction)


def hulls_overlap(first: ArrayLike, second: ArrayLike) -> bool:
    """Tell whether the convex hulls of two sets of points on the sphere overlap.

    Parameters
    ----------
    first, second
        Points, RA and Dec in degrees, one a row; each set within 45 degrees of the
        direction of its mean. A point that is not finite spoils its set: it overlaps
        nothing.

    Returns
    -------
    bool
        Whether the hulls have a point in common; touching counts, to rounding.

    Raises
    ------
    SkyMapError
        Points that are farther apart than that.

    Notes
    -----
    Two convex polygons in one hemisphere are apart exactly if an edge of one of them
    has the other one on its outer side. Libraries of polygons work in the plane, where
    neither poles nor RA 0 nor great circles are what they are here, so these lines are
    our own. LSST asks the same of the convex polygons of sphgeom.

    Examples
    --------
    >>> square = np.array([(359, -1), (1, -1), (1, 1), (359, 1)])
    >>> hulls_overlap(square, square + [2.5, 0]), hulls_overlap(square, square + [1, 0])
    (False, True)
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return False
    first, second = unit_vectors(*first.T), unit_vectors(*second.T)
    if _mean_direction(first) @ _mean_direction(second) < 0:
        # More than 90 degrees apart, of which each reaches across less than half.
        return False
    return not (_edge_parts(first, second) or _edge_parts(second, first))


def _mean_direction(points: np.ndarray) -> np.ndarray:
    mean = points.mean(axis=0)
    mean = mean / max(np.linalg.norm(mean), _ROUNDING)
    if (points @ mean).min() < np.sqrt(0.5) - _ROUNDING:
        raise SkyMapError("a polygon on the sky reaches over more than 45 degrees")
    return mean


def _edge_parts(polygon: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether an edge of a hull has all of another hull outside of it."""
    return any((other @ inwards < -_ROUNDING).all() for inwards in _edges(polygon))


def _edges(points: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the normals, inwards, of the great circles along the edges of a hull."""
    for one, two in itertools.combinations(points, 2):
        # Not of unit length: scaling would scale its rounding too.
        normal = np.cross(one, two)
        if np.abs(normal).max() > _ROUNDING:
            sides = points @ normal
            # The edges of the hull are the pairs that have all others on one side.
            if (sides >= -_ROUNDING).all():
                yield normal
            if (sides <= _ROUNDING).all():
                yield -normal
