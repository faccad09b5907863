"""Polygons as images: what part of each pixel is inside, or whether its centre is."""

import numpy as np
from jaxtyping import Bool, Float

from jaxcoadd.inputs.boxes import Box, box_shape
from jaxcoadd.inputs.polygons import Polygon


def polygon_fractions(polygon: Polygon, box: Box) -> Float[np.ndarray, "y x"]:
    """Return the part of each pixel that is inside of a polygon.

    Parameters
    ----------
    polygon
        Any polygon, in the pixel frame of the box.
    box
        First and last column and row (x0, y0, x1, y1) of the image, inclusive.

    Returns
    -------
    Array
        From 0 to 1. Exactly 0 or 1 in pixels that the outline does not enter.

    Raises
    ------
    ValueError
        The box has no pixels.

    Notes
    -----
    Exact up to rounding: the area of each pixel right of the rising edges, less that
    right of the falling ones. Polygon::createImage of LSST's afw, without its
    omissions at negative coordinates and at the rim of the image.

    Examples
    --------
    >>> square = Polygon([(0, 0), (2, 0), (2, 1), (0, 1)])
    >>> polygon_fractions(square, (0, 0, 2, 1))
    array([[0.25, 0.5 , 0.25],
           [0.25, 0.5 , 0.25]])
    """
    rows, columns = box_shape(box)
    # The cell [0, 0] is the square from 0 to 1, and edges are numbered as cells are.
    edges = polygon.edges - (box[0] - 0.5, box[1] - 0.5)
    area = np.zeros((rows, columns + 1))
    entered = np.zeros((rows, columns), bool)
    for start, end in edges:
        _add_edge(area, entered, _cut_at_cells(start, end, (rows, columns)))
    np.cumsum(area, axis=1, out=area)
    area = area[:, :columns]
    rim = np.clip(area[entered], 0, 1)
    np.rint(area, out=area)
    area[entered] = rim
    return area


def _cut_at_cells(
    start: np.ndarray, end: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Return the points of an edge where it crosses lines between cells."""
    cuts = [np.array([0.0, 1.0])]
    for axis, size in enumerate(shape[::-1]):
        low, high = sorted((start[axis], end[axis]))
        lines = np.arange(max(np.ceil(low), 0), min(np.floor(high), size) + 1)
        if high > low:
            cuts.append((lines - start[axis]) / (end[axis] - start[axis]))
    part = np.unique(np.clip(np.concatenate(cuts), 0, 1))[:, None]
    # So that an edge along a line between pixels stays exactly on it.
    points = start + part * (end - start)
    points[-1] = end
    return points


def _add_edge(area: np.ndarray, entered: np.ndarray, points: np.ndarray) -> None:
    """Add the change of area, from one column to the next, that an edge makes."""
    rows, columns = entered.shape
    rise = np.diff(points[:, 1])
    middle = (points[:-1] + points[1:]) / 2
    column, row = np.floor(middle).astype(int).T
    within = (row >= 0) & (row < rows) & (column < columns)
    column, row, rise = column[within], row[within], rise[within]
    # An edge left of the image has all of each row on its right.
    x = np.maximum(middle[within, 0], 0)
    enters = column >= 0
    entered[row[enters], column[enters]] = True
    column = np.maximum(column, 0)
    np.add.at(area, (row, column), rise * (column + 1 - x))
    np.add.at(area, (row, column + 1), rise * (x - column))


def polygon_pixels(polygon: Polygon, box: Box) -> Bool[np.ndarray, "y x"]:
    """Tell which pixels have their centre inside of a polygon.

    Parameters
    ----------
    polygon
        Any polygon, in the pixel frame of the box.
    box
        First and last column and row (x0, y0, x1, y1) of the image, inclusive.

    Returns
    -------
    Array
        True inside. Of centres on the outline those on left and lower edges count, so
        that polygons that share an edge share no pixel.

    Raises
    ------
    ValueError
        The box has no pixels.

    Examples
    --------
    >>> square = Polygon([(0, 0), (2, 0), (2, 1), (0, 1)])
    >>> polygon_pixels(square, (0, 0, 2, 1)).astype(int)
    array([[1, 1, 0],
           [0, 0, 0]])
    """
    rows, columns = box_shape(box)
    crossings = np.zeros((rows, columns + 1), bool)
    for start, end in polygon.edges - (box[0], box[1]):
        # The lower end first, so that neighbours find the same crossings.
        (x0, y0), (x1, y1) = sorted((start, end), key=lambda corner: corner[1])
        row = np.arange(max(int(np.ceil(y0)), 0), min(int(np.ceil(y1)), rows))
        if not len(row):
            continue
        x = x0 + (row - y0) * ((x1 - x0) / (y1 - y0))
        column = np.clip(np.ceil(x), 0, columns).astype(int)
        crossings[row, column] ^= True
    return np.logical_xor.accumulate(crossings[:, :columns], axis=1)
