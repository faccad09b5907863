"""Which inputs a coadd has at each place of the sky, as a HealSparse map."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import ConvexHull

from jaxcoadd.inputs.boxes import Box, box_shape
from jaxcoadd.inputs.polygons import Polygon, box_polygon
from jaxcoadd.inputs.records import DetectorInput
from jaxcoadd.sky.sphere import unit_vectors

NSIDE = 32768
NSIDE_COVERAGE = 256

HealSparseMap = Any
"""A `healsparse.HealSparseMap`, which is there with the extra `maps` only."""


def import_healsparse() -> ModuleType:
    """Return the healsparse library, or say how to install it."""
    try:
        import healsparse
    except ImportError as error:
        raise ImportError(
            "input maps need healsparse; install it with: pip install 'jaxcoadd[maps]'"
        ) from error
    return healsparse


def _hpgeom() -> ModuleType:
    """Return the library of HEALPix geometry that healsparse stands on."""
    import_healsparse()
    import hpgeom

    return hpgeom


@contextlib.contextmanager
def allow_fine_coverage() -> Iterator[None]:
    """Let HealSparse have an index as fine as LSST's maps have, without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*nside_coverage")
        yield


def make_input_map(
    detectors: Sequence[DetectorInput],
    coadd_wcs: Any,
    box: Box,
    *,
    nside: int = NSIDE,
    nside_coverage: int = NSIDE_COVERAGE,
) -> HealSparseMap:
    """Map which detectors cover each HEALPix pixel of a coadd.

    Parameters
    ----------
    detectors
        The rows of the coadd's table of detectors, in its order, each with its WCS.
    coadd_wcs
        From the pixels of the coadd to the sky.
    box
        First and last column and row (x0, y0, x1, y1) of the coadd, inclusive.
    nside, nside_coverage
        Resolution of the map, and of the index of its parts.

    Returns
    -------
    HealSparseMap
        A wide mask in NEST order, with one bit a detector. The bit is set where the
        centre of a pixel is in the convex hull of the detector's valid polygon, or of
        its box, and in the box of the coadd. Its metadata have the number of the
        detector, the visit and the weight of each bit, as ``B0003CCD``, ``B0003VIS``
        and ``B0003WT``.

    Raises
    ------
    ImportError
        There is no healsparse.
    ValueError
        No detectors, a detector without WCS, or an outline that is not on the sky.

    Notes
    -----
    LSST's HealSparseInputMapTask; on the host.
    """
    healsparse = import_healsparse()
    if not detectors:
        raise ValueError("an input map needs one detector or more; found none")
    with allow_fine_coverage():
        result = healsparse.HealSparseMap.make_empty(
            nside_coverage,
            nside,
            healsparse.WIDE_MASK,
            wide_mask_maxbits=len(detectors),
        )
    patch = _pixels_within(coadd_wcs, box_polygon(box), nside, "the coadd")
    for bit, row in enumerate(detectors):
        name = f"the detector with id {row.id}"
        if row.wcs is None:
            raise ValueError(f"{name} has no WCS; give it one")
        used = box_polygon(row.box) if row.polygon is None else row.polygon
        pixels = _pixels_within(row.wcs, used, nside, name)
        result.set_bits_pix(np.intersect1d(pixels, patch), [bit])
    result.metadata = bit_cards(detectors)
    return result


def bit_cards(detectors: Sequence[DetectorInput]) -> dict[str, int | float]:
    """Return cards that say which detector, of which visit and weight, each bit is."""
    cards: dict[str, int | float] = {}
    for bit, row in enumerate(detectors):
        cards[f"B{bit:04d}CCD"] = int(row.detector)
        cards[f"B{bit:04d}VIS"] = int(row.visit)
        cards[f"B{bit:04d}WT"] = float(row.weight)
    return cards


def _pixels_within(wcs: Any, polygon: Polygon, nside: int, name: str) -> np.ndarray:
    """Return the HEALPix pixels with their centre in the convex hull of a polygon."""
    if polygon.is_empty:
        return np.empty(0, np.int64)
    longitude, latitude = wcs.pixel_to_world_values(*polygon.vertices.T)
    if not np.isfinite([longitude, latitude]).all():
        raise ValueError(
            f"a corner of {name} has no position on the sky; check its WCS and polygon"
        )
    hull = _spherical_hull(unit_vectors(longitude, latitude))
    return _hpgeom().query_polygon(nside, longitude[hull], latitude[hull])


def _spherical_hull(vectors: Float[np.ndarray, "corner 3"]) -> np.ndarray:
    """Return the indices of the corners of the convex hull of unit vectors."""
    # Great circles are straight lines on the plane that touches the sphere.
    _, _, axes = np.linalg.svd(vectors - vectors.mean(axis=0))
    depth = vectors @ axes[2]
    return ConvexHull(vectors @ axes[:2].T / depth[:, None]).vertices


def clear_bad_visits(
    input_map: HealSparseMap,
    detectors: Sequence[DetectorInput],
    bad: Mapping[int, Bool[np.ndarray, "y x"]],
    coadd_wcs: Any,
    box: Box,
    *,
    min_coverage: float = 0.5,
) -> HealSparseMap:
    """Clear the bits of visits where too many pixels of their warps are bad.

    Parameters
    ----------
    input_map
        A map that `make_input_map` made.
    detectors
        The detectors of its bits.
    bad
        For the number of a visit, which pixels of its warp are bad. Visits without
        an entry have no bad pixels.
    coadd_wcs
        From the pixels of the coadd, and of the warps, to the sky.
    box
        First and last column and row (x0, y0, x1, y1) of the warps, inclusive.
    min_coverage
        A HEALPix pixel is lost to a visit if more than this part of its area is bad.

    Returns
    -------
    HealSparseMap
        A new map; the given one is as it was.

    Raises
    ------
    ValueError
        An image of bad pixels that has not the shape of the box.

    Notes
    -----
    LSST's HealSparseInputMapTask. The area of a pixel is that at the centre of the box.
    """
    result = input_map.copy()
    result.metadata = input_map.metadata
    nside = input_map.nside_sparse
    limit = min_coverage * healpix_pixel_ratio(nside, coadd_wcs, box)
    for visit, image in bad.items():
        bits = [bit for bit, row in enumerate(detectors) if row.visit == visit]
        pixels, counts = count_bad_pixels(image, coadd_wcs, box, nside=nside)
        lost = pixels[counts > limit]
        # Only pixels of the map: clearing a bit elsewhere would make it larger.
        lost = lost[input_map.get_values_pix(lost).any(axis=-1)]
        if bits and len(lost):
            result.clear_bits_pix(lost, bits)
    return result


def healpix_pixel_ratio(nside: int, coadd_wcs: Any, box: Box) -> float:
    """Return the area of a HEALPix pixel in pixels at the centre of a coadd.

    Parameters
    ----------
    nside
        Resolution of the HEALPix pixels.
    coadd_wcs
        From the pixels of the coadd to the sky.
    box
        First and last column and row (x0, y0, x1, y1) of the coadd, inclusive.
    """
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    # Half a pixel to either side, on axes that are on the sky one degree a degree.
    longitude, latitude = coadd_wcs.pixel_to_world_values(
        x + np.array([-0.5, 0.5, 0, 0]), y + np.array([0, 0, -0.5, 0.5])
    )
    turn = np.remainder(longitude - longitude[0] + 180, 360) - 180
    east = turn * np.cos(np.radians(latitude.mean()))
    across, along = np.stack([np.diff(east)[::2], np.diff(latitude)[::2]], axis=-1)
    area = abs(across[0] * along[1] - across[1] * along[0])
    return float(_hpgeom().nside_to_pixel_area(nside, degrees=True) / area)


def count_bad_pixels(
    bad: Bool[np.ndarray, "y x"], coadd_wcs: Any, box: Box, *, nside: int = NSIDE
) -> tuple[np.ndarray, np.ndarray]:
    """Count the bad pixels of an image in each HEALPix pixel.

    Parameters
    ----------
    bad
        Whether each pixel of the box is bad.
    coadd_wcs
        From the pixels to the sky.
    box
        First and last column and row (x0, y0, x1, y1), inclusive.
    nside
        Resolution of the HEALPix pixels, in NEST order.

    Returns
    -------
    tuple of array
        The HEALPix pixels with the centre of any bad pixel, in order, and the counts.

    Raises
    ------
    ValueError
        The image has not the shape of the box.
    """
    if np.shape(bad) != box_shape(box):
        raise ValueError(
            f"the image of bad pixels is {np.shape(bad)}; the box has {box_shape(box)}"
        )
    rows, columns = np.nonzero(bad)
    if not len(rows):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    sky = coadd_wcs.pixel_to_world_values(columns + box[0], rows + box[1])
    return np.unique(_hpgeom().angle_to_pixel(nside, *sky), return_counts=True)
