"""Map a function of pixel columns over tiles that fit into the cache."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, reshard
from jax.sharding import PartitionSpec as P

from jaxcoadd.stages import compute_once

TILES = (128, 256, 512)
"""Pixels that a tile may have on a CPU."""

TILE_VALUES = 30_000
"""Most values of one array in a tile, where that leaves one of `TILES`."""


def default_tile_size(depth: int, n_pixels: int) -> int:
    """Return the pixels of a tile: a few hundred on a CPU, else all of them.

    A CPU tile of this depth, several arrays, must stay in the caches of one core; an
    accelerator wants one large launch. The platform is known when a function is traced.
    """
    if jax.default_backend() != "cpu":
        return max(n_pixels, 1)
    return max(
        size for size in TILES if size == TILES[0] or size * depth <= TILE_VALUES
    )


def over_tiles(
    function: Callable,
    *,
    again: Callable | None = None,
    tile_size: int | None = None,
) -> Callable:
    """Make a function of pixel columns one of whole images.

    Parameters
    ----------
    function
        ``function(columns, *shared) -> outputs``: pytrees of arrays whose last axis
        is a run of pixels. Each pixel of the output depends on that pixel of the
        columns and on `shared`, and on nothing else.
    again
        ``again(outputs, columns, *shared) -> outputs``: the same outputs, given what
        they are; what it takes from there has no derivative. The reverse pass
        differentiates this, which may be less work. None: it differentiates the
        function.
    tile_size
        Pixels of a tile; see `default_tile_size`.

    Returns
    -------
    Callable
        The same function for arrays whose last two axes are (y, x). All tiles have
        one size; another one changes no bit where the function keeps products
        and sums apart, see `add_where`.

    Notes
    -----
    Composes with jit, vmap and reverse-mode differentiation. The reverse pass goes
    through the tiles once more and keeps nothing of a tile but its outputs.

    Examples
    --------
    >>> def brightest(columns):
    ...     return columns.max(axis=0)
    >>> over_tiles(brightest, tile_size=4)(jnp.ones((5, 2, 3))).shape
    (2, 3)
    """

    def from_nothing(_, columns, *shared):
        return function(columns, *shared)

    def mapped(columns, *shared):
        leaves = jax.tree.leaves(columns)
        rows, width = leaves[0].shape[-2:]
        depth = max(a.size for a in leaves) // max(rows * width, 1)
        size = tile_size or default_tile_size(depth, rows * width)
        flat = jax.tree.map(lambda a: _flatten(a, size), columns)
        outputs = _over_flat_tiles(function, again or from_nothing, size, flat, shared)
        return jax.tree.map(
            lambda a: a[..., : rows * width].reshape(*a.shape[:-1], rows, width),
            outputs,
        )

    return on_own_rows(mapped)


def on_own_rows(function: Callable) -> Callable:
    """Let every device apply a function to the rows that it holds.

    Parameters
    ----------
    function
        ``function(images, *shared) -> images``: pytrees of arrays whose last two axes
        are (y, x). Each row of the output depends on that row of the images and on
        `shared`, and on nothing else.

    Returns
    -------
    Callable
        The same function. Where no image is spread over devices by `shard_pixels`,
        nothing is different; where one is, the others are spread like it.
    """

    def mapped(images, *shared):
        spread = _spread_alike(images)
        if spread is None:
            return function(images, *shared)
        images, mesh, devices = spread
        specs = jax.tree.map(lambda a: jax.typeof(a).sharding.spec, images)
        return jax.shard_map(
            function,
            mesh=mesh,
            in_specs=(specs, *(P() for _ in shared)),
            out_specs=P(devices),
            check_vma=False,
        )(images, *shared)

    return mapped


def _spread_alike(images):
    """Spread the rows of all images as those of one are; None if none are spread.

    Sums that begin as zeros, for instance, are in one place.
    """
    shardings = [jax.typeof(a).sharding for a in jax.tree.leaves(images)]
    rows = [s for s in shardings if len(s.spec) > 1 and s.spec[-2] is not None]
    if not rows:
        return None
    mesh, devices = rows[0].mesh, rows[0].spec[-2]

    def spread(a):
        spec = P(*(None,) * (a.ndim - 2), devices, None)
        return reshard(a, NamedSharding(mesh, spec))

    return jax.tree.map(spread, images), mesh, devices


def _flatten(array, size):
    """Join (y, x) to one axis of pixels, at least one tile long."""
    flat = array.reshape(*array.shape[:-2], -1)
    missing = max(size - flat.shape[-1], 0)
    return jnp.pad(flat, [(0, 0)] * (flat.ndim - 1) + [(0, missing)])


def _starts(n_pixels, size):
    """Return where tiles start; the last one overlaps, so that all are whole."""
    n_tiles = -(-n_pixels // size)
    starts = np.minimum(np.arange(n_tiles) * size, n_pixels - size)
    return jnp.asarray(starts, jnp.int32)


def _slice(tree, start, size):
    tile = jax.tree.map(
        lambda a: lax.dynamic_slice_in_dim(a, start, size, axis=-1), tree
    )
    # Without this, XLA reads the big arrays anew for every use of a value.
    return lax.optimization_barrier(tile)


def _update(tree, tile, start):
    return jax.tree.map(
        lambda a, part: lax.dynamic_update_slice_in_dim(a, part, start, axis=-1),
        tree,
        tile,
    )


def _over_flat_tiles(
    function: Callable, again: Callable, size: int, flat: Any, shared: tuple
) -> Any:
    """Apply `function` tile by tile, with a reverse pass that does so with `again`."""

    @jax.custom_vjp
    def run(flat, shared):
        n_pixels = jax.tree.leaves(flat)[0].shape[-1]
        shapes = jax.eval_shape(
            lambda flat: function(_slice(flat, 0, size), *shared), flat
        )
        outputs = jax.tree.map(
            lambda s: lax.empty((*s.shape[:-1], n_pixels), s.dtype), shapes
        )

        def step(outputs, start):
            result = function(_slice(flat, start, size), *shared)
            return _update(outputs, result, start), None

        return lax.scan(step, outputs, _starts(n_pixels, size))[0]

    def forward(flat, shared):
        outputs = run(flat, shared)
        return outputs, (outputs, flat, shared)

    def backward(saved, cotangents):
        return _transpose_tiles(again, size, saved, cotangents)

    run.defvjp(forward, backward)
    return run(flat, shared)


def _is_real(a):
    return jnp.issubdtype(jnp.result_type(a), jnp.floating)


def _transpose_tiles(function, size, saved, cotangents):
    """Pull cotangents of the outputs back to the columns and the shared values."""
    outputs, flat, shared = saved
    flat_leaves, flat_tree = jax.tree.flatten(flat)
    shared_leaves, shared_tree = jax.tree.flatten(shared)
    real_flat = [a for a in flat_leaves if _is_real(a)]
    real_shared = [a for a in shared_leaves if _is_real(a)]
    n_pixels = flat_leaves[0].shape[-1]

    def merge(leaves, tree, real):
        rest = iter(real)
        return tree.unflatten([next(rest) if _is_real(a) else a for a in leaves])

    def step(sums, tile_range):
        start, first = tile_range
        fresh = start + jnp.arange(size, dtype=jnp.int32) >= first
        given = jax.tree.map(lambda c: _cotangent_tile(c, start, fresh), cotangents)
        matters = _matters(given, size)
        found = _slice_some(outputs, start, matters)
        tile = _slice_some(flat_leaves, start, matters)
        real_tile = [a for a in tile if _is_real(a)]
        _, pull = jax.vjp(
            lambda t, s: function(
                found, merge(tile, flat_tree, t), *merge(shared_leaves, shared_tree, s)
            ),
            real_tile,
            real_shared,
        )
        by_tile, by_shared = pull(given)
        by_tile = [jnp.where(matters, a, 0) for a in by_tile]
        by_shared = [jnp.where(matters.any(), a, 0) for a in by_shared]
        by_flat = _update(sums[0], by_tile, start)
        return (by_flat, jax.tree.map(jnp.add, sums[1], by_shared)), None

    zeros = (
        [lax.empty(a.shape, a.dtype) for a in real_flat],
        [jnp.zeros_like(jnp.asarray(a)) for a in real_shared],
    )
    starts = _starts(n_pixels, size)
    firsts = size * jnp.arange(len(starts), dtype=jnp.int32)
    # The last tile overlaps the one before. It comes first and counts what is its own;
    # the one before then writes over the rest.
    order = (jnp.roll(starts, 1), jnp.roll(firsts, 1))
    (by_flat, by_shared), _ = lax.scan(step, zeros, order)
    return (
        _with_float0(flat_leaves, flat_tree, by_flat),
        _with_float0(shared_leaves, shared_tree, by_shared),
    )


def _cotangent_tile(cotangent, start, fresh):
    """Cut the cotangent of one output for a tile; integers have none."""
    size = fresh.shape[0]
    if cotangent.dtype == jax.dtypes.float0:
        return np.zeros((*cotangent.shape[:-1], size), cotangent.dtype)
    tile = lax.dynamic_slice_in_dim(cotangent, start, size, axis=-1)
    return jnp.where(fresh, tile, 0)


def _matters(given, size):
    """Tell which pixels of a tile have a cotangent that is not 0."""
    found = jnp.zeros(size, bool)
    for cotangent in jax.tree.leaves(given):
        if cotangent.dtype != jax.dtypes.float0:
            found = found | (cotangent != 0).reshape(-1, size).any(axis=0)
    return found


def _slice_some(tree, start, matters):
    """Cut a tile, and put one pixel that matters in the place of all that do not.

    Else a pixel without data, whose slope is 0 times infinity, would make the slope
    of everything that the pixels share NaN. So do the pixels that fill a tile up.
    """
    at = start + jnp.argmax(matters).astype(jnp.int32)

    def cut(tree, start, at):
        return _slice(tree, start, len(matters)), _slice(tree, at, 1)

    tile, donor = compute_once(cut, tree, start, at)
    return jax.tree.map(lambda a, one: jnp.where(matters, a, one), tile, donor)


def _with_float0(leaves, tree, real):
    """Put the cotangents of the real leaves among the empty ones of the others."""
    rest = iter(real)
    return tree.unflatten(
        [
            next(rest)
            if _is_real(a)
            else np.zeros(jnp.shape(a), dtype=jax.dtypes.float0)
            for a in leaves
        ]
    )
