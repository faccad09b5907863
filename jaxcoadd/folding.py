"""Fold a function over the warps, in order."""

from collections.abc import Callable
from typing import TypeVar

import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Shaped

UNROLLED = 48
CHUNK = 32

Carry = TypeVar("Carry")


def fold_warps(
    step: Callable[..., Carry], start: Carry, *arrays: Shaped[Array, "warp ..."]
) -> Carry:
    """Fold a function over the leading axis of some arrays, first warp first.

    Parameters
    ----------
    step
        ``step(carry, *rows) -> carry``, given one row of each array at a time.
    start
        The carry before the first warp, of the type that `step` returns.
    arrays
        Arrays with one row a warp.

    Notes
    -----
    Sums have the same order for any number of warps, so rows of zeros behind the
    last warp change no bit. Some versions of XLA compute short reductions over a
    first axis wrongly on a CPU; written out like this they are right.
    """
    n = arrays[0].shape[0]
    if n <= UNROLLED:
        return _fold_rows(step, start, arrays)
    whole = n - n % CHUNK
    chunks = tuple(a[:whole].reshape(-1, CHUNK, *a.shape[1:]) for a in arrays)

    def step_chunk(carry: Carry, chunk) -> tuple[Carry, None]:
        return _fold_rows(step, carry, chunk), None

    carry: Carry = lax.scan(step_chunk, start, chunks)[0]
    return _fold_rows(step, carry, tuple(a[whole:] for a in arrays))


def add_where(
    kept: Bool[Array, "*shape"], total: Shaped[Array, "*shape"], term: ArrayLike
) -> Shaped[Array, "*shape"]:
    """Add a term to a sum where it is kept.

    The selection stands between product and sum. Else a compiler may join the two,
    without rounding between them, in one loop and not in another: padding, which
    changes the loops, would change last bits.
    """
    return total + jnp.where(kept, term, 0)


def _fold_rows(step, carry, arrays):
    # Rows of a split join again in one piece in the reverse pass; indices would each
    # add to the whole.
    rows = zip(*(lax.split(a, (1,) * len(a)) for a in arrays), strict=True)
    for row in rows:
        carry = step(carry, *(lax.squeeze(a, (0,)) for a in row))
    return carry
