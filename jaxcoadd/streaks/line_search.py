"""Minimize a function of one number, in a compiled program, by Brent's method."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Scalar = Float[Array, ""]
Function = Callable[[Scalar], Scalar]

_GOLDEN = 0.5 * (1 + 5**0.5)
# The part of the larger side at which a golden section falls.
_SECTION = 2 - _GOLDEN
_MOST_GROWTHS = 40
_MOST_STEPS = 100


class _Bracket(NamedTuple):
    """Three positions in order; the function falls to the middle one, and rises."""

    first: Scalar
    middle: Scalar
    last: Scalar
    value: Scalar
    last_value: Scalar
    growths: Int[Array, ""]


class _Search(NamedTuple):
    """The bracket, the three best positions with their values, and the last steps."""

    low: Scalar
    high: Scalar
    best: Scalar
    second: Scalar
    third: Scalar
    best_value: Scalar
    second_value: Scalar
    third_value: Scalar
    step: Scalar
    step_before: Scalar
    steps: Int[Array, ""]


def minimize_along(
    function: Function, dtype: jnp.dtype, *, tolerance: float
) -> tuple[Scalar, Scalar, Bool[Array, ""]]:
    """Find a minimum of a function downhill from 0 and 1.

    Parameters
    ----------
    function
        Of one number; what it returns may be NaN, and then nothing is found.
    dtype
        Of the number.
    tolerance
        The position is right to this part of itself.

    Returns
    -------
    tuple
        The position, the value there, and whether a minimum was found between
        positions with larger values.

    Notes
    -----
    Brent, Algorithms for Minimization without Derivatives, 1973, chapter 5: parabolas
    through the three best positions, and golden sections where they do not help.
    Works under ``jit`` and ``vmap``; has no derivatives.
    """
    bracket = _bracket(function, dtype)
    found = bracket.last_value >= bracket.value
    search = _start(bracket)
    search = jax.lax.while_loop(
        lambda search: _is_wide(search, tolerance) & found,
        lambda search: _step(function, search, tolerance),
        search,
    )
    return search.best, search.best_value, found


def _bracket(function: Function, dtype) -> _Bracket:
    """Go downhill, in steps that grow, until the function rises."""
    zero, one = jnp.zeros((), dtype), jnp.ones((), dtype)
    at_zero, at_one = function(zero), function(one)
    rises = at_one > at_zero
    first, middle = jnp.where(rises, one, zero), jnp.where(rises, zero, one)
    last = middle + _GOLDEN * (middle - first)
    value = jnp.where(rises, at_zero, at_one)
    start = _Bracket(first, middle, last, value, function(last), jnp.zeros((), int))

    def grow(bracket):
        last = bracket.last + _GOLDEN * (bracket.last - bracket.middle)
        return _Bracket(
            bracket.middle,
            bracket.last,
            last,
            bracket.last_value,
            function(last),
            bracket.growths + 1,
        )

    def falls(bracket):
        return (bracket.last_value < bracket.value) & (bracket.growths < _MOST_GROWTHS)

    return jax.lax.while_loop(falls, grow, start)


def _start(bracket: _Bracket) -> _Search:
    low = jnp.minimum(bracket.first, bracket.last)
    high = jnp.maximum(bracket.first, bracket.last)
    position, value = bracket.middle, bracket.value
    none = jnp.zeros_like(position)
    return _Search(
        *(low, high, position, position, position),
        *(value, value, value, none, none, jnp.zeros((), int)),
    )


def _least_step(search: _Search, tolerance: float) -> Scalar:
    return tolerance * jnp.abs(search.best) + float(jnp.finfo(search.best.dtype).tiny)


def _is_wide(search: _Search, tolerance: float) -> Bool[Array, ""]:
    """Whether the minimum may be farther from the best position than it should."""
    middle = (search.low + search.high) / 2
    limit = 2 * _least_step(search, tolerance) - (search.high - search.low) / 2
    return (jnp.abs(search.best - middle) > limit) & (search.steps < _MOST_STEPS)


def _step(function: Function, search: _Search, tolerance: float) -> _Search:
    """Try one more position, and keep the three best ones."""
    least = _least_step(search, tolerance)
    middle = (search.low + search.high) / 2
    step, step_before = _parabola(search, least)
    side = jnp.where(search.best >= middle, search.low, search.high) - search.best
    golden = jnp.isnan(step)
    step_before = jnp.where(golden, side, step_before)
    step = jnp.where(golden, _SECTION * side, step)
    moved = jnp.where(jnp.abs(step) >= least, step, jnp.copysign(least, step))
    position = search.best + moved
    value = function(position)
    return _keep_best(search, position, value)._replace(
        step=step, step_before=step_before, steps=search.steps + 1
    )


def _parabola(search: _Search, least: Scalar) -> tuple[Scalar, Scalar]:
    """Return the step to the minimum of a parabola, NaN if it is of no use."""
    a = (search.best - search.second) * (search.best_value - search.third_value)
    b = (search.best - search.third) * (search.best_value - search.second_value)
    above = (search.best - search.third) * b - (search.best - search.second) * a
    below = 2 * (b - a)
    safe = jnp.where(below == 0, 1, below)
    step = -above / safe
    position = search.best + step
    useful = (below != 0) & (jnp.abs(search.step_before) > least)
    useful &= jnp.abs(step) < jnp.abs(search.step_before) / 2
    useful &= (search.low < position) & (position < search.high)
    near = (position - search.low < 2 * least) | (search.high - position < 2 * least)
    middle = (search.low + search.high) / 2
    step = jnp.where(near, jnp.copysign(least, middle - search.best), step)
    return jnp.where(useful, step, jnp.nan), search.step


def _keep_best(search: _Search, position: Scalar, value: Scalar) -> _Search:
    """Narrow the bracket, and put the new position among the three best."""
    better = value <= search.best_value
    right = position >= search.best
    edge = jnp.where(better, search.best, position)
    is_low = jnp.where(better, right, ~right)
    low = jnp.where(is_low, edge, search.low)
    high = jnp.where(is_low, search.high, edge)
    runs_up = (value <= search.second_value) | (search.second == search.best)
    third_best = (
        (value <= search.third_value)
        | (search.third == search.best)
        | (search.third == search.second)
    )

    def choose(new, best, second, third):
        return (
            jnp.where(better, new, best),
            jnp.where(better, best, jnp.where(runs_up, new, second)),
            jnp.where(better | runs_up, second, jnp.where(third_best, new, third)),
        )

    positions = choose(position, search.best, search.second, search.third)
    values = choose(value, search.best_value, search.second_value, search.third_value)
    return search._replace(
        low=low,
        high=high,
        **dict(zip(("best", "second", "third"), positions, strict=True)),
        **dict(zip(("best_value", "second_value", "third_value"), values, strict=True)),
    )
