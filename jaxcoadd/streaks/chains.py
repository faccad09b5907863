"""Chains of edge pixels, and the straight pieces that they are made of."""

import numpy as np
from jaxtyping import Bool, Int
from scipy import ndimage

Chain = Int[np.ndarray, "pixel 2"]
"""Positions (y, x) of edge pixels, each a neighbour of the one before it."""

# Along rows and columns first: an edge of steps is then one chain.
_NEIGHBOURS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
_EIGHT = np.ones((3, 3))


def link_edges(edges: Bool[np.ndarray, "y x"], *, minimum_size: int) -> list[Chain]:
    """Link edge pixels to chains.

    Parameters
    ----------
    edges
        Edges, one pixel wide.
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
    Fernandes and Oliveira (2008), Pattern Recognition 41, 299, appendix A.
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
        ahead = _follow(first, free)
        before = _next(first, free)
        chain = ahead if before is None else _follow(before, free)[::-1] + ahead
        if len(chain) >= minimum_size:
            chains.append(np.array(chain))
    return chains


def _next(pixel: tuple[int, int], free: dict) -> tuple[int, int] | None:
    """Return the first neighbour that is free."""
    y, x = pixel
    for dy, dx in _NEIGHBOURS:
        if (y + dy, x + dx) in free:
            return y + dy, x + dx
    return None


def _follow(pixel: tuple[int, int], free: dict) -> list[tuple[int, int]]:
    """Take pixels one after the other until there is no free neighbour."""
    chain = []
    following: tuple[int, int] | None = pixel
    while following is not None:
        chain.append(following)
        del free[following]
        following = _next(following, free)
    return chain


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
