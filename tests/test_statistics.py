"""Every statistic at every depth, against the executable specification."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxcoadd import reference
from jaxcoadd.stages import compute_once
from jaxcoadd.statistics import (
    ClippedMean,
    FromScatter,
    Mean,
    Median,
    Mosaic,
    Samples,
    SoftClippedMean,
    rejected_value,
)
from jaxcoadd.statistics.order import quantiles
from tests.replay.statistics import BY_NAME
from tests.rounding import allowed, clip

DEEP = ("MEANCLIP",)


def make_columns(n, seed=0):
    """Make pixels of every kind: (values, variances, weights, good)."""
    rng = np.random.default_rng(seed + n)
    x = rng.normal(size=(n, 10))
    x[:, 1] += 1e4
    x[:, 2] *= 1e-3
    x[::7, 3] += 50
    x[:, 4] = np.round(x[:, 4])
    x[:, 5] = 3.25
    x = x.astype(np.float32).astype(float)
    good = np.ones((n, 10), bool)
    good[1:, 6] = False
    good[:, 7] = False
    good[:, 8:] = rng.random((n, 2)) < 0.6
    v = rng.gamma(4.0, 0.25, (n, 10)).astype(np.float32).astype(float)
    w = rng.uniform(0.5, 2.0, n).astype(np.float32).astype(float)
    return x, v, w, good


def as_samples(x, v, w, good, unit=1.0):
    values = jnp.asarray(x, float)
    none = rejected_value(values.dtype)
    return Samples(
        values=jnp.where(good, values, none),
        variances=jnp.asarray(v, float),
        weights=jnp.asarray(w, float)[:, None] / unit,
        weight_unit=jnp.asarray(unit, float),
        present=jnp.ones(len(w), bool),
        count=jnp.asarray(good.sum(axis=0), float),
    )


@jax.jit
def combine_one(samples, statistic):
    return statistic.combine(samples, statistic.settle(samples))


def combine(samples, statistics):
    return [jax.tree.map(np.asarray, combine_one(samples, each)) for each in statistics]


def assert_equals_reference(found, name, columns, eps, error="variance"):
    """Compare pixel by pixel, where rounding does not decide what is clipped."""
    x, v, w, good = columns
    for pixel in range(x.shape[1]):
        values, variances, weights = (
            a[good[:, pixel]] for a in (x[:, pixel], v[:, pixel], w)
        )
        kept, sure = np.ones(len(values), bool), True
        if name.endswith("CLIP"):
            kept, sure = clip(values, weights, eps)
        if not sure:
            continue
        wanted = reference.statistic(
            name, x[:, pixel], v[:, pixel], w, good[:, pixel], error=error
        )
        offs = allowed(
            name, values[kept], variances[kept], weights[kept], eps, error=error
        )
        label = f"{name} of {len(w)}, pixel {pixel}"
        for part, off in zip(("value", "variance"), offs, strict=True):
            number = getattr(wanted, part)
            # A sign or a NaN that rounding decides, as of 0 times infinity.
            if np.isfinite(off) and not (part == "variance" and np.abs(number) <= off):
                np.testing.assert_allclose(
                    getattr(found, part)[pixel], number, rtol=0, atol=off, err_msg=label
                )
        assert bool(found.clipped[pixel]) == (wanted.n_clipped > 0), label
        np.testing.assert_allclose(
            found.weight[pixel], wanted.weight, rtol=(len(w) + 4) * eps, err_msg=label
        )


@jax.jit
def settle(samples):
    return {"open": Mean().settle(samples), "clip": ClippedMean().settle(samples)}


@jax.jit
def combine_settled(samples, statistics, settled):
    return [
        compute_once(statistic.combine, samples, fence)
        for statistic, fence in zip(statistics, settled, strict=True)
    ]


def check_depths(depths, names):
    """Check statistics for stacks of each depth, one after the other."""
    eps = float(jnp.finfo(jnp.zeros(()).dtype).eps)
    for n in depths:
        columns = make_columns(n)
        samples = as_samples(*columns)
        # All that clip have one fence: its network is compiled once.
        fences = settle(samples)
        settled = [
            fences["clip" if name.endswith("CLIP") else "open"] for name in names
        ]
        statistics = [BY_NAME[name]() for name in names]
        found = combine_settled(samples, statistics, settled)
        for name, one in zip(names, jax.tree.map(np.asarray, found), strict=True):
            assert_equals_reference(one, name, columns, eps)


# Some versions of XLA got short sums wrong once a shorter one had been compiled, so
# these go up in one process.


@pytest.mark.slow
def test_every_statistic_equals_the_reference_as_depths_go_up():
    with jax.enable_x64(False):
        check_depths([*range(1, 18), 24, 32, 33, 40], list(BY_NAME))


@pytest.mark.exhaustive
def test_every_statistic_equals_the_reference_at_every_depth():
    with jax.enable_x64(False):
        check_depths(range(1, 41), list(BY_NAME))


@pytest.mark.exhaustive
def test_every_statistic_equals_the_reference_at_every_depth_in_64_bits():
    with jax.enable_x64(True):
        check_depths(range(1, 41), list(BY_NAME))


@pytest.mark.parametrize(
    "n",
    [49, 100, pytest.param(200, marks=pytest.mark.slow)],
)
def test_means_and_medians_equal_the_reference_in_deep_stacks(n):
    with jax.enable_x64(False):
        check_depths([n], DEEP)


@pytest.mark.slow
def test_quantiles_of_very_deep_stacks_equal_the_reference():
    # Above 1024 warps they are found by bisection.
    check_depths([1100], ["MEDIAN", "IQRANGE"])


def test_every_statistic_equals_the_reference_in_64_bits():
    with jax.enable_x64(True):
        check_depths([1, 2, 3, 9], list(BY_NAME))


@pytest.mark.parametrize(
    ("model", "error"), [(FromScatter(), "scatter"), (Mosaic(), "mosaic")]
)
def test_error_models_equal_the_reference(precision, model, error):
    eps = float(jnp.finfo(jnp.zeros(()).dtype).eps)
    columns = make_columns(8)
    statistics = [Mean(error=model), ClippedMean(error=model)]
    found = combine(as_samples(*columns), statistics)
    for name, one in zip(("MEAN", "MEANCLIP"), found, strict=True):
        assert_equals_reference(one, name, columns, eps, error)


@pytest.mark.parametrize("clip_iter", [1, 2, 3, 5])
def test_any_number_of_passes_equals_the_reference(clip_iter):
    with jax.enable_x64(True):
        x, v, w, good = make_columns(9)
        # Without the columns whose scatter is 0, where the last bit decides.
        x, v, good = (a[:, [0, 1, 2, 3, 8, 9]] for a in (x, v, good))
        statistic = ClippedMean(sigma_clip=1.7, clip_iter=clip_iter)
        (found,) = combine(as_samples(x, v, w, good), [statistic])
        for pixel in range(x.shape[1]):
            column = (x[:, pixel], v[:, pixel], w, good[:, pixel])
            wanted = reference.statistic(
                "MEANCLIP", *column, sigma_clip=1.7, clip_iter=clip_iter
            )
            eps = float(np.finfo(float).eps)
            off = 100 * eps * np.abs(wanted.value) + 100 * eps * np.ptp(x[:, pixel])
            np.testing.assert_allclose(
                found.value[pixel], wanted.value, atol=off, rtol=0
            )
            assert bool(found.clipped[pixel]) == (wanted.n_clipped > 0)


def test_the_unit_of_the_weights_does_not_matter(precision):
    columns = make_columns(8)
    statistics = [Mean(), ClippedMean(), Median(), SoftClippedMean()]
    found = combine(as_samples(*columns), statistics)
    scaled = combine(as_samples(*columns, unit=2.0**30), statistics)
    for one, other in zip(found, scaled, strict=True):
        np.testing.assert_array_equal(one.value, other.value)
        np.testing.assert_array_equal(one.variance, other.variance)
        np.testing.assert_array_equal(one.weight, other.weight)


@pytest.mark.parametrize("n", [5, 120])
def test_the_outermost_quantiles_are_the_extremes(n):
    values = jnp.asarray(np.random.default_rng(n).normal(size=(n, 4)), float)
    count = jnp.full(4, float(n))
    found = jax.jit(lambda v, c: quantiles(v, c, (0.0, 0.5, 1.0)))(values, count)
    np.testing.assert_allclose(found[0], values.min(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found[2], values.max(axis=0), rtol=1e-6)


# The soft clip.


def test_the_soft_clip_is_the_hard_one_where_the_fall_is_steep():
    with jax.enable_x64(True):
        x, v, w, good = make_columns(9)
        x = np.random.default_rng(5).standard_t(2, (9, 300))
        v, good = np.ones_like(x), np.ones(x.shape, bool)
        hard, soft = combine(
            as_samples(x, v, w, good),
            [ClippedMean(), SoftClippedMean(softness=1e-6)],
        )
        # At 40 widths from the limit a weight is off by exp(-40). This `eps` makes
        # the limit at least so far away.
        sure = [clip(column, w, 1e-6)[1] for column in x.T]
        assert np.mean(sure) > 0.9
        for part in ("value", "variance", "weight"):
            one, other = getattr(hard, part)[sure], getattr(soft, part)[sure]
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13)
        np.testing.assert_array_equal(hard.clipped[sure], soft.clipped[sure])


def test_the_soft_clip_has_the_slopes_of_finite_differences():
    with jax.enable_x64(True):
        x, v, w, good = make_columns(9)
        kinds = [0, 1, 3, 8]
        samples = as_samples(x[:, kinds], v[:, kinds], w, good[:, kinds])

        @jax.jit
        def means(sigma_clip, softness):
            statistic = SoftClippedMean(sigma_clip=sigma_clip, softness=softness)
            combined = statistic.combine(samples, statistic.settle(samples))
            return combined.value, combined.variance, combined.weight

        limits = jnp.float64(2.5), jnp.float64(0.4)
        check_grads(means, limits, order=1, modes=["rev"], rtol=1e-5, atol=1e-8)
        slopes = jax.grad(lambda *a: means(*a)[0].sum(), argnums=(0, 1))(*limits)
        assert all(abs(float(slope)) > 1e-3 for slope in slopes)


def test_the_soft_clip_takes_half_of_the_weight_at_the_limit():
    with jax.enable_x64(True):
        # One pass: the centre is the median 0 and the standard deviation 0.7413 * 2.
        x = np.array([-1.0, -1.0, 0.0, 1.0, 1.0])[:, None]
        limit = 1 / (0.741301109252802 * 2)
        samples = as_samples(x, np.ones_like(x), np.ones(5), np.ones((5, 1), bool))
        statistic = SoftClippedMean(sigma_clip=limit, softness=1e-3, clip_iter=1)
        (found,) = combine(samples, [statistic])
        np.testing.assert_allclose(found.weight, 1 + 4 * 0.5, rtol=1e-12)
