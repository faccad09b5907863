"""Transmission curves of coadds: the means of those of the inputs."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxcoadd.inputs.fields import (
    check_covered,
    flat_positions,
    place_on_inputs,
    weighted_mean,
)
from jaxcoadd.inputs.records import DetectorInput, Throughput


@dataclasses.dataclass(frozen=True, eq=False)
class ThroughputCurve:
    """A transmission curve that is the same at every position.

    Parameters
    ----------
    wavelengths
        In increasing order, in any unit.
    values
        Throughput at each; linear in between, and constant beyond the ends.

    Raises
    ------
    ValueError
        Not one value a wavelength, or wavelengths that do not increase.

    Examples
    --------
    >>> curve = ThroughputCurve([400.0, 500.0], [0.2, 0.6])
    >>> curve(np.zeros(1), np.zeros(1), np.array([300.0, 450.0])).round(12)
    array([[0.2, 0.4]])
    """

    wavelengths: Sequence[float] | np.ndarray
    values: Sequence[float] | np.ndarray

    def __post_init__(self):
        """Refuse what is no curve, and keep copies that nobody can change."""
        wavelengths = np.array(self.wavelengths, float)
        values = np.array(self.values, float)
        if wavelengths.ndim != 1 or wavelengths.shape != values.shape:
            raise ValueError(
                f"a curve needs a value a wavelength; found {wavelengths.shape} "
                f"wavelengths and {values.shape} values"
            )
        if not len(wavelengths) or not np.all(np.diff(wavelengths) > 0):
            raise ValueError("the wavelengths of a curve must increase, from 1 or more")
        for name, array in (("wavelengths", wavelengths), ("values", values)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def wavelength_bounds(self) -> tuple[float, float]:
        """First and last wavelength."""
        return float(self.wavelengths[0]), float(self.wavelengths[-1])

    @property
    def at_bounds(self) -> tuple[float, float]:
        """First and last value."""
        return float(self.values[0]), float(self.values[-1])

    def __call__(self, x: np.ndarray, y: np.ndarray, wavelengths: np.ndarray) -> Any:
        """Return the throughput, (position, wavelength)."""
        curve = np.interp(wavelengths, self.wavelengths, self.values)
        return np.broadcast_to(curve, (len(x), len(curve)))


def coadd_throughput(
    inputs: Sequence[DetectorInput],
    coadd_wcs: Any,
    x: Any,
    y: Any,
    wavelengths: Any,
) -> Float[np.ndarray, "*shape wavelength"]:
    """Average the transmission curves of a coadd's inputs at positions.

    Parameters
    ----------
    inputs
        Detectors, each with its throughput, WCS, box, polygon and weight.
    coadd_wcs
        From the pixels of the coadd to the sky.
    x, y
        Positions in the coadd, which are broadcast.
    wavelengths
        In the unit of the curves.

    Returns
    -------
    Array
        The mean by weight over the inputs that cover a position. At and beyond the
        shortest and the longest wavelength of all curves, the mean over all inputs of
        their throughput there, at every position.

    Raises
    ------
    NotCoveredError
        A position that no input covers, or where weights sum to exactly 0.
    ValueError
        An input without a curve.

    Notes
    -----
    LSST's transmission curve of coadds.
    """
    curves = [_curve(row) for row in inputs]
    (x, y), shape = flat_positions(x, y)
    wavelengths = np.atleast_1d(np.asarray(wavelengths, float))
    inside = np.zeros((len(inputs), len(x)), bool)
    values = np.zeros((len(inputs), len(x), len(wavelengths)))
    places = place_on_inputs(inputs, coadd_wcs, x, y)
    for k, (row, curve) in enumerate(zip(inputs, curves, strict=True)):
        on_x, on_y = places[k]
        inside[k] = row.contains(on_x, on_y)
        at = inside[k]
        values[k, at] = curve(on_x[at], on_y[at], wavelengths)
    weights = [row.weight for row in inputs]
    mean, found = weighted_mean(
        weights, np.broadcast_to(inside[..., None], values.shape), values
    )
    check_covered(np.all(found, axis=-1), x, y)
    mean = _set_beyond_bounds(mean, curves, weights, wavelengths)
    return mean.reshape(*shape, len(wavelengths))


def _curve(row: DetectorInput) -> Throughput:
    if row.throughput is None:
        raise ValueError(
            f"the detector with id {row.id} has no transmission curve; all inputs "
            "need one"
        )
    return row.throughput


def _set_beyond_bounds(
    mean: np.ndarray,
    curves: Sequence[Throughput],
    weights: Sequence[float],
    wavelengths: np.ndarray,
) -> np.ndarray:
    """Set the throughput at and beyond the bounds of all curves."""
    if not curves:
        return mean
    low, high = np.array([curve.wavelength_bounds for curve in curves]).T
    at_bounds = np.array([curve.at_bounds for curve in curves])
    ends, _ = weighted_mean(weights, np.ones(at_bounds.shape, bool), at_bounds)
    mean = np.where(wavelengths <= low.min(), ends[0], mean)
    return np.where(wavelengths >= high.max(), ends[1], mean)
