"""Interpolation over missing pixels, recorded from another pipeline."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxcoadd.interpolation import interpolate_planes
from tests.replay.ulps import assert_close, assert_within_ulps

# Each of four products has a rounded weight, is rounded, and passes up to three
# sums: 5 roundings of 2**-24. The weights' sizes add up to 2.43 at most. One of the
# points may itself be such a prediction, with a weight of 0.5 at most; the recorded
# number is rounded, too.
ROUNDINGS = 5 * 2.43 * 1.5 + 1


def replay(path: Path, precision: int) -> None:
    """Compare image, variance and mask of one recorded case."""
    with np.load(path) as file:
        case = dict(file)
    params = json.loads(str(case["params"]))
    where = _pixels_of_boxes(case["boxes"], case["image"].shape)
    options = {
        "fallback": params["fallbackValue"],
        "use_fallback_at_edge": params["useFallbackValueAtEdge"],
    }
    planes = tuple(
        jnp.asarray(case[name], f"float{precision}") for name in ("image", "variance")
    )
    function = jax.jit(functools.partial(interpolate_planes, **options))
    filled = function(planes, where=jnp.asarray(where))
    for name, plane in zip(("image", "variance"), filled, strict=True):
        assert plane.dtype == f"float{precision}"
        recorded = case[f"out_{name}"]
        if precision == 64:
            assert_within_ulps(plane, recorded, ulps=2, label=name)
        else:
            allowed = _rounding(case[name], where, params["fallbackValue"])
            assert_close(plane, recorded, allowed=allowed, label=name)
        good = ~where
        np.testing.assert_array_equal(np.asarray(plane)[good], case[name][good])
    interpolated = np.where(where, 1 << params["interpBit"], 0)
    np.testing.assert_array_equal(case["mask"] | interpolated, case["out_mask"])


def _pixels_of_boxes(boxes, shape):
    where = np.zeros(shape, bool)
    for x, y, width, height in np.asarray(boxes, int):
        rows = slice(max(y, 0), max(y + height, 0))
        where[rows, max(x, 0) : max(x + width, 0)] = True
    return where


def _rounding(plane, where, fallback):
    """Bound the rounding in 32 bits by the largest point of each row."""
    # A missing pixel counts: it is the outer point of some runs next to the left edge.
    sizes = np.where(np.isfinite(plane), np.abs(plane), 0).astype(float)
    outside = max(1.0, abs(fallback)) if np.isfinite(fallback) else 1.0
    size = np.maximum(sizes.max(axis=1, keepdims=True), outside)
    return np.where(where, ROUNDINGS * 2.0**-24 * size, 0)
