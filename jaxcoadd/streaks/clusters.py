"""Lines that are near each other, taken as one streak."""

import numpy as np
from jaxtyping import Float

from jaxcoadd.streaks.hough import Lines

# More than enough for points that are few.
_MOST_ROUNDS = 300


def cluster_lines(lines: Lines, *, rho_bin: float, theta_bin: float) -> Lines:
    """Return the mean of each cluster of lines.

    Parameters
    ----------
    lines
        Distances and angles of lines, those with most votes first.
    rho_bin, theta_bin
        Largest standard deviation of a cluster, in pixels and degrees.

    Returns
    -------
    Array
        One line a cluster: the fewest clusters of k-means that are all small enough.

    Notes
    -----
    k-means begins with the first line, and then with the line farthest from those
    taken before, so that the result is the same each time.
    """
    if not len(lines):
        return lines
    points = lines / np.array([rho_bin, theta_bin])
    for number in range(1, len(lines) + 1):
        which = _k_means(points, number)
        groups = [lines[which == group] for group in range(number)]
        scatter = [points[which == group].std(axis=0) for group in range(number)]
        if np.all(np.array(scatter) <= 1):
            break
    return np.array([group.mean(axis=0) for group in groups])


def _k_means(points: Float[np.ndarray, "line 2"], number: int) -> np.ndarray:
    """Return the cluster of each point; no cluster is empty."""
    centres = points[:1]
    while len(centres) < number:
        distance = _squares(points, centres).min(axis=1)
        centres = np.concatenate([centres, points[[np.argmax(distance)]]])
    which = np.argmin(_squares(points, centres), axis=1)
    for _ in range(_MOST_ROUNDS):
        centres = np.array([points[which == i].mean(axis=0) for i in range(number)])
        nearest = np.argmin(_squares(points, centres), axis=1)
        # A cluster that would lose all of its points ends the search.
        if np.array_equal(nearest, which) or len(np.unique(nearest)) < number:
            break
        which = nearest
    return which


def _squares(points, centres) -> np.ndarray:
    return np.sum((points[:, None] - centres[None]) ** 2, axis=-1)
