"""Which inputs a coadd has in each of its pixels, as an image of bits."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt32

from jaxcoadd.inputs.boxes import Box, box_shape
from jaxcoadd.inputs.polygons import Polygon, box_polygon
from jaxcoadd.inputs.rasters import polygon_pixels
from jaxcoadd.inputs.records import DetectorInput

WORD = 32
"""Bits of one plane."""

# An edge of a detector is a curve in the coadd. In so many pieces, a bow of a pixel is
# followed to 1 / 4096 of a pixel.
_PIECES = 64


def make_input_bits(
    detectors: Sequence[DetectorInput], coadd_wcs: Any, box: Box
) -> UInt32[np.ndarray, "word y x"]:
    """Set, in each pixel of a coadd, the bits of the detectors that cover its centre.

    Parameters
    ----------
    detectors
        The rows of the coadd's table of detectors, in its order, each with its WCS.
    coadd_wcs
        From the pixels of the coadd to the sky.
    box
        First and last column and row (x0, y0, x1, y1) of the coadd, inclusive.

    Returns
    -------
    Array
        Detector k has bit ``k % 32`` of plane ``k // 32``. It covers a pixel if the
        centre is on its box and inside of its valid polygon, if it has one.

    Raises
    ------
    ValueError
        A detector without WCS.

    Notes
    -----
    The outlines are moved to the coadd, and not its pixels to the detectors: within
    1e-3 of a pixel of an outline the answer may be either.
    """
    rows, columns = box_shape(box)
    words = -(-len(detectors) // WORD)
    result = np.zeros((words, rows, columns), np.uint32)
    for bit, row in enumerate(detectors):
        covered = detector_pixels(row, coadd_wcs, box)
        result[bit // WORD][covered] |= np.uint32(1 << bit % WORD)
    return result


def detector_pixels(
    row: DetectorInput, coadd_wcs: Any, box: Box
) -> Bool[np.ndarray, "y x"]:
    """Tell which pixels of a coadd have their centre on a detector.

    Parameters
    ----------
    row
        The detector, with its WCS.
    coadd_wcs
        From the pixels of the coadd to the sky.
    box
        First and last column and row (x0, y0, x1, y1) of the coadd, inclusive.

    Returns
    -------
    Array
        True on its box and inside of its valid polygon. A detector with an outline
        that has no image in the frame of the coadd covers nothing.

    Raises
    ------
    ValueError
        The detector has no WCS.
    """
    if row.wcs is None:
        raise ValueError(f"the detector with id {row.id} has no WCS; give it one")
    outlines = [box_polygon(row.box)]
    if row.polygon is not None:
        outlines.append(row.polygon)
    covered = np.ones(box_shape(box), bool)
    for outline in outlines:
        rings = [
            _move_ring(ring, row.wcs, coadd_wcs)
            for ring in (outline.vertices, *outline.holes)
        ]
        if not all(np.isfinite(ring).all() for ring in rings):
            return np.zeros_like(covered)
        covered &= polygon_pixels(Polygon(rings[0], rings[1:]), box)
    return covered


def _move_ring(ring: np.ndarray, wcs: Any, coadd_wcs: Any) -> np.ndarray:
    """Return many points of an outline in the frame of the coadd."""
    part = np.arange(_PIECES)[:, None] / _PIECES
    start, end = ring[:, None], np.roll(ring, -1, axis=0)[:, None]
    points = (start * (1 - part) + end * part).reshape(-1, 2)
    if not len(points):
        return points
    sky = wcs.pixel_to_world_values(*points.T)
    return np.stack(coadd_wcs.world_to_pixel_values(*sky), axis=-1)


def clear_input_bits(
    bits: UInt32[np.ndarray, "word y x"],
    detectors: Sequence[DetectorInput],
    bad: Mapping[int, Bool[np.ndarray, "y x"]],
) -> UInt32[np.ndarray, "word y x"]:
    """Clear the bits of visits in the pixels that are bad in their warps.

    Parameters
    ----------
    bits
        Planes that `make_input_bits` made.
    detectors
        The detectors of the bits.
    bad
        For the number of a visit, which pixels of its warp are bad. Visits without
        an entry have no bad pixels.

    Returns
    -------
    Array
        New planes.

    Raises
    ------
    ValueError
        An image of bad pixels that has not the shape of the planes.
    """
    result = bits.copy()
    for visit, image in bad.items():
        if np.shape(image) != bits.shape[1:]:
            raise ValueError(
                f"the image of bad pixels of visit {visit} is {np.shape(image)}; "
                f"expected {bits.shape[1:]}"
            )
        for bit, row in enumerate(detectors):
            if row.visit == visit:
                result[bit // WORD][image] &= ~np.uint32(1 << bit % WORD)
    return result


def count_inputs(bits: UInt32[np.ndarray, "word y x"]) -> Int[np.ndarray, "y x"]:
    """Return how many detectors each pixel has.

    Parameters
    ----------
    bits
        Planes that `make_input_bits` made.
    """
    return np.bitwise_count(bits).sum(axis=0, dtype=np.int32)
