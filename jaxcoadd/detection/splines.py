"""Curves through a few points, and straight on beyond the ends."""

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

Pieces = Float[np.ndarray, "4 piece curve"]
"""Coefficients of 1, u, u², u³ a piece; u counts from the knot that it begins at.

The first piece lies before the first knot and counts from there, too.
"""


def curve_through(
    knots: Float[np.ndarray, " knot"], values: Float[np.ndarray, "knot curve"]
) -> Pieces:
    """Return the pieces of the smoothest curve that so many points allow.

    Parameters
    ----------
    knots
        Increasing positions, at least one.
    values
        Values there, one curve a column.

    Returns
    -------
    array
        A constant for one point, a line for two, a natural cubic spline for three or
        four, and Akima's (1970) curve for five and more; straight lines with the
        slopes of the ends beyond them.

    Notes
    -----
    LSST: ``afw.math.Interpolate`` with AKIMA_SPLINE and REDUCE_INTERP_ORDER.
    """
    if len(knots) == 1:
        inner = np.zeros((4, 0, values.shape[1]))
        slopes = np.zeros((2, values.shape[1]))
    elif len(knots) == 2:
        inner = np.zeros((4, 1, values.shape[1]))
        inner[0] = values[:1]
        inner[1] = np.diff(values, axis=0) / np.diff(knots)[:, None]
        slopes = inner[1, [0, 0]]
    else:
        inner = _natural(knots, values) if len(knots) < 5 else _akima(knots, values)
        slopes = np.stack([inner[1, 0], _last_slope(inner[:, -1], knots)])
    pieces = np.zeros((4, len(knots) + 1, values.shape[1]))
    pieces[:, 1:-1] = inner
    pieces[:2, 0] = values[0], slopes[0]
    pieces[:2, -1] = values[-1], slopes[1]
    return pieces


def locate(
    knots: Float[np.ndarray, " knot"], positions: Float[np.ndarray, " position"]
) -> tuple[np.ndarray, Float[np.ndarray, " position"]]:
    """Return the piece that each position is in, and how far into it."""
    piece = np.searchsorted(knots, positions, side="right")
    return piece, positions - knots[np.maximum(piece - 1, 0)]


def evaluate_curves(
    pieces: Pieces, knots: Float[np.ndarray, " knot"], positions: np.ndarray
) -> Float[np.ndarray, "position curve"]:
    """Return the values of all curves at some positions."""
    piece, u = locate(knots, positions)
    a, b, c, d = pieces[:, piece]
    u = u[:, None]
    return a + u * (b + u * (c + u * d))


def _natural(knots, values):
    return CubicSpline(knots, values, bc_type="natural").c[::-1]


def _last_slope(piece, knots):
    u = knots[-1] - knots[-2]
    return piece[1] + u * (2 * piece[2] + 3 * u * piece[3])


def _akima(knots, values):
    """Return Akima's pieces; a corner between straight lines stays a corner."""
    step = np.diff(knots)[:, None]
    slope = np.diff(values, axis=0) / step
    first, last = slope[0], slope[-1]
    before = 2 * first - slope[1]
    after = 2 * last - slope[-2]
    slope = np.concatenate(
        [[2 * before - first], [before], slope, [after], [2 * after - last]]
    )
    change = np.abs(np.diff(slope, axis=0))
    total = change[2:] + change[:-2]
    corner = total == 0
    part = change[:-2] / np.where(corner, 1, total)
    tangent = (1 - part) * slope[1:-2] + part * slope[2:-1]
    inner = slope[2:-2]
    # Where the slope changes neither before nor after a knot, it jumps there: each
    # side keeps its own.
    begin = np.where(corner[:-1], inner, tangent[:-1])
    end = np.where(corner[1:], inner, tangent[1:])
    square = (3 * inner - 2 * begin - end) / step
    cube = (begin + end - 2 * inner) / step**2
    return np.stack([values[:-1], begin, square, cube])
