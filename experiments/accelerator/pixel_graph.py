"""A function of pixel columns, written out as one expression for each output.

XLA's GPU compiler spreads a long function of many warps over dozens of kernels, each of
which reads and writes the whole stack. Written out for one pixel, it is a single one.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

PIXELS = 1_000_003
"""Number of pixels while a function is traced: no other axis has this length."""

ELEMENTWISE = frozenset(
    "abs add and convert_element_type div eq exp floor ge gt integer_pow is_finite le "
    "log lt max min mul ne neg not or pow select_n sqrt square sub xor".split()
)
CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
"""Calls of other functions, and which parameter holds the function."""


class NotFusableError(Exception):
    """The function does something that is not written out."""


class Input(NamedTuple):
    """The pixel's value in one row of one of the columns."""

    leaf: int
    row: tuple[int, ...]
    dtype: Any


class Scalar(NamedTuple):
    """A number that all pixels share, by its place in `PixelGraph.scalars`."""

    place: int
    dtype: Any


class Constant(NamedTuple):
    """A number that is known when the function is traced."""

    value: Any
    dtype: Any


class Operation(NamedTuple):
    """A primitive of other expressions; these are equal only if they are the same."""

    primitive: Any
    params: tuple
    arguments: tuple[int, ...]
    dtype: Any


Expression = Input | Scalar | Constant | Operation


@dataclasses.dataclass(frozen=True)
class PixelGraph:
    """What a function does to one pixel.

    Parameters
    ----------
    nodes
        All expressions; arguments are places in this list.
    outputs
        Places of the outputs.
    tree
        Their structure.
    scalars
        The numbers that all pixels share: arrays without axes.
    """

    nodes: list[Expression]
    outputs: list[int]
    tree: Any
    scalars: list[jax.Array]

    def needed(self) -> set[int]:
        """Return the places that the outputs depend on."""
        places, ahead = set(), list(self.outputs)
        while ahead:
            place = ahead.pop()
            if place not in places:
                places.add(place)
                node = self.nodes[place]
                ahead.extend(node.arguments if isinstance(node, Operation) else ())
        return places


def trace_pixels(function: Callable, columns: Any, shared: Sequence[Any]) -> PixelGraph:
    """Write a function of columns out for one pixel.

    Parameters
    ----------
    function
        ``function(columns, *shared) -> outputs``, as for ``jaxcoadd.over_tiles``.
    columns
        A pytree of arrays (warp, pixel).
    shared
        Pytrees of arrays that all pixels share.

    Returns
    -------
    PixelGraph
        One expression for each output of a pixel.

    Raises
    ------
    NotFusableError
        The function loops, sorts, or sums in a way that is not written out.
    """
    leaves, tree = jax.tree.flatten(columns)
    numbers, shared_tree = jax.tree.flatten(shared)
    numbers = [jnp.asarray(a) for a in numbers]
    wide = [jax.ShapeDtypeStruct((*a.shape[:-1], PIXELS), a.dtype) for a in leaves]
    closed, shapes = jax.make_jaxpr(
        lambda wide, numbers: function(
            tree.unflatten(wide), *shared_tree.unflatten(numbers)
        ),
        return_shape=True,
    )(wide, [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in numbers])
    writer = _Writer()
    rows = [writer.input_rows(leaf, a) for leaf, a in enumerate(wide)]
    found = writer.run(closed, [*rows, *numbers])
    outputs, out_tree = jax.tree.flatten(shapes)
    if any(len(s.shape) != 1 for s in outputs):
        raise NotFusableError("an output has more than one value for each pixel")
    places = [
        writer.wide(value, shape).cells.item()
        for value, shape in zip(found, outputs, strict=True)
    ]
    return PixelGraph(writer.nodes, places, out_tree, writer.scalars)


@dataclasses.dataclass(frozen=True)
class _Rows:
    """An array (*rows, pixel): the place of an expression for each row."""

    cells: np.ndarray


def _fill(shape, cell):
    cells = np.empty(shape, int)
    for row in np.ndindex(*shape):
        cells[row] = cell(row)
    return _Rows(cells)


def _is_wide(aval):
    return bool(aval.shape) and aval.shape[-1] == PIXELS


class _Writer:
    """Runs a jaxpr: with whole arrays where no pixel is involved, else row by row."""

    def __init__(self):
        self.nodes: list[Expression] = []
        self.scalars: list[jax.Array] = []
        self._places: dict[Any, int] = {}
        self._known: dict[Any, Any] = {}
        self._alive: list[Any] = []

    def add(self, node: Expression, key=None) -> int:
        """Return the place of an expression; equal ones have the same."""
        key = (type(node), node) if key is None else key
        if key not in self._places:
            self._places[key] = len(self.nodes)
            self.nodes.append(node)
        return self._places[key]

    def input_rows(self, leaf, aval):
        """Return the expressions of a column."""
        return _fill(
            aval.shape[:-1], lambda row: self.add(Input(leaf, row, aval.dtype))
        )

    def wide(self, value, aval) -> _Rows:
        """Return the rows of an array, also of one that all pixels share."""
        if isinstance(value, _Rows):
            shape = np.broadcast_shapes(value.cells.shape, aval.shape[:-1])
            return _Rows(np.broadcast_to(value.cells, shape))
        if not isinstance(value, jax.Array) and np.ndim(value) == 0:
            # NaN is not equal to itself, and True is equal to 1: compared by bytes.
            known = np.asarray(value, aval.dtype)
            key = (Constant, known.dtype, known.tobytes())
            place = self.add(Constant(known[()], aval.dtype), key)
            return _Rows(np.broadcast_to(place, aval.shape[:-1]))
        value = jnp.asarray(value, aval.dtype)
        value = value.reshape((1,) * (len(aval.shape) - value.ndim) + value.shape)

        def cell(row):
            sizes = value.shape
            at = [
                k if size > 1 else 0 for k, size in zip((*row, 0), sizes, strict=True)
            ]
            return self._scalar(value, tuple(at))

        return _fill(aval.shape[:-1], cell)

    def _scalar(self, array, at):
        self._alive.append(array)
        key = (Scalar, id(array), at)
        if key not in self._places:
            self.scalars.append(array[at])
        return self.add(Scalar(len(self.scalars) - 1, array.dtype), key)

    def run(self, closed: ClosedJaxpr, arguments) -> list:
        """Return the results of a function."""
        jaxpr, env = closed.jaxpr, {}

        def read(v):
            return v.val if isinstance(v, Literal) else env[v]

        env.update(zip(jaxpr.constvars, closed.consts, strict=True))
        env.update(zip(jaxpr.invars, arguments, strict=True))
        for eqn in jaxpr.eqns:
            values = [read(v) for v in eqn.invars]
            env.update(zip(eqn.outvars, self._step(eqn, values), strict=True))
        return [read(v) for v in jaxpr.outvars]

    def _step(self, eqn, values):
        name = eqn.primitive.name
        if name in CALLS:
            inner = eqn.params[CALLS[name]]
            if not isinstance(inner, ClosedJaxpr):
                inner = ClosedJaxpr(inner, ())
            return self.run(inner, values)
        if any(isinstance(v, _Rows) for v in values):
            return self._by_rows(eqn, values)
        if any(_is_wide(v.aval) for v in eqn.outvars):
            if name != "broadcast_in_dim":
                raise NotFusableError(f"{name} makes an array of pixels")
            return [self._spread(eqn, values[0])]
        return self._shared(eqn, values)

    def _shared(self, eqn, values):
        """Compute what all pixels share, each thing once."""
        key = (eqn.primitive, str(eqn.params), tuple(_identity(v) for v in values))
        if key not in self._known:
            found = eqn.primitive.bind(*values, **eqn.params)
            many = eqn.primitive.multiple_results
            self._known[key] = list(found) if many else [found]
            self._alive.append(values)
        return self._known[key]

    def _spread(self, eqn, value):
        """Broadcast what all pixels share over the pixels."""
        aval = eqn.outvars[0].aval
        if np.ndim(value) == 0:
            return self.wide(value, aval)
        shape = [1] * len(aval.shape)
        for axis, size in zip(
            eqn.params["broadcast_dimensions"], np.shape(value), strict=True
        ):
            shape[axis] = size
        key = ("spread", id(value), tuple(shape))
        if key not in self._known:
            self._known[key] = jnp.reshape(value, shape)
            self._alive.append(value)
        return self.wide(self._known[key], aval)

    def _by_rows(self, eqn, values):
        name, params = eqn.primitive.name, eqn.params
        aval = eqn.outvars[0].aval
        stay = all(
            _is_wide(v.aval) and PIXELS not in v.aval.shape[:-1] for v in eqn.outvars
        )
        if not stay or name not in {*MOVES, *ELEMENTWISE}:
            raise NotFusableError(f"{name} is not written out")
        if name in MOVES:
            return MOVES[name](eqn, values)
        rows = [
            self.wide(v, _like(aval, a.aval)).cells
            for v, a in zip(values, eqn.invars, strict=True)
        ]
        if name == "convert_element_type" and aval.dtype == eqn.invars[0].aval.dtype:
            return [_Rows(rows[0])]
        # Inside of a kernel nothing is spread over devices.
        fixed = tuple((k, None if k == "sharding" else v) for k, v in params.items())
        shape = aval.shape[:-1]
        rows = [np.broadcast_to(r, shape) for r in rows]

        def cell(row):
            arguments = tuple(int(r[row]) for r in rows)
            node = Operation(eqn.primitive, fixed, arguments, aval.dtype)
            return self.add(node, (Operation, eqn.primitive, str(fixed), arguments))

        return [_fill(shape, cell)]


def _identity(value):
    """Tell values apart; a number is its bytes."""
    if isinstance(value, jax.Array) or np.ndim(value) > 0:
        return id(value)
    value = np.asarray(value)
    return value.dtype, value.tobytes()


def _like(wide, aval):
    """Return the shape of an operand: of the result, or of a row that all share."""
    shape = (
        (*aval.shape[:-1], PIXELS) if len(aval.shape) == len(wide.shape) else (PIXELS,)
    )
    return jax.ShapeDtypeStruct(shape, aval.dtype)


def _broadcast(eqn, values):
    shape = eqn.outvars[0].aval.shape[:-1]
    cells = values[0].cells
    full = [1] * len(shape)
    for axis, size in zip(
        eqn.params["broadcast_dimensions"][:-1], cells.shape, strict=True
    ):
        full[axis] = size
    return [_Rows(np.broadcast_to(cells.reshape(full), shape))]


def _reshape(eqn, values):
    return [_Rows(values[0].cells.reshape(eqn.outvars[0].aval.shape[:-1]))]


def _split(eqn, values):
    ends = np.cumsum(eqn.params["sizes"])[:-1]
    return [_Rows(c) for c in np.split(values[0].cells, ends, axis=eqn.params["axis"])]


def _unstack(eqn, values):
    cells = np.moveaxis(values[0].cells, eqn.params["axis"], 0)
    return [_Rows(np.asarray(row)) for row in cells]


def _slice(eqn, values):
    p = eqn.params
    strides = p["strides"] or (1,) * len(p["start_indices"])
    ends = zip(p["start_indices"], p["limit_indices"], strides, strict=True)
    cut = tuple(slice(*end) for end in ends)[:-1]
    return [_Rows(values[0].cells[cut])]


def _same(_, values):
    return values


MOVES = {
    "broadcast_in_dim": _broadcast,
    "copy": _same,
    "optimization_barrier": _same,
    "reshape": _reshape,
    "slice": _slice,
    "split": _split,
    "squeeze": _reshape,
    "stop_gradient": _same,
    "unstack": _unstack,
}
"""Primitives that compute nothing; the axis of pixels must stay the last."""
