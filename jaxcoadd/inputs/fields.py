"""Means of what the inputs of a coadd have at a position, by weight."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from jaxcoadd.inputs.records import DetectorInput, PixelField
from jaxcoadd.sky import pixel_mapping

Positions = Float[np.ndarray, "position"]
Place = tuple[Positions, Positions]
"""Positions (x, y) on one detector."""


class NotCoveredError(ValueError):
    """A position of a coadd that no input covers."""


def flat_positions(x: Any, y: Any) -> tuple[Place, tuple[int, ...]]:
    """Return positions as two flat arrays, and the shape that they had together."""
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    return (x.ravel(), y.ravel()), x.shape


def place_on_inputs(
    inputs: Sequence[DetectorInput], coadd_wcs: Any, x: Positions, y: Positions
) -> tuple[Place, ...]:
    """Return where positions of the coadd are on each detector.

    Parameters
    ----------
    inputs
        Detectors, each with its WCS.
    coadd_wcs
        From the pixels of the coadd to the sky.
    x, y
        Positions in the coadd.

    Returns
    -------
    tuple
        A pair (x, y) of arrays a detector; NaN where a position has no image there.

    Raises
    ------
    ValueError
        A detector has no WCS.
    """
    without = [row.id for row in inputs if row.wcs is None]
    if without:
        raise ValueError(f"the detector with id {without[0]} has no WCS; give it one")
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    places = []
    for row in inputs:
        found = pixel_mapping(row.wcs, coadd_wcs)(x.ravel(), y.ravel())
        on_x, on_y = (np.asarray(axis, float).reshape(x.shape) for axis in found)
        places.append((on_x, on_y))
    return tuple(places)


def weighted_mean(
    weights: Sequence[float] | np.ndarray,
    inside: Bool[np.ndarray, "input *shape"],
    values: Float[np.ndarray, "input *shape"],
) -> tuple[Float[np.ndarray, "*shape"], Bool[np.ndarray, "*shape"]]:
    """Return the mean of the values that count, and where there is one.

    Parameters
    ----------
    weights
        One an input, of any sign and scale.
    inside
        Whether an input counts.
    values
        What the inputs have; it does not matter where they do not count.

    Returns
    -------
    tuple of array
        The mean, and whether the weights that count sum to anything but exactly 0;
        elsewhere the mean is NaN.
    """
    column = np.asarray(weights, float).reshape(-1, *[1] * (inside.ndim - 1))
    weight = np.where(inside, column, 0.0)
    total = np.sum(weight * np.where(inside, values, 0.0), axis=0)
    sum_of_weights = np.sum(weight, axis=0)
    found = sum_of_weights != 0
    return np.where(found, total / np.where(found, sum_of_weights, 1), np.nan), found


def check_covered(found: np.ndarray, x: Positions, y: Positions) -> None:
    """Refuse the first position that no input covers.

    Raises
    ------
    NotCoveredError
        There is such a position.
    """
    if not found.all():
        first = int(np.argmin(found))
        raise NotCoveredError(
            f"no input covers the coadd position ({x[first]:.2f}, {y[first]:.2f}), or "
            "their weights sum to 0; leave it out or give a default value"
        )


def combine_fields(
    inputs: Sequence[DetectorInput],
    fields: Sequence[PixelField],
    coadd_wcs: Any,
    x: Any,
    y: Any,
    *,
    default: float | None = None,
) -> Float[np.ndarray, "*shape"]:
    """Average fields of detectors at positions of the coadd.

    Parameters
    ----------
    inputs
        Detectors, whose WCS, polygon and weight count.
    fields
        One for each detector, in its pixels.
    coadd_wcs
        From the pixels of the coadd to the sky.
    x, y
        Positions in the coadd, which are broadcast.
    default
        Value where no input counts, or where their weights sum to exactly 0.

    Returns
    -------
    Array
        The mean by weight over the inputs whose field has the position on the pixels
        of its own box, and whose polygon, if any, has it strictly inside.

    Raises
    ------
    NotCoveredError
        A position without an input, and no default.

    Notes
    -----
    LSST's CoaddBoundedField. The box of the field counts, not that of the detector.
    """
    (x, y), shape = flat_positions(x, y)
    places = place_on_inputs(inputs, coadd_wcs, x, y)
    values, found = combine_placed(inputs, fields, places, n_positions=len(x))
    if default is None:
        check_covered(found, x, y)
    return np.where(found, values, np.nan if default is None else default).reshape(
        shape
    )


def combine_placed(
    inputs: Sequence[DetectorInput],
    fields: Sequence[PixelField],
    places: Sequence[Place],
    *,
    n_positions: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Average fields where `place_on_inputs` has placed the positions already.

    Returns the means and where there is one.
    """
    inside = np.zeros((len(inputs), n_positions), bool)
    values = np.zeros((len(inputs), n_positions))
    rows = zip(inputs, fields, places, strict=True)
    for k, (row, field, (on_x, on_y)) in enumerate(rows):
        inside[k] = row.contains(on_x, on_y, box=field.box)
        values[k, inside[k]] = field(on_x[inside[k]], on_y[inside[k]])
    return weighted_mean([row.weight for row in inputs], inside, values)
