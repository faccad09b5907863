"""Functions of pixel columns, mapped over tiles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcoadd.coadds import CoaddConfig, mask_rules
from jaxcoadd.masks import LSST_PLANES
from jaxcoadd.stacking import Columns, stack_columns
from jaxcoadd.statistics import (
    ClippedMean,
    FromScatter,
    Median,
    SoftClippedMean,
)
from jaxcoadd.tiling import TILES as OWN_TILES
from jaxcoadd.tiling import default_tile_size, over_tiles

TILES = (1, 7, 64, 256, 1000)
SHAPES = ((1, 1), (1, 300), (13, 5), (20, 30))
N = 5


def weigh(columns, weights):
    """Make two outputs of different type from columns and a shared array."""
    x, marks = columns
    return {"sum": (weights[:, None] * x * x).sum(axis=0), "any": marks.any(axis=0)}


def make_columns(shape, seed=0):
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.normal(size=(N, *shape)), float)
    marks = jnp.asarray(rng.random((N, *shape)) < 0.1)
    return (x, marks), jnp.asarray(rng.uniform(1, 2, N), float)


def on_whole_image(function):
    """Map a function of columns over a whole image at once."""

    def mapped(columns, *shared):
        shape = jax.tree.leaves(columns)[0].shape[1:]
        flat = jax.tree.map(lambda a: a.reshape(N, -1), columns)
        return jax.tree.map(lambda a: a.reshape(shape), function(flat, *shared))

    return mapped


def assert_trees_equal(found, wanted):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("shape", SHAPES)
def test_tiles_change_nothing_but_rounding(precision, shape):
    columns, weights = make_columns(shape)
    wanted = on_whole_image(weigh)(columns, weights)
    for size in TILES:
        found = jax.jit(over_tiles(weigh, tile_size=size))(columns, weights)
        np.testing.assert_array_equal(found["any"], wanted["any"])
        # Sums of N positive terms in some order.
        eps = float(jnp.finfo(found["sum"].dtype).eps)
        np.testing.assert_allclose(found["sum"], wanted["sum"], rtol=2 * N * eps)


@pytest.mark.slow
@pytest.mark.parametrize(
    "statistic",
    [ClippedMean(error=FromScatter()), SoftClippedMean(), Median()],
    ids=["clip", "soft", "median"],
)
def test_stacks_are_bitwise_the_same_for_any_tile_size(precision, statistic):
    rng = np.random.default_rng(1)
    shape = (N, 20, 30)
    image = np.where(rng.random(shape) < 0.1, np.nan, rng.normal(10, 1, shape))
    columns = Columns(
        jnp.asarray(image, float),
        jnp.asarray(rng.gamma(3.0, 1.0, shape), float),
        jnp.asarray(rng.integers(0, 2**9, shape) & rng.integers(0, 2**9, shape)).astype(
            jnp.uint32
        ),
    )
    rules = mask_rules(CoaddConfig(), LSST_PLANES.add("CLIPPED"))
    present = jnp.ones(N, bool)

    def stack_tile(columns, weights):
        unit = jnp.ones((), weights.dtype)
        return stack_columns(
            columns, weights, unit, present, statistic=statistic, rules=rules
        )

    weights = jnp.asarray(rng.uniform(0.5, 1, (N, 1)), float)
    found = [
        jax.jit(over_tiles(stack_tile, tile_size=size))(columns, weights)
        for size in TILES
    ]
    for other in found[1:]:
        assert_trees_equal(other, found[0])


@pytest.mark.slow
@given(seed=st.integers(0, 99), size=st.sampled_from(TILES[1:]))
def test_gradients_count_every_pixel_once(seed, size):
    # 65 pixels: the last tile of 7 and of 64 overlaps the one before it.
    with jax.enable_x64(True):
        (x, marks), weights = make_columns((13, 5), seed)
        pull = jnp.asarray(np.random.default_rng(seed).normal(size=(13, 5)))

        def total(mapped, x, weights):
            return (pull * mapped((x, marks), weights)["sum"]).sum()

        tiled = over_tiles(weigh, tile_size=size)
        found = jax.grad(total, argnums=(1, 2))(tiled, x, weights)
        wanted = jax.grad(total, argnums=(1, 2))(on_whole_image(weigh), x, weights)
        for a, b in zip(found, wanted, strict=True):
            # Sums of 65 terms that may cancel.
            scale = 65 * float(np.abs(pull).max() * np.abs(x).max() ** 2 * 4)
            np.testing.assert_allclose(a, b, atol=2e-16 * scale, rtol=1e-14)


def test_tiles_compose_with_jit_vmap_and_grad():
    columns, weights = make_columns((13, 5))
    tiled = over_tiles(weigh, tile_size=7)
    bands = jax.tree.map(lambda a: jnp.stack([a, a[::-1]]), columns)

    def slope(columns, weights):
        return jax.grad(lambda x: tiled((x, columns[1]), weights)["sum"].sum())(
            columns[0]
        )

    found = jax.jit(jax.vmap(slope, in_axes=(0, None)))(bands, weights)
    for band in range(2):
        x = bands[0][band]
        np.testing.assert_allclose(
            found[band], 2 * weights[:, None, None] * x, rtol=1e-6
        )


def test_outputs_may_have_axes_in_front():
    (x, _), _ = make_columns((13, 5))
    found = over_tiles(lambda x: x[:2] + x[2:4], tile_size=7)(x)
    np.testing.assert_array_equal(found, x[:2] + x[2:4])


def test_deeper_tiles_on_a_cpu_have_fewer_pixels():
    sizes = [default_tile_size(depth, 10**6) for depth in (1, 10, 30, 100, 300, 1000)]
    assert sizes == sorted(sizes, reverse=True)
    assert set(sizes) == set(OWN_TILES)
    # Nor has an image of few pixels a tile, and a program, of its own.
    assert default_tile_size(10, 5) == default_tile_size(10, 10**6)
