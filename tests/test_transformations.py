"""Derivatives, jit, vmap and the number of compilations; no global setting changes."""

import ast
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from jax.test_util import check_grads

import jaxcoadd
from jaxcoadd.coadds import CoaddConfig, coadd
from jaxcoadd.statistics import (
    ClippedMean,
    FromScatter,
    Mean,
    Median,
    SoftClippedMean,
    StandardDeviation,
)
from jaxcoadd.warps import Warp, stack_warps
from jaxcoadd.weights import VarianceWeights
from tests.rounding import clip
from tests.strategies import PLANES, ZERO_POINTS, both_precisions, warp_stacks

PLAIN = CoaddConfig(zero_point=ZERO_POINTS[0], interpolate=False)
WHOLE = dataclasses.replace(PLAIN, interpolate=True)

run = jax.jit(coadd)
run_bands = jax.jit(jax.vmap(coadd, in_axes=(0, None)))


def kind_of(statistic):
    return type(statistic).__name__


def with_statistic(statistic):
    return dataclasses.replace(PLAIN, statistic=statistic)


def assert_same_bits(found, wanted):
    found, wanted = jax.tree.leaves(found), jax.tree.leaves(wanted)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), strict=True)


# Derivatives.


def smooth_stack():
    """Make a stack of which no clip decision is near, with rejected pixels."""
    rng = np.random.default_rng(4)
    image = rng.normal(20, 1, (6, 2, 4))
    image[2, 0, 0] = 90
    weights = rng.uniform(0.5, 2, 6)
    for column in image.reshape(6, -1).T:
        assert clip(column, weights, 1e-5)[1]
    image[3, 1, 1] = np.nan
    mask = np.zeros(image.shape, np.uint32)
    mask[4, 0, 2] = PLANES.bits(["BAD"])
    zero_points = 27 + rng.uniform(-1, 1, 6)
    scale = 10 ** ((zero_points - 27) / 2.5)[:, None, None]
    variance = rng.gamma(4.0, 0.25, image.shape) * scale**2
    warps = [
        Warp(i, v, m, zero_point=z)
        for i, v, m, z in zip(image * scale, variance, mask, zero_points, strict=True)
    ]
    return stack_warps(warps, weights=weights)


LEAVES = ("image", "variance", "weight", "zero_point")


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        with_statistic(Mean()),
        with_statistic(ClippedMean()),
        with_statistic(ClippedMean(error=FromScatter())),
        with_statistic(SoftClippedMean()),
        with_statistic(Median()),
        with_statistic(StandardDeviation()),
        dataclasses.replace(PLAIN, weighting=VarianceWeights()),
    ],
    ids=["Mean", "ClippedMean", "scatter", "Soft", "Median", "Deviation", "1/variance"],
)
def test_derivatives_of_the_coadd_are_those_of_finite_differences(config, monkeypatch):
    # Rounded to 32 bits, weights go in steps; their derivative is that of the way.
    monkeypatch.setattr("jaxcoadd.weights._as_stored", lambda weights: weights)
    with jax.enable_x64(True):
        stack = smooth_stack()

        @jax.jit
        def outputs(leaves, statistic, zero_point):
            own = dataclasses.replace(
                config, statistic=statistic, zero_point=zero_point
            )
            found = coadd(dataclasses.replace(stack, **leaves), own)
            return found.image, found.variance

        leaves = {name: getattr(stack, name) for name in LEAVES}
        statistic = jax.tree.map(jnp.float64, config.statistic)
        arguments = (leaves, statistic, jnp.float64(27.0))
        # Differences over 2e-7 are off by its square times third derivatives (1e8 of
        # the soft clip, whose fall is steep), and by eps / 2e-7 of the values.
        check_grads(
            outputs, arguments, order=1, modes=["rev"], eps=2e-7, rtol=1e-6, atol=1e-6
        )


def test_the_slope_of_a_clipped_mean_is_the_share_of_the_weight(precision):
    values, weights = [1.0, 2.0, 2.5, 3.0, 90.0], np.array([1.0, 2.0, 1.0, 4.0, 3.0])
    warps = [Warp([[x]], [[1.0]], zero_point=ZERO_POINTS[0]) for x in values]
    stack = stack_warps(warps, weights=weights)

    def mean(image):
        return coadd(dataclasses.replace(stack, image=image), PLAIN).image[0, 0]

    slopes = jax.jit(jax.grad(mean))(stack.image)[:, 0, 0]
    eps = float(jnp.finfo(slopes.dtype).eps)
    np.testing.assert_allclose(slopes[:4], weights[:4] / 8, rtol=4 * eps)
    assert slopes[4] == 0


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([5.0, 1.0, 3.0], [0, 0, 1]),
        ([5.0, 1.0, 3.0, 4.0], [0, 0, 0.5, 0.5]),
        ([5.0, 3.0, 3.0, 1.0, np.nan], [0, 0.5, 0.5, 0, 0]),
    ],
    ids=["odd", "even", "equal"],
)
def test_the_slope_of_a_median_is_shared_by_the_central_values(values, wanted):
    warps = [Warp([[x]], [[1.0]], zero_point=ZERO_POINTS[0]) for x in values]
    stack = stack_warps(warps, weights=[1.0] * len(values))
    config = with_statistic(Median())

    def median(image):
        return coadd(dataclasses.replace(stack, image=image), config).image[0, 0]

    slopes = jax.jit(jax.grad(median))(stack.image)[:, 0, 0]
    np.testing.assert_array_equal(slopes, wanted)


@jax.jit
def slopes_of_all_finite_pixels(leaves, stack, config):
    def total(leaves):
        found = coadd(dataclasses.replace(stack, **leaves), config)
        planes = (found.image, found.variance)
        return sum(jnp.where(jnp.isfinite(a), a, 0).sum() for a in planes)

    return jax.grad(total)(leaves)


def assert_rejected_pixels_have_no_slope(stack, config, names):
    leaves = {name: getattr(stack, name) for name in names}
    slopes = slopes_of_all_finite_pixels(leaves, stack, config)
    bad = np.uint32(PLANES.bits(PLAIN.bad_planes))
    rejected = (np.asarray(stack.mask) & bad) != 0
    rejected |= ~np.isfinite(stack.image) | ~np.asarray(stack.present)[:, None, None]
    for name, slope in slopes.items():
        assert np.isfinite(slope).all(), name
    for name in ("image", "variance"):
        np.testing.assert_array_equal(slopes[name][rejected], 0, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("statistic", [ClippedMean(), Median()], ids=kind_of)
@both_precisions
@given(stack=warp_stacks(rejected=(0.6,), levels=(100.0,)))
def test_rejected_pixels_have_no_slope_and_leave_those_of_others_finite(
    precision, statistic, stack
):
    assert_rejected_pixels_have_no_slope(stack, with_statistic(statistic), LEAVES)


@pytest.mark.slow
@pytest.mark.parametrize("statistic", [SoftClippedMean(), Mean()], ids=kind_of)
@given(stack=warp_stacks(rejected=(0.6,), levels=(100.0,)))
def test_so_it_is_for_other_means(statistic, stack):
    assert_rejected_pixels_have_no_slope(stack, with_statistic(statistic), LEAVES)


@pytest.mark.slow
@given(stack=warp_stacks(rejected=(0.6,), levels=(100.0,)))
def test_slopes_of_a_whole_run_are_finite(stack):
    assert_rejected_pixels_have_no_slope(stack, WHOLE, LEAVES)


# jit and vmap.


@pytest.mark.slow
@pytest.mark.parametrize("statistic", [ClippedMean(), Median()], ids=kind_of)
@settings(both_precisions, max_examples=3)  # without jit each one compiles anew
@given(stack=warp_stacks())
def test_jit_equals_eager(precision, statistic, stack):
    config = with_statistic(statistic)
    assert_same_bits(run(stack, config), coadd(stack, config))


@pytest.mark.slow
@pytest.mark.parametrize("config", [PLAIN, WHOLE], ids=["plain", "whole"])
@both_precisions
@given(one=warp_stacks(absent=0), other=warp_stacks(absent=1))
def test_vmap_over_bands_equals_a_loop(precision, config, one, other):
    bands = jax.tree.map(lambda *leaves: jnp.stack(leaves), one, other)
    found = run_bands(bands, config)
    for index, band in enumerate((one, other)):
        wanted = run(band, config)
        assert_same_bits(jax.tree.map(lambda a, i=index: a[i], found), wanted)


# Compilations.


def test_numbers_share_a_compilation_and_static_choices_do_not():
    traces = []

    @jax.jit
    def counted(stack, config):
        traces.append(config)
        return coadd(stack, config)

    stack = stack_warps([Warp([[x]], [[1.0]]) for x in (1.0, 2.0)], weights=[1.0, 1.0])
    for number in (1.5, 3.0, 4.0):
        config = CoaddConfig(
            statistic=ClippedMean(sigma_clip=number),
            zero_point=number + 25,
            mask_thresholds={"SAT": number / 10},
            interpolate=False,
        )
        counted(stack, config)
    assert len(traces) == 1
    counted(stack, dataclasses.replace(config, statistic=ClippedMean(3.0, clip_iter=3)))
    assert len(traces) == 2


def test_depths_up_to_a_size_share_a_compilation():
    traces = []

    @jax.jit
    def counted(stack):
        traces.append(stack)
        return coadd(stack, with_statistic(Mean()))

    for depth in (1, 3, 4):
        warps = [Warp([[1.0]], [[1.0]])] * depth
        counted(stack_warps(warps, weights=[1.0] * depth, size=4))
    assert len(traces) == 1


# Settings and imports.


def run_python(code):
    """Run code in a new process; it prints JSON."""
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return json.loads(found.stdout)


def test_importing_the_package_loads_nothing():
    loaded = run_python(
        "import json, sys, jaxcoadd\nprint(json.dumps(sorted(sys.modules)))"
    )
    assert {"jax", "numpy", "astropy", "matplotlib", "equinox"}.isdisjoint(loaded)


@pytest.mark.slow
def test_the_core_loads_no_astropy_and_changes_no_setting():
    before, after, loaded = run_python(
        "import json, sys, jax\n"
        "before = {k: repr(v) for k, v in jax.config.values.items()}\n"
        "from jaxcoadd import Coadd, ClippedMean, coadd, shard_pixels, stack_warps\n"
        "coadd(stack_warps([__import__('jaxcoadd').Warp([[1.0]], [[1.0]])]))\n"
        "after = {k: repr(v) for k, v in jax.config.values.items()}\n"
        "print(json.dumps([before, after, sorted(sys.modules)]))"
    )
    assert after == before
    assert {"astropy", "matplotlib", "rich"}.isdisjoint(loaded)


def test_every_name_of_the_package_resolves():
    stub = Path(jaxcoadd.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    names = {
        alias.asname
        for node in ast.walk(ast.parse(stub))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert names == set(jaxcoadd.__all__)
    for name in names:
        assert getattr(jaxcoadd, name) is not None


def test_donated_stacks_leave_the_arrays_of_their_warps_alone():
    # JAX may take over memory of NumPy that is aligned; large arrays are.
    rng = np.random.default_rng(0)
    planes = [rng.uniform(1, 2, (64, 64)).astype(np.float32) for _ in range(10)]
    before = [plane.copy() for plane in planes]
    warps = [Warp(a, b) for a, b in zip(planes[:5], planes[5:], strict=True)]
    stack = stack_warps(warps)
    stack = dataclasses.replace(stack, weight=jnp.ones(len(stack.image)))

    def loss(image, stack):
        return coadd(dataclasses.replace(stack, image=image)).image.sum()

    # The gradient takes the memory of the image.
    slope = jax.jit(jax.grad(loss), donate_argnums=0)(stack.image, stack)
    assert stack.image.is_deleted()
    np.testing.assert_allclose(slope[:5].sum(axis=0), 1, rtol=1e-5)
    for plane, same in zip(planes, before, strict=True):
        np.testing.assert_array_equal(plane, same)


@pytest.mark.slow
def test_a_rejected_variance_that_is_nan_leaves_slopes_finite():
    image = np.random.default_rng(1).normal(10, 1, (3, 2, 3)).astype(np.float32)
    variance = np.ones_like(image)
    image[1, 0, 0] = variance[1, 0, 0] = np.nan
    stack = stack_warps([Warp(a, b) for a, b in zip(image, variance, strict=True)])
    stack = dataclasses.replace(stack, weight=jnp.arange(1.0, 4.0))

    def total(weight):
        found = coadd(dataclasses.replace(stack, weight=weight), PLAIN)
        return found.image.sum() + found.variance.sum()

    slope = jax.jit(jax.grad(total))(stack.weight)
    assert np.isfinite(slope).all() and (slope != 0).all()
