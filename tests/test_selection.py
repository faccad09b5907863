"""Order statistics and clipped means of whole planes."""

import functools

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxcoadd import reference
from jaxcoadd.selection import (
    plane_clipped_mean,
    plane_mean,
    plane_quantiles,
    select_ranks,
)

QUARTILES = (0.25, 0.5, 0.75)
SHAPE = (5, 7)
# Few values, so that many are equal; both zeros, the ends and numbers below normal.
AWKWARD = [0.0, -0.0, 1.0, -1.0, 1e-40, -1e-45, 3e38, -3e38, np.inf, -np.inf, 2.5]

select = jax.jit(select_ranks)
quartiles = jax.jit(functools.partial(plane_quantiles, fractions=QUARTILES))
clipped_mean = jax.jit(plane_clipped_mean, static_argnames="clip_iter")


def planes(elements, shape=SHAPE):
    return hnp.arrays(np.float64, shape, elements=elements, fill=st.nothing())


def selections(shape=SHAPE):
    return hnp.arrays(bool, shape, elements=st.booleans(), fill=st.nothing())


awkward_planes = planes(st.sampled_from(AWKWARD) | st.floats(-4, 4, width=32))
smooth_planes = planes(st.floats(-1000, 1000, width=32))


@pytest.mark.parametrize("bits", [32, 64])
@given(values=awkward_planes, where=selections())
def test_every_rank_is_what_sorting_gives(values, where, bits):
    values = values.astype(f"float{bits}")
    expected = np.sort(values[where])
    ranks = np.arange(values.size, dtype=np.int32)
    with jax.enable_x64(bits == 64):
        found = np.asarray(select(values, ranks, where=where))
    assert found.dtype == values.dtype
    clipped = np.minimum(ranks, max(len(expected) - 1, 0))
    expected = expected[clipped] if len(expected) else np.full(values.size, np.nan)
    np.testing.assert_array_equal(found, expected)


def test_ranks_beyond_the_ends_are_the_ends(precision):
    values = jnp.asarray([3.0, 1.0, 2.0], f"float{precision}")
    found = select(values, jnp.array([-1, 3, 99]), where=jnp.full(3, True))
    assert found.tolist() == [1, 3, 3]


def test_nan_is_left_out_whatever_its_sign(precision):
    values = jnp.asarray([np.nan, 2.0, -np.nan, 1.0], f"float{precision}")
    found = select(values, jnp.array([0, 1, 2]), where=jnp.full(4, True))
    assert found.tolist() == [1, 2, 2]
    assert quartiles(values, where=jnp.full(4, True))[1] == 1.5


def test_values_may_have_any_number_of_axes(precision):
    values = np.random.default_rng(1).normal(size=(3, 4, 5))
    values = values.astype(f"float{precision}")
    ranks = jnp.array([0, 30, 59])
    for shape in ((60,), (12, 5), (3, 4, 5)):
        found = select(values.reshape(shape), ranks, where=np.full(shape, True))
        np.testing.assert_array_equal(found, np.sort(values.ravel())[ranks])


@pytest.mark.slow
def test_ranks_above_the_integers_of_float32_are_exact():
    # 1000 values, each 16810 times: ranks that an odd count separates, above 2**24.
    rows = columns = 4100
    number = jnp.arange(rows * columns, dtype=jnp.int32) % 1000
    values = number.reshape(rows, columns).astype(jnp.float32)
    first = 16810 * 999
    assert first > 2**24
    found = select(values, jnp.array([first - 1, first]), where=values >= 0)
    assert found.tolist() == [998, 999]
    # u = 0.999 * 16809999 = 16793189.001 in the reals.
    step = jax.jit(functools.partial(plane_quantiles, fractions=(0.25, 0.5, 0.999)))
    zero_or_one = (values >= 999).astype(jnp.float32)
    # Pieces of the product are numbers up to 4105, in float32 exact to 2**-12.
    expected = [0, 0, 0.001]
    np.testing.assert_allclose(
        step(zero_or_one, where=values >= 0), expected, rtol=0, atol=2**-12
    )


@pytest.mark.slow
def test_quarters_of_a_rank_above_the_integers_of_float32_are_exact():
    # u = 0.75 * (2**25 + 4097 - 1) is a whole number, u of one value less is not.
    size = 2**25 + 4097
    index = jnp.arange(size, dtype=jnp.int32)
    for n, part in ((size, 0.0), (size - 1, 0.25), (size - 2, 0.5)):
        below = int(0.75 * (n - 1)) + 1
        values = (index >= below).astype(jnp.float32)
        assert quartiles(values, where=index < n)[2] == part


@pytest.mark.parametrize("bits", [32, 64])
@given(values=smooth_planes, where=selections())
def test_quantiles_are_those_of_numpy(values, where, bits):
    values = values.astype(f"float{bits}")
    with jax.enable_x64(bits == 64):
        found = np.asarray(quartiles(values, where=where))
    if not where.any():
        assert np.isnan(found).all()
        return
    expected = np.quantile(values[where].astype(float), QUARTILES)
    # Two products and a sum, of values up to 1000.
    allowed = 3 * 1000 * np.finfo(values.dtype).eps / 2
    np.testing.assert_allclose(found, expected, rtol=0, atol=allowed)


@pytest.mark.parametrize(
    "values, expected",
    [
        ([5.0, 7.0], (5.5, 6.0, 6.5)),
        ([1.0, 2.0, 3.0, 2.0], (1.75, 2.0, 2.25)),
        (list(range(10)), (2.25, 4.5, 6.75)),
        (list(range(11)), (2.5, 5.0, 7.5)),
        ([0.1], (0.1, 0.1, 0.1)),
        ([0.1] * 6, (0.1, 0.1, 0.1)),
        # Rank 2 is whole: the infinity next to it has no part in the median.
        ([1.0, 2.0, 3.0, np.inf, np.inf], (2.0, 3.0, np.inf)),
        ([-np.inf, 2.0, 3.0, 4.0, np.inf], (2.0, 3.0, 4.0)),
    ],
)
def test_quartiles_of_few_values_are_exact(values, expected, precision):
    values = np.asarray(values, f"float{precision}")
    found = quartiles(values, where=np.full(values.shape, True))
    np.testing.assert_array_equal(found, np.asarray(expected, values.dtype))


def test_extreme_fractions_are_the_extremes(precision):
    values = jnp.asarray([3.0, 1.0, 2.0], f"float{precision}")
    found = plane_quantiles(values, (0.0, 1.0), where=jnp.full(3, True))
    assert found.tolist() == [1, 3]


def test_errors_say_what_is_wrong():
    values, where = jnp.ones((2, 3)), jnp.full((3, 2), True)
    with pytest.raises(ValueError, match=r"shape \(2, 3\) and where has \(3, 2\)"):
        select_ranks(values, jnp.array([0]), where=where)
    with pytest.raises(ValueError, match=r"shape \(2, 3\) and where has \(3, 2\)"):
        plane_clipped_mean(values, where=where)
    with pytest.raises(ValueError, match=r"0 to 1, not 1\.5"):
        plane_quantiles(values, (0.5, 1.5), where=values > 0)
    with pytest.raises(ValueError, match="clip_iter must be 1 or more, not 0"):
        plane_clipped_mean(values, where=values > 0, clip_iter=0)


def clipped(values, **options):
    """Clip a list of values as one row, filled with values that are left out."""
    values = np.pad(values, (0, 10 - len(values)), constant_values=np.nan)[None]
    mean, n_clipped = clipped_mean(values, where=np.isfinite(values), **options)
    return float(mean), int(n_clipped)


@pytest.mark.parametrize(
    "values, options, expected",
    [
        ([1, 2, 3, 4, 100], {"clip_iter": 3}, (2.5, 1)),
        ([7824, 7803, 7871, 7567, 7813, 7809, 8011, 7807], {}, (7821.1666666666667, 2)),
        ([0, 0, 0, 10], {}, (0, 1)),
        ([3, 3, 50], {}, (56 / 3, 0)),
        ([7, 20], {}, (13.5, 0)),
        ([6.25], {}, (6.25, 0)),
        ([81.25] * 9, {}, (81.25, 0)),
        # One survivor has no scatter to clip with.
        ([-100, 0, 100], {"sigma_clip": 1.0, "clip_iter": 1}, (0, 2)),
        ([-100, 0, 100], {"sigma_clip": 1.0, "clip_iter": 2}, (np.nan, 3)),
        # Nothing within the first limit, half of 0.74 * 0.5 of the distance.
        ([0, 1], {"sigma_clip": 1.0}, (np.nan, 2)),
        ([np.nan, np.inf], {}, (np.nan, 0)),
    ],
)
def test_clipped_mean_of_few_values(values, options, expected, precision):
    values = np.asarray(values, f"float{precision}")
    mean, n_clipped = clipped(values, **options)
    assert n_clipped == expected[1]
    # A sum of deviations up to 300 from a centre near 7800, both rounded.
    rounding = 4 * float(jnp.finfo(values.dtype).eps)
    assert mean == pytest.approx(expected[0], rel=rounding, nan_ok=True)


@pytest.mark.parametrize("clip_iter", [1, 2, 3])
@given(
    seed=st.integers(0, 10**6),
    sigma_clip=st.sampled_from([1.5, 2.5, 3.0]),
    bad_share=st.sampled_from([0.0, 0.4]),
)
def test_clipped_mean_is_that_of_the_reference(seed, sigma_clip, bad_share, clip_iter):
    draw = np.random.default_rng(seed)
    values = draw.normal(50, 5, (12, 15)) + 100 * (draw.random((12, 15)) < 0.05)
    bad = draw.random(values.shape) < bad_share
    options = {"sigma_clip": sigma_clip, "clip_iter": clip_iter}
    expected = reference.plane_clipped_mean(values, bad, **options)
    with jax.enable_x64(True):
        mean, n_clipped = clipped_mean(values, where=~bad, **options)
    assert n_clipped == expected[1]
    # 180 deviations of up to 100 are added in another order.
    assert mean == pytest.approx(expected[0], abs=180 * 100 * 2.0**-53)


def test_mean_of_a_bright_sky_is_accurate_in_32_bits():
    draw = np.random.default_rng(3)
    values = (20000 + draw.normal(0, 50, (1024, 1024))).astype(np.float32)
    where = draw.random(values.shape) < 0.9
    exact, n_exact = reference.plane_clipped_mean(values, ~where)
    mean, n_clipped = clipped_mean(values, where=where)
    # Values at the limit of 150 are 2**-9 apart: a few go the other way.
    assert abs(int(n_clipped) - n_exact) <= 5
    # The last step rounds to a neighbour of 20000 in float32.
    assert float(mean) == pytest.approx(exact, rel=2.0**-23)
    plain = jax.jit(plane_mean)(values, where=where)
    assert float(plain) == pytest.approx(values[where].mean(dtype=float), rel=2.0**-23)


@pytest.mark.slow
def test_values_left_out_do_not_matter_for_the_mean_and_its_gradient(precision):
    values = np.array([[1.0, 2.0, 3.0, 4.0], [2.5, 100.0, 0.0, 0.0]])
    where = np.array([[True] * 4, [True, True, False, False]])
    with_nan = jnp.asarray(np.where(where, values, np.nan), f"float{precision}")

    def mean(values):
        return plane_clipped_mean(values, where=jnp.asarray(where))[0]

    assert mean(with_nan) == 2.5
    # 100 is clipped, the others share the mean.
    expected = np.where(where & (values < 100), 0.2, 0)
    rounding = float(jnp.finfo(with_nan.dtype).eps)
    np.testing.assert_allclose(
        jax.jit(jax.grad(mean))(with_nan), expected, rtol=rounding
    )

    def plain(values):
        return plane_mean(values, where=jnp.asarray(where))

    np.testing.assert_allclose(
        jax.jit(jax.grad(plain))(with_nan), where / 6, rtol=rounding
    )


def test_gradient_of_the_clipped_mean_is_the_slope():
    draw = np.random.default_rng(4)
    values = draw.normal(0, 1, (6, 8))
    values[2, 3] = 40
    with jax.enable_x64(True):
        where = jnp.full(values.shape, True)
        check_grads(
            lambda v: clipped_mean(v, where=where)[0],
            (jnp.asarray(values),),
            order=1,
            # Small enough to move no value over a limit.
            eps=1e-6,
            atol=1e-8,
        )


def test_order_statistics_carry_no_gradient(precision):
    values = jnp.asarray(np.arange(12.0).reshape(3, 4), f"float{precision}")

    def total(values):
        return jnp.sum(plane_quantiles(values, QUARTILES, where=values > 2))

    assert not np.any(jax.grad(total)(values))


def test_jit_gives_what_eager_gives(precision):
    values = np.random.default_rng(6).normal(3, 1, (6, 9)).astype(f"float{precision}")
    eager = plane_clipped_mean(jnp.asarray(values), where=jnp.asarray(values > 1))
    mean, n_clipped = clipped_mean(values, where=values > 1)
    # Sums of 54 numbers near 3, perhaps in another order.
    rounding = 54 * float(np.finfo(values.dtype).eps)
    assert (float(mean), int(n_clipped)) == pytest.approx(
        (float(eager[0]), int(eager[1])), rel=rounding
    )


@pytest.mark.parametrize("function", [plane_clipped_mean, plane_mean, "quartiles"])
def test_vmap_gives_what_a_loop_gives(function, precision):
    if function == "quartiles":
        function = functools.partial(plane_quantiles, fractions=QUARTILES)
    draw = np.random.default_rng(5)
    values = jnp.asarray(draw.normal(3, 1, (4, 6, 9)), f"float{precision}")
    where = jnp.asarray(draw.random(values.shape) < 0.7)
    single = jax.jit(lambda v, w: function(v, where=w))
    loop = [single(v, w) for v, w in zip(values, where, strict=True)]
    loop = jax.tree.map(lambda *leaves: jnp.stack(leaves), *loop)
    mapped = jax.jit(jax.vmap(lambda v, w: function(v, where=w)))(values, where)
    # Sums of 54 numbers near 3, perhaps in another order.
    rounding = 54 * float(jnp.finfo(values.dtype).eps)
    for one, other in zip(jax.tree.leaves(loop), jax.tree.leaves(mapped), strict=True):
        np.testing.assert_allclose(one, other, rtol=rounding)
