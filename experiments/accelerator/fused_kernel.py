"""Stack pixels in one kernel of a GPU (Pallas, Mosaic GPU). See README.md."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as gpu
from pixel_graph import Constant, Input, Operation, PixelGraph, Scalar, trace_pixels

import jaxcoadd as jc
from jaxcoadd.coadds import coadd_planes, mask_rules, scale_columns
from jaxcoadd.stacking import Columns, stack_columns
from jaxcoadd.zero_points import stack_factors

TILE = 128
"""Pixels of a block, one a thread: what a group of four warps of threads has."""


def stack_fused(stack: jc.WarpStack, config: jc.CoaddConfig, *, interpret: Any = None):
    """Do what `jaxcoadd.stack_pixels` does, in one kernel.

    Parameters
    ----------
    stack
        At most 64 warps with weights, 32-bit. Their number of pixels is at least
        `TILE`, and a multiple of 4: rows begin every 16 bytes.
    config
        How to coadd.
    interpret
        How to run on a CPU: ``InterpretGPUParams()``.

    Returns
    -------
    dict
        Image, variance, mask, n_image and weight, (y, x).
    """
    factors, _ = stack_factors(stack, config.zero_point)

    def one_tile(columns, factors, weights, present):
        columns = scale_columns(columns, factors)
        own, unit = config.weighting.weigh_pixels(weights, columns.variances)
        pixels = stack_columns(
            columns,
            own,
            unit,
            present,
            statistic=config.statistic,
            rules=mask_rules(config, coadd_planes(stack.planes)),
        )
        names = ("image", "variance", "mask", "n_image", "weight")
        return {name: getattr(pixels, name) for name in names}

    planes = Columns(stack.image, stack.variance, stack.mask)
    columns = jax.tree.map(lambda a: a.reshape(len(a), -1), planes)
    shared = factors, stack.weight, stack.present
    graph = trace_pixels(one_tile, columns, shared)
    rows = run_graph(graph, columns, interpret=interpret)
    return jax.tree.map(lambda a: a.reshape(stack.image.shape[1:]), rows)


def run_graph(graph: PixelGraph, columns: Any, *, interpret: Any = None) -> Any:
    """Run what is written out for every pixel, in one kernel.

    Parameters
    ----------
    graph
        From `trace_pixels`.
    columns
        Arrays (warp, pixel) like those that were traced; at least `TILE` pixels.
    interpret
        How to run it on a CPU: ``InterpretGPUParams()``. For tests.

    Returns
    -------
    pytree
        The outputs, (pixel,).
    """
    leaves = jax.tree.leaves(columns)
    n_pixels = leaves[0].shape[-1]
    wanted = list(dict.fromkeys(graph.outputs))
    shapes = [
        jax.ShapeDtypeStruct((n_pixels,), _stored(graph.nodes[p].dtype)) for p in wanted
    ]
    numbers, where = _pack(graph)

    def body(*refs):
        refs = iter(refs)
        inputs = [next(refs) for _ in leaves]
        packed = [next(refs) for _ in numbers]
        outputs = [next(refs) for _ in wanted]
        tiles = [next(refs) for _ in leaves]
        arrived = next(refs)
        # The last tile overlaps the one before, so that all are whole.
        at = pl.ds(jnp.minimum(lax.axis_index("tile") * TILE, n_pixels - TILE), TILE)
        for source, tile in zip(inputs, tiles, strict=True):
            gpu.copy_gmem_to_smem(source.at[:, at], tile, arrived)
        gpu.barrier_wait(arrived)

        def read(node):
            if isinstance(node, Input):
                return tiles[node.leaf][node.row[0], :]
            kind, place = where[node.place]
            return packed[kind][place]

        found = _emit(graph, wanted, read)
        for ref, row in zip(outputs, found, strict=True):
            ref[at] = row.astype(ref.dtype)

    kernel = gpu.kernel(
        body,
        out_type=shapes,
        grid=(pl.cdiv(n_pixels, TILE),),
        grid_names=("tile",),
        scratch_types=[
            *(gpu.SMEM((len(a), TILE), a.dtype) for a in leaves),
            gpu.Barrier(num_arrivals=len(leaves)),
        ],
        # The other semantics take minutes to lower thousands of operations.
        compiler_params=gpu.CompilerParams(
            lowering_semantics=gpu.LoweringSemantics.Lane
        ),
        **({} if interpret is None else {"interpret": interpret}),
    )
    found = dict(zip(wanted, kernel(*leaves, *numbers), strict=True))
    rows = [found[p].astype(graph.nodes[p].dtype) for p in graph.outputs]
    return graph.tree.unflatten(rows)


def _stored(dtype):
    """Return the type that memory holds: truth values are whole numbers there."""
    return jnp.dtype(jnp.int32) if dtype == jnp.bool_ else jnp.dtype(dtype)


def _pack(graph):
    """Pack the numbers that are needed into one array a type, and say where each is."""
    nodes, scalars = map(graph.nodes.__getitem__, graph.needed()), graph.scalars
    needed = {node.place for node in nodes if isinstance(node, Scalar)}
    kinds: dict[Any, list[int]] = {}
    for place in sorted(needed):
        kinds.setdefault(str(_stored(scalars[place].dtype)), []).append(place)
    where = {
        place: (kind, at)
        for kind, members in enumerate(kinds.values())
        for at, place in enumerate(members)
    }
    numbers = [
        jnp.stack([scalars[place].astype(dtype) for place in members])
        for dtype, members in kinds.items()
    ]
    return numbers, where


def _emit(
    graph: PixelGraph,
    wanted: Sequence[int],
    read: Callable[[Input | Scalar], jax.Array],
) -> list[jax.Array]:
    """Write the operations that lead to the outputs, each once."""
    known: dict[int, jax.Array] = {}
    return [_compute(graph, place, read, known) for place in wanted]


def _compute(graph, root, read, known):
    """Write all that leads to an expression, each operation once."""
    ahead = [root]
    while ahead:
        place = ahead[-1]
        node = graph.nodes[place]
        arguments = node.arguments if isinstance(node, Operation) else ()
        missing = [a for a in arguments if a not in known]
        if place in known or not missing:
            if place not in known:
                rows = [known[a] for a in arguments]
                known[place] = _operate(node, rows) if rows else _leaf(node, read)
            ahead.pop()
        else:
            ahead.extend(missing)
    return known[root]


def _leaf(node, read):
    """Return a row of what is not computed."""
    if isinstance(node, Input):
        return read(node)
    value = node.value if isinstance(node, Constant) else read(node)
    if node.dtype != jnp.bool_:
        return jnp.full((TILE,), value, node.dtype)
    return jnp.full((TILE,), value, jnp.int32) != jnp.zeros((TILE,), jnp.int32)


def _operate(node, rows):
    """Do one operation, in other words where the compiler of kernels lacks it."""
    x, name = rows[0], node.primitive.name
    to_bool, from_bool = node.dtype == jnp.bool_, x.dtype == jnp.bool_
    if name == "floor":
        # Larger numbers are whole.
        whole = x.astype(jnp.int32).astype(x.dtype)
        whole = jnp.where(whole > x, whole - jnp.ones_like(x), whole)
        return jnp.where(jnp.abs(x) < jnp.full_like(x, 1 << 23), whole, x)
    if name == "is_finite":
        return jnp.abs(x) < jnp.full_like(x, jnp.inf)
    if name == "not" and to_bool:
        return _number(x, jnp.int32) == jnp.zeros(x.shape, jnp.int32)
    if name == "convert_element_type" and to_bool:
        return x != jnp.zeros_like(x)
    if name == "convert_element_type" and from_bool:
        return _number(x, node.dtype)
    return node.primitive.bind(*rows, **dict(node.params))


def _number(x, dtype):
    return jnp.where(x, jnp.ones(x.shape, dtype), jnp.zeros(x.shape, dtype))
