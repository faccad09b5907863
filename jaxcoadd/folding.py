"""Fold a function over the warps, in order."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Shaped

from jaxcoadd.stages import compute_once, in_one_loop

UNROLLED = 64
"""Up to this number of warps a fold is written out."""

CHUNK = 16
"""Above it, so many warps at a time are."""

Carry = TypeVar("Carry")
Terms = TypeVar("Terms")


def fold_warps(
    step: Callable[..., Carry], start: Carry, *arrays: Shaped[Array, "warp ..."]
) -> Carry:
    """Fold a function over the leading axis of some arrays, first warp first.

    Parameters
    ----------
    step
        ``step(carry, *rows) -> carry``, given one row of each array at a time.
    start
        The carry before the first warp, of the type that `step` returns: arrays of one
        shape.
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

    def step_chunk(carry, first):
        # Row by row: a slice of several rows would be copied.
        for at in (first + jnp.int32(row) for row in range(CHUNK)):
            rows = (lax.dynamic_index_in_dim(a, at, keepdims=False) for a in arrays)
            carry = step(carry, *rows)
        return in_one_loop(carry), None

    firsts = jnp.arange(0, whole, CHUNK, dtype=jnp.int32)
    carry = lax.scan(step_chunk, start, firsts)[0]
    return _fold_rows(step, carry, tuple(a[whole:] for a in arrays))


def sum_warps(
    term: Callable[..., Terms], shared: Any, *arrays: Shaped[Array, "warp ..."]
) -> Terms:
    """Sum terms over the warps, in order.

    Parameters
    ----------
    term
        ``term(shared, *rows) -> terms``, a pytree of arrays of one shape. It must not
        close over arrays. Where an input does not count it should select 0: the
        selection stands between product and sum. Else a compiler may join the two,
        without rounding between them, in one loop and not in another: padding, which
        changes the loops, would change last bits.
    shared
        What the terms of all warps share: a pytree of arrays.
    arrays
        Arrays with one row a warp.

    Notes
    -----
    The reverse pass works on all warps at once: each output has the same cotangent in
    every warp. Row by row, as the transpose of a fold would go, XLA's CPU compiler
    writes a loop for each row.
    """
    return _sum(term, shared, *arrays)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _sum(term, shared, *arrays) -> Any:
    terms = jax.eval_shape(term, shared, *(a[0] for a in arrays))
    start = jax.tree.map(lambda t: jnp.zeros(t.shape, t.dtype), terms)
    return fold_warps(
        lambda sums, *rows: jax.tree.map(jnp.add, sums, term(shared, *rows)),
        start,
        *arrays,
    )


def _sum_forward(term, shared, *arrays):
    return compute_once(partial(_sum, term), shared, *arrays), (shared, arrays)


def _sum_backward(term, saved, cotangents):
    return (
        compute_once(partial(_pull_shared, term), *saved, cotangents),
        *compute_once(partial(_pull_rows, term), *saved, cotangents),
    )


def _pull_rows(term, shared, arrays, cotangents):
    """Pull cotangents of the sums back to the rows of all warps."""
    width = jax.tree.leaves(cotangents)[0].shape[-1]

    def total(*arrays):
        rows = (spread_over_pixels(a, width) for a in arrays)
        return jax.vmap(partial(term, shared))(*rows)

    terms, pull = jax.vjp(total, *arrays)
    return pull(
        jax.tree.map(lambda c, t: jnp.broadcast_to(c, t.shape), cotangents, terms)
    )


def _pull_shared(term, shared, arrays, cotangents):
    """Pull cotangents of the sums back to what the warps share."""

    def pull(*rows):
        return jax.vjp(lambda s: term(s, *rows), shared)[1](cotangents)[0]

    by_shared = jax.vmap(pull)(*arrays)
    return jax.tree.map(
        lambda a: fold_warps(jnp.add, jnp.zeros_like(a[0]), a), by_shared
    )


_sum.defvjp(_sum_forward, _sum_backward)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def spread_over_pixels(
    array: Shaped[Array, "warp _"], width: int
) -> Shaped[Array, "warp pixel"]:
    """Repeat one number a warp for each pixel; leave one a pixel as it is."""
    return jnp.broadcast_to(array, (*array.shape[:-1], width))


def _spread_forward(array, width):
    return spread_over_pixels(array, width), array.shape[-1]


def _spread_backward(width, before, cotangents):
    if before == width:
        return (cotangents,)
    # A product with ones: XLA's CPU compiler sums pixels one after the other.
    ones = jnp.ones(width, cotangents.dtype)
    return (jnp.dot(cotangents, ones, precision="highest")[..., None],)


spread_over_pixels.defvjp(_spread_forward, _spread_backward)


def add_where(
    kept: Bool[Array, "*shape"], total: Shaped[Array, "*shape"], term: ArrayLike
) -> Shaped[Array, "*shape"]:
    """Add a term to a sum where it is kept; see `sum_warps` for how."""
    return total + jnp.where(kept, term, 0)


def _fold_rows(step, carry, arrays):
    # Rows of a split join again in one piece in the reverse pass; indices would each
    # add to the whole.
    rows = zip(*(lax.split(a, (1,) * len(a)) for a in arrays), strict=True)
    for row in rows:
        carry = step(carry, *(lax.squeeze(a, (0,)) for a in row))
    return carry
