"""Curves through a few points, and on beyond the ends."""

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
        four, and Akima's (1970) curve for five and more; beyond the ends, parabolas
        with the slope and the curvature that the curve has there.

    Notes
    -----
    LSST: ``afw.math.Interpolate`` with AKIMA_SPLINE and REDUCE_INTERP_ORDER.
    """
    inner = np.zeros((4, max(len(knots) - 1, 1), values.shape[1]))
    if len(knots) == 1:
        inner[0] = values
    elif len(knots) == 2:
        inner[0] = values[:1]
        inner[1] = np.diff(values, axis=0) / np.diff(knots)[:, None]
    else:
        inner = _natural(knots, values) if len(knots) < 5 else _akima(knots, values)
    first, last = inner[:, :1].copy(), _at_the_end(inner[:, -1:], knots)
    first[3] = 0
    between = inner if len(knots) > 1 else inner[:, :0]
    return np.concatenate([first, between, last], axis=1)


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


def _at_the_end(piece, knots):
    """Return value, slope and curvature where the last piece ends."""
    u = knots[-1] - knots[-2] if len(knots) > 1 else 0.0
    a, b, c, d = piece
    ends = a + u * (b + u * (c + u * d)), b + u * (2 * c + 3 * u * d), c + 3 * u * d
    return np.stack([*ends, np.zeros_like(a)])


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
