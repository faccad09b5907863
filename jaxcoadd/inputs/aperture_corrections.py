"""Aperture corrections of coadds: the means of those of the inputs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxcoadd.inputs.fields import (
    check_covered,
    combine_placed,
    flat_positions,
    place_on_inputs,
)
from jaxcoadd.inputs.records import DetectorInput


def correction_names(inputs: Sequence[DetectorInput]) -> tuple[str, ...]:
    """Return the names of the corrections of all inputs, in alphabetical order."""
    return tuple(sorted({name for row in inputs for name in _corrections(row)}))


def _corrections(row: DetectorInput):
    return {} if row.aperture_corrections is None else row.aperture_corrections


def coadd_aperture_corrections(
    inputs: Sequence[DetectorInput],
    coadd_wcs: Any,
    x: Any,
    y: Any,
    *,
    default: float | None = None,
) -> dict[str, Float[np.ndarray, "*shape"]]:
    """Average the aperture corrections of a coadd's inputs at positions.

    Parameters
    ----------
    inputs
        Detectors with their corrections, WCS, polygon and weight. Those that lack a
        name do not count for it.
    coadd_wcs
        From the pixels of the coadd to the sky.
    x, y
        Positions in the coadd, which are broadcast.
    default
        Value where no input counts, or where their weights sum to exactly 0.

    Returns
    -------
    dict
        For each name that any input has, the mean by weight at each position.

    Raises
    ------
    NotCoveredError
        A position without an input for some name, and no default.

    Notes
    -----
    LSST's makeCoaddApCorrMap. Errors, with names that end in ``Err``, are averaged as
    the values are, as if they were fully correlated.
    """
    (x, y), shape = flat_positions(x, y)
    places = dict(enumerate(place_on_inputs(inputs, coadd_wcs, x, y)))
    result = {}
    for name in correction_names(inputs):
        having = [k for k, row in enumerate(inputs) if name in _corrections(row)]
        rows = [inputs[k] for k in having]
        fields = [_corrections(row)[name] for row in rows]
        values, found = combine_placed(
            rows, fields, [places[k] for k in having], n_positions=len(x)
        )
        if default is None:
            check_covered(found, x, y)
        else:
            values = np.where(found, values, default)
        result[name] = values.reshape(shape)
    return result


def cell_aperture_correction(
    values: Float[np.ndarray, "input *shape"],
    errors: Float[np.ndarray, "input *shape"],
    weights: Float[np.ndarray, "input *shape"],
    *,
    average_inverse: bool = False,
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """Average the aperture corrections of a cell's inputs, with independent errors.

    Parameters
    ----------
    values, errors
        The corrections of the inputs at the centre of the cell, and their errors.
    weights
        Weights of the inputs.
    average_inverse
        Whether to average fluxes, of which the corrections are the inverse, in place
        of the corrections.

    Returns
    -------
    tuple of array
        The correction of the cell and its error.

    Raises
    ------
    ValueError
        Arrays that differ in shape, or weights that sum to 0.

    Examples
    --------
    >>> one = np.ones(2)
    >>> cell_aperture_correction(np.array([1.0, 3.0]), 0.5 * one, one)
    (np.float64(2.0), np.float64(0.3535533905932738))
    """
    values, errors, weights = (
        np.asarray(given, float) for given in (values, errors, weights)
    )
    if not values.shape == errors.shape == weights.shape:
        raise ValueError(
            "values, errors and weights must have one shape, not "
            f"{values.shape}, {errors.shape} and {weights.shape}"
        )
    total = weights.sum(axis=0)
    if np.any(total == 0):
        raise ValueError(
            "the weights of a cell's inputs sum to 0; leave out cells without inputs"
        )
    if not average_inverse:
        error = np.sqrt(np.sum((weights * errors) ** 2, axis=0)) / total
        return np.sum(weights * values, axis=0) / total, error
    mean = total / np.sum(weights / values, axis=0)
    scatter = np.sqrt(np.sum((weights * errors) ** 2 / values**4, axis=0))
    return mean, mean**2 * scatter / total
