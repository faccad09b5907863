"""Which inputs cover a position of a coadd, and how they are seen from there.

Positions are (x, y) in pixels, 0-based. The WCS of inputs and coadd must be in one
celestial frame.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from astropy.wcs import WCS
from jaxtyping import Bool, Float

from jaxcoadd.inputs.boxes import Box, box_contains
from jaxcoadd.inputs.polygons import Polygon, PolygonError
from jaxcoadd.sky.sphere import unit_vectors

Positions = Float[np.ndarray, "position 2"]

# Half the distance over which a slope is taken, in pixels: rounding of the WCS, some
# 1e-9 pixels, is divided by it, and the error of the slope is of its fourth order.
_STEP = 16.0
# A position that does not come back this well, in pixels, has no image of its own.
_ROUND_TRIP = 1e-3
_INVERSE_TOLERANCE = 1e-8


class NoAveragePositionError(ValueError):
    """The mean position of the inputs lies in none of them."""


@dataclasses.dataclass(frozen=True, eq=False)
class InputRegion:
    """The part of the sky that an input covers.

    Parameters
    ----------
    wcs
        WCS of the input.
    box
        First and last column and row (x0, y0, x1, y1), inclusive.
    polygon
        The part that is used, in pixels of the input; ``None``: the box.

    Raises
    ------
    PolygonError
        The polygon is not a `Polygon`.
    """

    wcs: WCS
    box: Box
    polygon: Polygon | None = None

    def __post_init__(self):
        """Refuse vertices alone."""
        if not (self.polygon is None or isinstance(self.polygon, Polygon)):
            raise PolygonError(
                f"the polygon of an input is a {type(self.polygon).__name__}; make it "
                "an inputs.Polygon"
            )

    def contains(self, x: np.ndarray, y: np.ndarray) -> Bool[np.ndarray, "*shape"]:
        """Tell at which positions on the input it is used, see `is_used`."""
        return is_used(x, y, box=self.box, polygon=self.polygon)


def is_used(
    x: np.ndarray, y: np.ndarray, *, box: Box, polygon: Polygon | None
) -> Bool[np.ndarray, "*shape"]:
    """Tell at which positions a detector is used; at NaN it is not.

    Parameters
    ----------
    x, y
        Positions in pixels of the detector.
    box
        First and last column and row (x0, y0, x1, y1), inclusive. Its left and lower
        edges belong to it, the right and upper ones do not.
    polygon
        The valid polygon, whose edges do not belong to it; ``None`` means the whole
        box.

    Returns
    -------
    Array
        Whether a position is in the box and in the polygon.

    Examples
    --------
    >>> triangle = Polygon([(0, 0), (9, 0), (0, 9)])
    >>> x, y = np.array([-0.5, 9.5, 2.0, 8.0]), np.array([0.0, 0.0, 2.0, 8.0])
    >>> is_used(x, y, box=(0, 0, 9, 9), polygon=None)
    array([ True, False,  True,  True])
    >>> is_used(x, y, box=(0, 0, 9, 9), polygon=triangle)
    array([False, False,  True, False])
    """
    inside = box_contains(box, x, y)
    return inside if polygon is None else inside & polygon.contains(x, y)


def source_positions(coadd_wcs: WCS, wcs: WCS, positions: Positions) -> Positions:
    """Return where positions on a coadd lie on an input.

    Parameters
    ----------
    coadd_wcs, wcs
        WCS of the coadd and of the input.
    positions
        Positions on the coadd.

    Returns
    -------
    Array
        To some 1e-9 pixels; NaN where the input's projection does not reach.
    """
    sky = _to_sky(coadd_wcs, positions)
    found = np.full(positions.shape, np.nan)
    seen = np.isfinite(sky).all(axis=1)
    if not seen.any():
        return found
    inverse = np.asarray(
        wcs.all_world2pix(
            sky[seen], 0, tolerance=_INVERSE_TOLERANCE, maxiter=50, quiet=True
        )
    )
    # Iterated inverses stop early: a last step, by the exact way back.
    basis = _tangent_basis(sky[seen])
    slopes = _slopes(wcs, inverse, basis)
    away = _offsets(wcs, inverse, basis)
    with np.errstate(all="ignore"):
        step = np.einsum("pij,pj->pi", _inverse(slopes), away)
        good = np.abs(step).max(axis=1) < _ROUND_TRIP
    found[seen] = np.where(good[:, None], inverse - step, np.nan)
    return found


def affine_maps(
    coadd_wcs: WCS, wcs: WCS, positions: Positions
) -> Float[np.ndarray, "position 2 3"]:
    """Return the maps from coadd to input, linear around positions on the coadd.

    Parameters
    ----------
    coadd_wcs, wcs
        WCS of the coadd and of the input.
    positions
        Positions on the coadd.

    Returns
    -------
    Array
        ``[[a, b, tx], [c, d, ty]]`` at each position: the input's x is
        ``a x + b y + tx``. NaN where the input's projection does not reach.

    Notes
    -----
    The slopes are good to 1e-10: both WCS are followed to the sky, never back, and
    central differences over two distances are extrapolated to none.
    """
    found = source_positions(coadd_wcs, wcs, positions)
    maps = np.full((len(positions), 2, 3), np.nan)
    seen = np.isfinite(found).all(axis=1)
    if seen.any():
        basis = _tangent_basis(_to_sky(coadd_wcs, positions[seen]))
        of_input = _inverse(_slopes(wcs, found[seen], basis))
        matrix = of_input @ _slopes(coadd_wcs, positions[seen], basis)
        shift = found[seen] - np.einsum("pij,pj->pi", matrix, positions[seen])
        maps[seen] = np.concatenate([matrix, shift[:, :, None]], axis=2)
    return maps


def average_position(
    coadd_wcs: WCS,
    regions: Sequence[InputRegion],
    averages: Positions,
    weights: Float[np.ndarray, " input"],
) -> Float[np.ndarray, "2"]:
    """Return the mean position of the inputs on a coadd that any of them covers.

    Parameters
    ----------
    coadd_wcs
        WCS of the coadd.
    regions
        The inputs.
    averages
        A position on each input: where its own point-spread function is typical.
    weights
        One an input: its weight times the number of its pixels.

    Returns
    -------
    Array
        The weighted mean, (x, y). While no input covers it, the input of the smallest
        weight is left out.

    Raises
    ------
    NoAveragePositionError
        There is no such position.

    Notes
    -----
    LSST: ``CoaddPsf``, which subtracts an input from the sums to leave it out.
    """
    on_coadd = [
        source_positions(region.wcs, coadd_wcs, position[None])[0]
        for region, position in zip(regions, averages, strict=True)
    ]
    moments = np.column_stack([np.array(on_coadd), np.ones(len(weights))])
    moments = moments * np.asarray(weights, float)[:, None]
    # What cannot be projected has no place in a mean.
    known = np.all(np.isfinite(moments), axis=1, keepdims=True)
    moments = np.where(known, moments, 0)
    left = moments.sum(axis=0)
    for index in np.argsort(weights, kind="stable"):
        with np.errstate(all="ignore"):
            position = left[:2] / left[2]
        if _is_covered(coadd_wcs, regions, position[None]):
            return position
        left = left - moments[index]
    raise NoAveragePositionError(
        f"no mean position of the {len(regions)} inputs lies in any of them; look at "
        "their boxes, polygons and weights"
    )


def _is_covered(
    coadd_wcs: WCS, regions: Sequence[InputRegion], position: Positions
) -> bool:
    """Tell whether any input covers a position on the coadd."""
    return any(
        region.contains(*source_positions(coadd_wcs, region.wcs, position).T)[0]
        for region in regions
    )


def _to_sky(wcs: WCS, positions: Positions) -> Positions:
    """Return longitudes and latitudes in degrees."""
    finite = np.isfinite(positions).all(axis=1)
    sky = np.full(positions.shape, np.nan)
    if finite.any():
        sky[finite] = wcs.all_pix2world(positions[finite], 0)
    return sky


def _tangent_basis(sky: Positions) -> Float[np.ndarray, "position 2 3"]:
    """Return unit vectors to the east and to the north."""
    longitude, latitude = np.radians(sky).T
    zero = np.zeros(len(sky))
    east = [-np.sin(longitude), np.cos(longitude), zero]
    north = [
        -np.sin(latitude) * np.cos(longitude),
        -np.sin(latitude) * np.sin(longitude),
        np.cos(latitude),
    ]
    return np.stack([np.stack(east, axis=1), np.stack(north, axis=1)], axis=1)


def _offsets(
    wcs: WCS, positions: Positions, basis: Float[np.ndarray, "position 2 3"]
) -> Positions:
    """Return how far to the east and north of the basis pixels lie, in radians."""
    return np.einsum("pij,pj->pi", basis, unit_vectors(*_to_sky(wcs, positions).T))


def _slopes(
    wcs: WCS, positions: Positions, basis: Float[np.ndarray, "position 2 3"]
) -> Float[np.ndarray, "position 2 2"]:
    """Return the derivatives of the offsets by x and y."""
    columns = []
    for axis in np.eye(2):
        near, far = (
            (
                _offsets(wcs, positions + step * axis, basis)
                - _offsets(wcs, positions - step * axis, basis)
            )
            / (2 * step)
            for step in (_STEP, 2 * _STEP)
        )
        columns.append((4 * near - far) / 3)
    return np.stack(columns, axis=2)


def _inverse(
    matrices: Float[np.ndarray, "position 2 2"],
) -> Float[np.ndarray, "position 2 2"]:
    """Invert matrices, to NaN where there is no inverse."""
    (a, b), (c, d) = np.moveaxis(matrices, 0, -1)
    with np.errstate(all="ignore"):
        adjugate = np.array([[d, -b], [-c, a]]) / (a * d - b * c)
    return np.moveaxis(adjugate, -1, 0)
