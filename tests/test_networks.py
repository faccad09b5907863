"""Sorting networks along the warps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcoadd.stages import in_one_loop
from jaxcoadd.statistics.networks import (
    BLOCK,
    BLOCKS,
    UNROLLED,
    sort_along_warps,
    sort_rows,
)

DEEPEST = BLOCK * BLOCKS


@jax.jit
def sort(values):
    return jnp.stack(list(sort_along_warps(values, jnp.inf)))


def assert_sorts(values):
    np.testing.assert_array_equal(sort(jnp.asarray(values)), np.sort(values, axis=0))


@pytest.mark.parametrize("n", [40, UNROLLED])
def test_a_written_out_network_sorts(n):
    rows = list(np.random.default_rng(n).normal(size=(n, 50)).astype(np.float32))
    found = jax.jit(lambda rows: in_one_loop(rows, sort_rows))(rows)
    np.testing.assert_array_equal(jnp.stack(found), np.sort(rows, axis=0))


@given(n=st.integers(1, 12), seed=st.integers(0, 99))
def test_few_rows_are_sorted(n, seed):
    # Few different numbers, so that many are equal.
    assert_sorts(np.random.default_rng(seed).integers(0, 5, (n, 40)).astype(np.float32))


@pytest.mark.parametrize(
    "n", [UNROLLED + 1, 2 * BLOCK + 1, 300, 4 * BLOCK + 1, DEEPEST, DEEPEST + 1]
)
def test_many_rows_are_sorted(n):
    rng = np.random.default_rng(n)
    values = rng.normal(size=(n, 60)).astype(np.float32)
    # Steps at every place: if a network sorts these, it sorts everything.
    values[:, 30:] = rng.random((n, 30)) < rng.random(30)
    values[rng.random(values.shape) < 0.1] = np.inf
    assert_sorts(values)
