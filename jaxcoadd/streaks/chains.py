"""Chains of edge pixels, and the straight pieces that they are made of."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int
from scipy import ndimage

Chain = Int[np.ndarray, "pixel 2"]
"""Positions (y, x) of edge pixels, each a neighbour of the one before it."""

Pixel = tuple[int, int]
Follower = Callable[[Pixel, Pixel, dict[Pixel, None]], Pixel | None]
"""Which free pixel follows on a pixel, for a chain that has a direction."""

# Along rows and columns first.
_NEIGHBOURS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
_EIGHT = np.ones((3, 3))
# The direction of a chain is that of its last pixels.
_MEMORY = 12


def square_step(pixel: Pixel, heading: Pixel, free: dict[Pixel, None]) -> Pixel | None:
    """Return a free neighbour, rather in the same row or column than across."""
    y, x = pixel
    for dy, dx in _NEIGHBOURS:
        if (y + dy, x + dx) in free:
            return y + dy, x + dx
    return None


def straight_step(
    pixel: Pixel, heading: Pixel, free: dict[Pixel, None]
) -> Pixel | None:
    """Return the free neighbour that is most nearly straight ahead, but none behind."""
    if heading == (0, 0):
        return square_step(pixel, heading, free)
    y, x = pixel
    best, best_ahead = None, 0.0
    for dy, dx in _NEIGHBOURS:
        ahead = (dy * heading[0] + dx * heading[1]) / np.hypot(dy, dx)
        if ahead > best_ahead and (y + dy, x + dx) in free:
            best, best_ahead = (y + dy, x + dx), ahead
    return best


def link_edges(
    edges: Bool[np.ndarray, "y x"], follower: Follower, *, minimum_size: int
) -> list[Chain]:
    """Link edge pixels to chains.

    Parameters
    ----------
    edges
        Edges, one pixel wide, or two at their steps.
    follower
        `square_step` or `straight_step`.
    minimum_size
        Chains of fewer pixels are dropped.

    Returns
    -------
    list
        Chains, in the order of their first pixels in the image. Each begins at a pixel
        that no chain has yet, and goes on from neighbour to neighbour in both
        directions.

    Notes
    -----
    Fernandes and Oliveira (2008), Pattern Recognition 41, 299, appendix A. The square
    step is theirs. It turns back where an edge nearly along a row or a column is two
    pixels wide, which the straight step does not; but that turns off where another
    edge crosses.
    """
    labels = np.zeros(edges.shape, np.int32)
    ndimage.label(edges, _EIGHT, output=labels)
    y, x = np.nonzero(edges)
    # Groups that are too small to be a chain are most of an image of stars.
    group = labels[y, x]
    large = np.bincount(group)[group] >= minimum_size if len(group) else group > 0
    free = dict.fromkeys(zip(y[large].tolist(), x[large].tolist(), strict=True))
    chains = []
    for first in list(free):
        if first not in free:
            continue
        ahead = _follow([first], free, follower)
        chain = _follow(ahead[::-1], free, follower) if len(ahead) > 1 else ahead
        if len(chain) >= minimum_size:
            chains.append(np.array(chain))
    return chains


def _follow(
    chain: list[Pixel], free: dict[Pixel, None], follower: Follower
) -> list[Pixel]:
    """Return a chain with what follows on its last pixel, no longer free."""
    chain = list(chain)
    free.pop(chain[-1], None)
    while True:
        (y, x), behind = chain[-1], chain[-_MEMORY:][0]
        following = follower((y, x), (y - behind[0], x - behind[1]), free)
        if following is None:
            return chain
        del free[following]
        chain.append(following)


def straight_pieces(
    chain: Chain, *, minimum_size: int, minimum_deviation: float
) -> list[Chain]:
    """Cut a chain into straight pieces.

    Parameters
    ----------
    chain
        Positions (y, x) in order.
    minimum_size
        No piece has fewer pixels.
    minimum_deviation
        Smaller deviations from a straight line count as this, in pixels.

    Returns
    -------
    list
        The pieces. A chain is cut at the pixel that is farthest from the line through
        its ends, again and again, where that makes a piece that is straighter: one
        that is longer for its deviation.

    Notes
    -----
    Fernandes and Oliveira (2008), after Lowe (1987).
    """
    pieces, ratios, cuts = [chain], [], []
    # Breadth first, as a ragged chain is cut deeper than Python can recurse.
    for piece in pieces:
        ratio, cut = _straightness(piece, minimum_deviation)
        halves = (piece[: cut + 1], piece[cut:])
        divisible = min(map(len, halves)) >= minimum_size
        ratios.append(ratio)
        cuts.append(len(pieces) if divisible else None)
        if divisible:
            pieces += halves
    best: dict[int, tuple[float, list[Chain]]] = {}
    for node in reversed(range(len(pieces))):
        best[node] = ratios[node], [pieces[node]]
        if cuts[node] is not None:
            left, right = best.pop(cuts[node]), best.pop(cuts[node] + 1)
            ratio = max(left[0], right[0])
            if ratio > ratios[node]:
                best[node] = ratio, left[1] + right[1]
    return best[0][1]


def _straightness(piece: Chain, minimum_deviation: float) -> tuple[float, int]:
    """Return length over deviation, and where the deviation is largest."""
    span = (piece[-1] - piece[0]).astype(float)
    offset = piece - piece[0]
    length = float(np.hypot(*span))
    if length > 0:
        deviation = np.abs(offset[:, 0] * span[1] - offset[:, 1] * span[0]) / length
    else:
        deviation = np.hypot(offset[:, 0], offset[:, 1])
    farthest = int(np.argmax(deviation))
    return length / max(float(deviation[farthest]), minimum_deviation), farthest
