"""Stages of a pixelwise function, each computed once."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import jaxpr_as_fun

Rows = TypeVar("Rows")


def compute_once(function: Callable, *arguments: Any) -> Any:
    """Compute a stage once, whatever reads its results.

    Parameters
    ----------
    function
        ``function(*arguments) -> results``: pytrees of arrays. List first what shares
        most work: rows of the same size are computed in pairs, in this order.
    arguments
        Those of the function. It may also close over arrays.

    Returns
    -------
    Any
        What the function returns.

    Notes
    -----
    XLA's CPU compiler writes one loop for each array and copies into it all that
    leads up to the array: a sorting network, once for each sum that hangs on its
    quantiles. It does not look into a branch, so here the stage is a branch that is
    always taken. Two rows in one complex array share a loop. On other platforms this
    is the function itself.

    Composes with jit, vmap and differentiation.

    Examples
    --------
    >>> compute_once(lambda row: (row.min(), row.max()), jnp.array([3.0, 1.0]))
    (Array(1., dtype=float32), Array(3., dtype=float32))
    """
    if jax.default_backend() != "cpu":
        return function(*arguments)
    # Traced once: to be looked at here, and to be a branch.
    traced, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    run = jaxpr_as_fun(traced)
    leaves, tree = jax.tree.flatten(shapes)

    def never(*_):
        return _pack([jnp.zeros(leaf.shape, leaf.dtype) for leaf in leaves])

    # The compiler must not know that the other branch is never taken.
    always = lax.optimization_barrier(jnp.bool_(True))
    packed = lax.cond(
        always, lambda *a: _pack(run(*a)), never, *jax.tree.leaves(arguments)
    )
    return tree.unflatten(_unpack(packed, leaves))


def in_one_loop(rows: Rows, finish: Callable[[Rows], Rows] = lambda rows: rows) -> Rows:
    """Compute several arrays of one shape in one loop.

    Parameters
    ----------
    rows
        A pytree of arrays of one shape, of any type.
    finish
        ``finish(rows) -> rows``, as many of the same types, element by element. It is
        applied twice at most: to its own results it must change nothing, as a sort.

    Returns
    -------
    pytree
        What `finish` returns.

    Notes
    -----
    A reduction of several arrays is the one loop of XLA's CPU compiler that has more
    than one result, and nothing that leads up to it is copied elsewhere. So here
    everything is reduced over an axis along which it is the same, to what comes last.
    This counts on the order in which that compiler reduces, first to last; the tests
    of networks and folds hold it to that. Unlike in `compute_once`, results are not
    packed; with two of them that is faster. On other platforms this is `finish`.

    Composes with jit, vmap and differentiation.

    Examples
    --------
    >>> rows = [jnp.ones(2), jnp.zeros(2)]
    >>> in_one_loop(rows, lambda x: [jnp.minimum(*x), jnp.maximum(*x)])
    [Array([0., 0.], dtype=float32), Array([1., 1.], dtype=float32)]
    """
    if jax.default_backend() != "cpu" or len(jax.tree.leaves(rows)) == 1:
        return finish(rows)
    return _in_one_loop(finish, rows)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _in_one_loop(finish, rows):
    # XLA would see through a reduction over an axis of length 1.
    twice = jax.tree.map(lambda row: jnp.broadcast_to(row, (2, *row.shape)), rows)
    starts = jax.tree.map(lambda row: jnp.zeros((), row.dtype), rows)
    return lax.reduce(twice, starts, lambda _, row: finish(row), (0,))


@_in_one_loop.defjvp
def _in_one_loop_jvp(finish, primals, tangents):
    _, moves = jax.jvp(finish, primals, tangents)
    return _in_one_loop(finish, *primals), moves


def _pairs(leaves):
    """Return the positions of leaves that share an array, and those that do not."""
    alike: dict[Any, list[int]] = {}
    for index, leaf in enumerate(leaves):
        # A larger array would go through memory once more to be taken apart.
        kind = _carrier(leaf.dtype) if leaf.ndim <= 1 else None
        kind = kind or index
        alike.setdefault((leaf.shape, kind), []).append(index)
    groups = [g[i : i + 2] for g in alike.values() for i in range(0, len(g), 2)]
    return [g for g in groups if len(g) == 2], [g[0] for g in groups if len(g) == 1]


def _carrier(dtype):
    """Return the float type whose bits can hold values of a type, if there is one."""
    size = 4 if dtype == jnp.bool_ else dtype.itemsize
    return {4: jnp.dtype(jnp.float32), 8: jnp.dtype(jnp.float64)}.get(size)


def _pack(leaves):
    pairs, single = _pairs(leaves)
    rows = [lax.complex(_as_float(leaves[a]), _as_float(leaves[b])) for a, b in pairs]
    return rows, [leaves[index] for index in single]


def _unpack(packed, leaves):
    pairs, single = _pairs(leaves)
    found = dict(zip(single, packed[1], strict=True))
    for (a, b), row in zip(pairs, packed[0], strict=True):
        found[a] = _from_float(lax.real(row), leaves[a].dtype)
        found[b] = _from_float(lax.imag(row), leaves[b].dtype)
    return [found[index] for index in range(len(leaves))]


def _as_float(row):
    if row.dtype == jnp.bool_:
        row = row.astype(jnp.int32)
    if jnp.issubdtype(row.dtype, jnp.floating):
        return row
    carrier = _carrier(row.dtype)
    assert carrier is not None
    return lax.bitcast_convert_type(row, carrier)


def _from_float(row, dtype):
    if dtype == jnp.bool_:
        return lax.bitcast_convert_type(row, jnp.int32) != 0
    if jnp.issubdtype(dtype, jnp.floating):
        return row
    return lax.bitcast_convert_type(row, dtype)
