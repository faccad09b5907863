"""Straight lines among chains of edge pixels, by the kernel-based Hough transform."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from jaxcoadd.streaks.chains import Chain
from jaxcoadd.streaks.config import StreakConfig

Lines = Float[np.ndarray, "line 2"]
"""Distance from the centre of the image (pixels) and angle (degrees) of lines."""

Cells = Int[np.ndarray, "cell 2"]
"""Places of votes, in steps of distance and of angle."""

Votes = Float[np.ndarray, " cell"]

# Steps to the neighbours of a cell, and the smoothing of votes before peaks are found.
_STEPS = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])
_SMOOTHING = np.array([1, 2, 1, 2, 4, 2, 1, 2, 1])


def find_lines(
    pieces: Sequence[Chain], shape: tuple[int, int], config: StreakConfig
) -> Lines:
    """Let straight pieces vote for lines, and return the lines with most votes.

    Parameters
    ----------
    pieces
        Positions (y, x) of the pixels of straight pieces of edges.
    shape
        Rows and columns of the image.
    config
        Step and width of the votes, and how high they must be.

    Returns
    -------
    Array
        Lines, most votes first. Angles are from 0 to below 180 degrees.

    Notes
    -----
    Fernandes and Oliveira (2008), Pattern Recognition 41, 299: each piece votes with
    one Gaussian, the distribution of the lines through its pixels if each is uncertain
    by one pixel.
    """
    if not pieces:
        return np.zeros((0, 2))
    means, covariances = map(
        np.array, zip(*(_kernel(piece, shape, config) for piece in pieces), strict=True)
    )
    heights = 1 / (2 * np.pi * np.sqrt(np.linalg.det(covariances)))
    high = heights >= config.abs_minimum_kernel_height
    high &= heights >= config.minimum_kernel_height * heights.max()
    if not high.any():
        return np.zeros((0, 2))
    # A cell is a step of distance and one of angle; the first row is at -reach.
    origin = np.array([-np.hypot(*shape) / 2, 0])
    centres = np.rint((means[high] - origin) / config.delta).astype(np.int64)
    cells, votes = _vote(centres, covariances[high], heights[high], config.delta)
    return _as_lines(_peaks(cells, votes) * config.delta + origin)


def _kernel(
    piece: Chain, shape: tuple[int, int], config: StreakConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of the lines (pixels, degrees) through a piece."""
    position = piece[:, ::-1] - np.array([shape[1] / 2, shape[0] / 2])
    centre = position.mean(axis=0)
    offset = position - centre
    spread, axes = np.linalg.eigh(offset.T @ offset)
    normal = axes[:, 0] if axes[1, 0] >= 0 else -axes[:, 0]
    # Shift and turn of a straight line through points of unit scatter; a turn about
    # the centre of the piece moves the line nearer or farther by the lever.
    lever = normal[0] * centre[1] - normal[1] * centre[0]
    step = np.array([[1, lever], [0, np.rad2deg(1)]])
    variance = np.diag([1 / len(piece), 1 / max(spread[1], 1.0)])
    mean = normal @ centre, np.rad2deg(np.arccos(np.clip(normal[0], -1, 1)))
    return np.array(mean), config.n_sigma**2 * step @ variance @ step.T


def _vote(centres, covariances, heights, delta: float) -> tuple[Cells, Votes]:
    """Add up the votes of all kernels, whole numbers, cell by cell."""
    # The flattest kernel still has one vote at a standard deviation.
    scale = max(np.exp(0.5) / heights.min(), 1.0)
    cells, votes = [], []
    kernels = zip(centres, covariances, scale * heights, strict=True)
    for centre, covariance, height in kernels:
        # Where half a vote is left.
        reach = np.sqrt(2 * np.log(2 * height) * np.diagonal(covariance)) / delta
        n_rho, n_theta = np.ceil(reach).astype(int)
        grid = np.mgrid[-n_rho : n_rho + 1, -n_theta : n_theta + 1]
        steps = grid.reshape(2, -1).T
        offset = steps * delta
        squares = np.sum((offset @ np.linalg.inv(covariance)) * offset, axis=1)
        given = np.floor(height * np.exp(-squares / 2) + 0.5)
        cells.append((centre + steps)[given > 0])
        votes.append(given[given > 0])
    return _add_up(np.concatenate(cells), np.concatenate(votes))


def _add_up(cells: Cells, votes: Votes) -> tuple[Cells, Votes]:
    """Return every cell once, in order, with the sum of its votes."""
    once, which = np.unique(cells, axis=0, return_inverse=True)
    return once, np.bincount(which.ravel(), votes)


def _peaks(cells: Cells, votes: Votes) -> Cells:
    """Return the cells with more votes than those around them, most votes first."""
    around = (cells[:, None] + _STEPS).reshape(-1, 2)
    cells, votes = _add_up(around, (votes[:, None] * _SMOOTHING).ravel())
    order = np.argsort(-votes, kind="stable")
    rank = dict(zip(map(tuple, cells[order].tolist()), range(len(order)), strict=True))
    peaks = [
        (rho, theta)
        for (rho, theta), own in rank.items()
        if all(rank.get((rho + i, theta + j), own) >= own for i, j in _STEPS)
    ]
    return np.array(peaks)


def _as_lines(lines: Lines) -> Lines:
    """Bring angles to 0 to 180 degrees; half a turn changes the sign of ρ."""
    turns = np.floor(lines[:, 1] / 180)
    sign = np.where(turns % 2 == 0, 1, -1)
    return np.stack([sign * lines[:, 0], lines[:, 1] - 180 * turns], axis=-1)
