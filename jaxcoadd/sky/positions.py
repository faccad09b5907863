"""Positions of the pixels of one image in another one, by their coordinates on the sky.

A mapping is a function ``(x, y) -> (x, y)`` from target to source pixels, of arrays of
any shape in double precision. Coordinates are an array of source rows and, second,
source columns; they begin at row -1 and column -1 of the target, because the area of a
pixel is measured to its left and lower neighbours.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from astropy.wcs import NoConvergence
from jaxtyping import Float

Mapping = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
Coordinates = Float[np.ndarray, "2 y x"]
Origin = tuple[int, int]

# Pixels to which the distortion of a FITS header is inverted.
_TOLERANCE = 1e-9


def pixel_mapping(source: Any, target: Any) -> Mapping:
    """Make the mapping from pixels of a target to pixels of a source, by the sky.

    Parameters
    ----------
    source, target
        Both of any kind that has ``pixel_to_world_values`` and
        ``world_to_pixel_values``: astropy's WCS, gwcs and others. Pixels count from 0.

    Returns
    -------
    Callable
        ``mapping(x, y) -> (x, y)``; NaN for positions that have none.

    Raises
    ------
    ValueError
        One is not such an object, or their coordinates on the sky are of another kind,
        order, unit or frame.
    """
    _check_sky(source, target)

    def mapping(x, y):
        world = target.pixel_to_world_values(x, y)
        if not hasattr(source, "all_world2pix"):
            return source.world_to_pixel_values(*world)
        options = {"tolerance": _TOLERANCE, "adaptive": True, "detect_divergence": True}
        try:
            return source.all_world2pix(*world, 0, maxiter=50, **options)
        except NoConvergence as error:
            return _without(np.asarray(error.best_solution), error, np.shape(x))

    return mapping


def _without(solution, error, shape):
    """Take out the positions to which an inversion did not converge."""
    for failed in (error.divergent, error.slow_conv):
        if failed is not None:
            solution[failed] = np.nan
    return solution[:, 0].reshape(shape), solution[:, 1].reshape(shape)


def _check_sky(source, target):
    for name, wcs in (("source", source), ("target", target)):
        if not hasattr(wcs, "world_to_pixel_values"):
            raise ValueError(
                f"{name} is a {type(wcs).__name__}; it must have pixel_to_world_values "
                "and world_to_pixel_values, as a WCS of astropy"
            )
    for what in ("world_axis_physical_types", "world_axis_units"):
        one, other = (list(getattr(w, what, ())) for w in (source, target))
        # A unit that is not given is the usual one.
        if one != other and all(one) and all(other):
            raise ValueError(
                f"source and target differ in {what}: {one} and {other}; "
                "bring both to one kind of coordinates"
            )
    frames = [
        str(getattr(getattr(w, "wcs", None), "radesys", "")) for w in (source, target)
    ]
    if all(frames) and frames[0] != frames[1]:
        raise ValueError(
            f"source is in the frame {frames[0]} and target in {frames[1]}; "
            "bring both to one frame"
        )


def pixel_coordinates(
    source: Any,
    target: Any,
    shape: tuple[int, int],
    *,
    spacing: int = 10,
    source_origin: Origin = (0, 0),
    target_origin: Origin = (0, 0),
) -> Coordinates:
    """Find where the pixels of a target are in a source.

    Parameters
    ----------
    source, target
        Their coordinates on the sky, see `pixel_mapping`.
    shape
        Rows and columns of the target.
    spacing
        Pixels between which positions are interpolated linearly; 0: none are.
    source_origin, target_origin
        Position (x, y) of the pixel [0, 0], as `source` and `target` count.

    Returns
    -------
    Float[np.ndarray, "2 y x"]
        Rows and columns of the source, for the target rows and columns from -1 on. NaN
        where there are none, and where the map folds: where pixels are mirrored, unlike
        most of them, or have no area.

    Raises
    ------
    ValueError
        As for `pixel_mapping`, or the shape or the spacing is not positive.

    Notes
    -----
    In double precision. The same as LSST's ``interpLength``, which depends on the first
    pixel of the target.
    """
    return mapped_coordinates(
        pixel_mapping(source, target),
        shape,
        spacing=spacing,
        source_origin=source_origin,
        target_origin=target_origin,
    )


def mapped_coordinates(
    mapping: Mapping,
    shape: tuple[int, int],
    *,
    spacing: int = 10,
    source_origin: Origin = (0, 0),
    target_origin: Origin = (0, 0),
) -> Coordinates:
    """Find where the pixels of a target are in a source, by any mapping.

    Parameters
    ----------
    mapping
        ``mapping(x, y) -> (x, y)`` from the target to the source.
    shape, spacing, source_origin, target_origin
        As for `pixel_coordinates`, which see.
    """
    origins = {"source_origin": source_origin, "target_origin": target_origin}
    nodes = node_coordinates(mapping, shape, spacing=spacing or 1, **origins)
    for axis, length in ((1, shape[0]), (2, shape[1])):
        nodes = _interpolate(nodes, axis, length, spacing or 1)
    return _without_folds(nodes)


def node_coordinates(
    mapping: Mapping,
    shape: tuple[int, int],
    *,
    spacing: int = 10,
    source_origin: Origin = (0, 0),
    target_origin: Origin = (0, 0),
) -> Coordinates:
    """Find where every tenth pixel or so of a target is in a source.

    Parameters
    ----------
    mapping
        ``mapping(x, y) -> (x, y)`` from the target to the source.
    shape, spacing, source_origin, target_origin
        As for `pixel_coordinates`; the spacing must not be 0.

    Returns
    -------
    Float[np.ndarray, "2 y x"]
        Rows and columns of the source, at the target rows and columns -1,
        ``spacing - 1``, and so on, and at the last ones; NaN where the map folds.
    """
    if min(shape) < 1 or spacing < 1:
        raise ValueError(
            f"shape is {shape} and spacing {spacing}; both must be positive"
        )
    rows, columns = (_nodes(length, spacing) for length in shape)
    x, y = np.meshgrid(columns + target_origin[0], rows + target_origin[1])
    found_x, found_y = (np.asarray(a, float) for a in mapping(x, y))
    nodes = np.stack([found_y - source_origin[1], found_x - source_origin[0]])
    return _without_folds(nodes)


def _nodes(length, spacing):
    """Return every so many pixels from -1 on, and the last one."""
    return np.minimum(np.arange(-1.0, length - 1 + spacing, spacing), length - 1)


def _interpolate(nodes, axis, length, spacing):
    """Interpolate linearly along an axis, to the pixels from -1 on."""
    if spacing == 1:
        return nodes
    known = _nodes(length, spacing)
    pixels = np.arange(-1.0, length)
    block = np.minimum((np.arange(length + 1)) // spacing, len(known) - 2)
    part = (pixels - known[block]) / (known[block + 1] - known[block])
    part = np.expand_dims(part, 2 - axis) if axis == 1 else part
    low, high = (np.take(nodes, block + step, axis) for step in (0, 1))
    # At the nodes this is exact, also beside one that has no position.
    return np.where(part == 0, low, low + part * (high - low))


def _without_folds(coordinates):
    """Take out pixels whose Jacobian is 0, or not of the sign that most have."""
    here = coordinates[:, 1:, 1:]
    left, lower = here - coordinates[:, 1:, :-1], here - coordinates[:, :-1, 1:]
    sign = np.sign(left[1] * lower[0] - left[0] * lower[1])
    usual = 1 if np.nansum(sign) >= 0 else -1
    coordinates[:, 1:, 1:][:, sign == -usual] = np.nan
    coordinates[:, 1:, 1:][:, sign == 0] = np.nan
    return coordinates
