"""The coadd: what cannot matter, what the masks say, the executable specification."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jaxcoadd import reference
from jaxcoadd.coadds import CoaddConfig, coadd, coadd_planes, stack_and_count
from jaxcoadd.statistics import (
    ClippedMean,
    FromScatter,
    Mean,
    Median,
    Minimum,
    Mosaic,
    SoftClippedMean,
    UsedCount,
)
from jaxcoadd.warps import Warp, stack_warps
from jaxcoadd.weights import EqualWeights, VarianceWeights
from tests.replay.statistics import BY_NAME
from tests.replay.ulps import assert_close
from tests.rounding import stack_bounds
from tests.strategies import PLANES, WARPS, ZERO_POINTS, both_precisions, warp_stacks

PLAIN = CoaddConfig(zero_point=ZERO_POINTS[0], interpolate=False)
WHOLE = dataclasses.replace(PLAIN, interpolate=True)
ANY_STATISTIC = [ClippedMean(), SoftClippedMean(), Mean(), Median()]

run = jax.jit(coadd)


def with_statistic(statistic, config=PLAIN):
    return dataclasses.replace(config, statistic=statistic)


def kind_of(statistic):
    return type(statistic).__name__


def assert_same_bits(found, wanted):
    """Compare whole coadds; NaN is equal to NaN."""
    found, wanted = jax.tree.leaves(found), jax.tree.leaves(wanted)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), strict=True)


# What the reference makes of a stack, and how far rounding may be from it.


def scaled_planes(stack):
    """Bring a stack to the first zero point in 64 bits."""
    images, variances, zero_points = (
        np.asarray(a, np.float64)
        for a in (stack.image, stack.variance, stack.zero_point)
    )
    factor = 10 ** (-0.4 * (zero_points - ZERO_POINTS[0]))[:, None, None]
    return images * factor, variances * factor**2


def good_pixels(stack, config=PLAIN):
    bits = np.uint32(stack.planes.bits(config.bad_planes))
    good = np.isfinite(stack.image) & ((np.asarray(stack.mask) & bits) == 0)
    return good & np.asarray(stack.present)[:, None, None]


def bounds_of(stack, name, weights, error="variance"):
    """Apply `stack_bounds` to a stack before it is scaled."""
    images, variances = scaled_planes(stack)
    weights = np.asarray(weights, np.float64)
    is_scaled = np.any(stack.present & (stack.zero_point != ZERO_POINTS[0]))
    return stack_bounds(
        name,
        images,
        variances,
        np.broadcast_to(weights[:, None, None], images.shape),
        good_pixels(stack),
        float(jnp.finfo(stack.image.dtype).eps),
        # A power of ten is off by a few eps in either, and less than 1.6 / eps more
        # for the rounding of its exponent. An exponent of 0 is exact.
        scaling=16 if is_scaled else 0,
        error=error,
    )


def reference_coadd(stack, name, **options):
    return reference.coadd(
        *(np.asarray(a) for a in (stack.image, stack.variance, stack.mask)),
        plane_bits={n: i for i, n in enumerate(coadd_planes(stack.planes).names) if n},
        zero_points=np.asarray(stack.zero_point),
        zero_point=ZERO_POINTS[0],
        statistic=name,
        present=np.asarray(stack.present),
        **options,
    )


def assert_within_rounding(found, wanted, bounds):
    """Compare coadds; masks and weights where rounding cannot change the choice."""
    sure, image_off, variance_off = bounds
    # A variance that is 0 but for rounding may be NaN, and sets NO_DATA or does not.
    decided = (variance_off == 0) | (np.abs(wanted.variance) > variance_off)
    decided &= sure
    assert_close(
        found.image,
        wanted.image,
        allowed=image_off,
        where=sure & np.isfinite(image_off),
        label="image",
    )
    assert_close(
        found.variance,
        wanted.variance,
        allowed=variance_off,
        where=decided & np.isfinite(variance_off),
        label="variance",
    )
    np.testing.assert_array_equal(found.mask[decided], wanted.mask[decided])
    np.testing.assert_array_equal(found.n_image, wanted.n_image)
    # A sum of positive weights is off by an eps a term, and by those of its unit.
    eps = float(jnp.finfo(found.weight.dtype).eps)
    np.testing.assert_allclose(
        found.weight[sure], wanted.weight[sure], rtol=(WARPS + 4) * eps
    )


# What cannot matter.


@both_precisions
@given(stack=warp_stacks(), seed=st.integers(0, 99))
def test_order_of_warps_does_not_matter(precision, stack, seed):
    order = np.random.default_rng(seed).permutation(WARPS)
    shuffled = jax.tree.map(lambda leaf: leaf[order], stack)
    sure, *off = bounds_of(stack, "MEANCLIP", stack.weight)
    bounds = (sure, *(2 * a for a in off))
    assert_within_rounding(run(shuffled, PLAIN), run(stack, PLAIN), bounds)


@both_precisions
@given(stack=warp_stacks(), power=st.integers(-60, 60))
def test_weights_times_a_power_of_two_change_the_weight_alone(precision, stack, power):
    factor = 2.0**power
    heavier = dataclasses.replace(stack, weight=stack.weight * factor)
    found, wanted = run(heavier, PLAIN), run(stack, PLAIN)
    assert_same_bits(found, dataclasses.replace(wanted, weight=wanted.weight * factor))


@both_precisions
@given(stack=warp_stacks(), factor=st.floats(1e-6, 1e6))
def test_weights_times_any_factor_change_the_weight_alone(precision, stack, factor):
    heavier = dataclasses.replace(stack, weight=stack.weight * factor)
    found, wanted = run(heavier, PLAIN), run(stack, PLAIN)
    found = dataclasses.replace(found, weight=found.weight / factor)
    sure, image_off, variance_off = bounds_of(stack, "MEANCLIP", stack.weight)
    # The weights themselves are off by an eps, which moves the mean as a sum does.
    assert_within_rounding(found, wanted, (sure, 2 * image_off, 2 * variance_off))


@both_precisions
@given(stack=warp_stacks(), power=st.integers(-20, 20))
def test_flux_scales_the_image_and_squares_in_the_variance(precision, stack, power):
    factor = 2.0**power
    brighter = dataclasses.replace(
        stack, image=stack.image * factor, variance=stack.variance * factor**2
    )
    wanted = run(stack, PLAIN)
    assert_same_bits(
        run(brighter, PLAIN),
        dataclasses.replace(
            wanted, image=wanted.image * factor, variance=wanted.variance * factor**2
        ),
    )


@both_precisions
@given(stack=warp_stacks())
def test_zero_point_of_the_coadd_scales_its_flux(precision, stack):
    fainter = dataclasses.replace(PLAIN, zero_point=ZERO_POINTS[0] + 2.5)
    found, wanted = run(stack, fainter), run(stack, PLAIN)
    np.testing.assert_array_equal(found.zero_point, ZERO_POINTS[0] + 2.5)
    sure, image_off, variance_off = bounds_of(stack, "MEANCLIP", stack.weight)
    eps = float(jnp.finfo(stack.image.dtype).eps)
    # Now the factor of every warp is rounded: as in `bounds_of`, if not there yet.
    image_off += 32 * eps * np.abs(np.nan_to_num(wanted.image)).max()
    variance_off += 64 * eps * np.nan_to_num(wanted.variance)
    assert_close(found.image / 10, wanted.image, allowed=2 * image_off, where=sure)
    assert_close(
        found.variance / 100, wanted.variance, allowed=2 * variance_off, where=sure
    )


@pytest.mark.parametrize("statistic", ANY_STATISTIC, ids=kind_of)
def test_one_warp_is_itself(precision, statistic):
    rng = np.random.default_rng(1)
    image = jnp.asarray(rng.normal(100, 20, (4, 5)).astype(np.float32), float)
    variance = jnp.asarray(rng.gamma(3.0, 1.0, (4, 5)), float)
    stack = stack_warps([Warp(image, variance)], weights=[0.37])
    found = run(stack, with_statistic(statistic))
    found = run(stack, dataclasses.replace(with_statistic(statistic), zero_point=31.4))
    np.testing.assert_array_equal(found.image, image)
    np.testing.assert_array_equal(found.mask, 0)
    if not isinstance(statistic, Median):
        eps = float(jnp.finfo(image.dtype).eps)
        np.testing.assert_allclose(found.variance, variance, rtol=4 * eps)


@pytest.mark.parametrize("statistic", ANY_STATISTIC, ids=kind_of)
@both_precisions
@given(
    stack=warp_stacks(rejected=(0.6,)),
    odd=st.sampled_from([0.0, -1e30, np.nan, np.inf, -np.inf]),
)
def test_masked_pixels_cannot_matter(precision, statistic, stack, odd):
    bad = (stack.mask & jnp.uint32(PLANES.bits(PLAIN.bad_planes))) != 0
    changed = dataclasses.replace(
        stack,
        image=jnp.where(bad, odd, stack.image),
        variance=jnp.where(bad, odd, stack.variance),
    )
    config = with_statistic(statistic)
    assert_same_bits(run(changed, config), run(stack, config))


def cut_warps(stack, n):
    return jax.tree.map(lambda leaf: leaf[:n], stack)


@pytest.mark.parametrize("statistic", [ClippedMean(), Median()], ids=kind_of)
@both_precisions
@given(stack=warp_stacks(absent=2))
def test_absent_warps_change_no_bit(precision, statistic, stack):
    config = with_statistic(statistic)
    found, wanted = run(stack, config), run(cut_warps(stack, WARPS - 2), config)
    assert_same_bits(found, wanted)


@pytest.mark.slow
@both_precisions
@given(stack=warp_stacks(absent=2, weights=False))
def test_absent_warps_change_no_bit_of_a_whole_run(precision, stack):
    found, wanted = run(stack, WHOLE), run(cut_warps(stack, WARPS - 2), WHOLE)
    assert_same_bits(found, wanted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bits", "statistic"), [(32, ClippedMean()), (64, SoftClippedMean())]
)
def test_absent_warps_change_no_bit_of_deep_stacks(bits, statistic):
    with jax.enable_x64(bits == 64):
        check_deep_stacks(statistic)


def check_deep_stacks(statistic):
    rng = np.random.default_rng(2)
    ones = jnp.ones((4, 5), float)
    warps = [Warp(jnp.asarray(rng.normal(size=(4, 5)), float), ones) for _ in range(40)]
    config = with_statistic(statistic)
    weights = rng.uniform(0.5, 2.0, 40)
    found = run(stack_warps(warps, weights=weights, size=70), config)
    assert_same_bits(found, run(stack_warps(warps, weights=weights), config))


@pytest.mark.slow
@pytest.mark.parametrize(
    "where", [np.s_[3:17, :], np.s_[:, 2:25]], ids=["rows", "columns"]
)
@both_precisions
@given(stack=warp_stacks(shape=(20, 30)))
def test_subregions_are_bitwise_the_same(precision, where, stack):
    def cut(leaf):
        return leaf[(..., *where)] if leaf.ndim > 1 else leaf

    found = run(jax.tree.map(cut, stack), PLAIN)
    assert_same_bits(found, jax.tree.map(cut, run(stack, PLAIN)))


def test_results_have_the_precision_of_the_warps():
    with jax.enable_x64(True):
        ones = jnp.ones((2, 3), jnp.float32)
        found = jax.eval_shape(coadd, stack_warps([Warp(ones, ones)]))
        reals = (found.image, found.variance, found.weight, found.zero_point)
        assert {a.dtype for a in reals} == {np.dtype(np.float32)}
        assert found.mask.dtype == np.uint32
        assert found.n_image.dtype == np.int32


# What the masks say.

MEAN = Mean()
BAD_PLANES = ("NO_DATA", "BAD", "SAT", "EDGE")
EVERY_PLANE = PLANES.add("REJECTED", "INEXACT_PSF", *(f"P{i}" for i in range(13)))
HIGH_PLANES = ("HIGH29", "HIGH31")


def coadd_pixel(*inputs, statistic=MEAN, bad_planes=BAD_PLANES, **options):
    """Coadd one pixel, of (value, names of planes) an input.

    Returns the coadd and the names of the planes that are set in it.
    """
    warps = [
        Warp(
            [[value]], [[1.0]], np.uint32([[PLANES.bits(names.split())]]), planes=PLANES
        )
        for value, names in inputs
    ]
    # One size and few configurations, so that most share a compilation.
    stack = stack_warps(warps, weights=[1.0] * len(warps), size=10)
    config = CoaddConfig(
        statistic=statistic, bad_planes=bad_planes, interpolate=False, **options
    )
    found = run(stack, config)
    mask = int(found.mask[0, 0])
    names = {name for name in found.planes.used if mask >> found.planes.bit(name) & 1}
    return found, names


GOOD = (1.0, "")


@pytest.mark.parametrize(
    ("n_saturated", "names"),
    [(1, {"REJECTED", "INEXACT_PSF"}), (2, {"REJECTED", "INEXACT_PSF", "SAT"})],
)
def test_a_plane_is_set_strictly_above_its_threshold(precision, n_saturated, names):
    n_good = 10 - n_saturated
    _, found = coadd_pixel(*[GOOD] * n_good, *[(9.0, "SAT")] * n_saturated)
    assert found == names


def test_other_rejected_inputs_are_not_in_the_fraction(precision):
    # 1 of 8 + 1 is above 0.1, although 1 of 10 is not.
    inputs = [GOOD] * 8 + [(1.0, "BAD"), (1.0, "SAT")]
    assert "SAT" in coadd_pixel(*inputs)[1]


def test_a_threshold_needs_a_rejected_input_and_not_a_bad_plane():
    thresholds = {"SAT": 0.1, "CR": 0.1}
    inputs = [GOOD] * 3 + [(1.0, "CR BAD")]
    assert "CR" in coadd_pixel(*inputs, mask_thresholds=thresholds)[1]
    assert "CR" not in coadd_pixel(*inputs)[1]


@pytest.mark.parametrize(
    ("other", "names"),
    [
        ((1.0, "SAT"), {"EDGE", "SENSOR_EDGE", "REJECTED", "INEXACT_PSF", "SAT"}),
        ((np.nan, ""), {"EDGE", "SENSOR_EDGE", "INEXACT_PSF"}),
        (GOOD, {"EDGE"}),
    ],
    ids=["masked", "NaN", "none"],
)
def test_a_rejected_input_opens_the_mapping_of_all(other, names):
    _, found = coadd_pixel((1.0, "EDGE"), other, bad_planes=("SAT",))
    assert found == names


def test_without_inputs_no_data_replaces_all_but_the_mapping():
    found, names = coadd_pixel((1.0, "SAT CR"), (2.0, "EDGE DETECTED"), (np.nan, "CR"))
    assert names == {"NO_DATA", "REJECTED", "SENSOR_EDGE", "INEXACT_PSF"}
    assert np.isnan(found.image[0, 0])
    assert np.isnan(found.variance[0, 0])
    assert found.weight[0, 0] == 0
    assert found.n_image[0, 0] == 1


def test_a_clipped_input_sets_clipped_and_leaves_its_mask():
    inputs = [(x, "") for x in (1.0, 2.0, 2.0, 3.0)] + [(90.0, "CR")]
    found, names = coadd_pixel(*inputs, statistic=ClippedMean())
    assert names == {"CLIPPED", "INEXACT_PSF", "CR"}
    assert found.image[0, 0] == 2
    assert found.n_image[0, 0] == 5
    assert coadd_pixel(*inputs)[1] == {"CR"}


def test_clipped_is_kept_of_rejected_inputs():
    _, names = coadd_pixel(GOOD, (1.0, "BAD CLIPPED"))
    assert names == {"REJECTED", "CLIPPED", "INEXACT_PSF"}


@pytest.mark.parametrize("name", ["SENSOR_EDGE", "CLIPPED"])
def test_inexact_psf_follows_planes_of_the_inputs(name):
    assert coadd_pixel(GOOD, (1.0, name))[1] == {name, "INEXACT_PSF"}


def test_removed_planes_reach_nothing_but_n_image():
    found, names = coadd_pixel(
        (1.0, "SUSPECT"), (3.0, "NOT_DEBLENDED"), bad_planes=("SUSPECT",),
        remove_planes=("SUSPECT", "NOT_DEBLENDED"),
    )  # fmt: skip
    assert names == set()
    assert found.image[0, 0] == 2
    assert found.n_image[0, 0] == 1


def test_a_variance_of_zero_is_no_data():
    found, names = coadd_pixel((1.0, ""), (3.0, ""), statistic=Minimum())
    assert names == {"NO_DATA"}
    assert found.image[0, 0] == 1


@pytest.mark.parametrize("name", HIGH_PLANES)
def test_the_highest_bits_are_planes_like_all_others(name):
    assert coadd_pixel(GOOD, (1.0, name))[1] == {name}
    thresholds = dict.fromkeys(HIGH_PLANES, 0.4)
    found, names = coadd_pixel(
        GOOD, (5.0, name), bad_planes=HIGH_PLANES, mask_thresholds=thresholds
    )
    assert names == {name, "REJECTED", "INEXACT_PSF"}
    assert found.image[0, 0] == 1


@given(seed=st.integers(0, 99))
def test_every_bit_of_the_inputs_used_is_set(seed):
    # Also where the bits would be a NaN or a tiny number, taken for a float.
    bits = np.random.default_rng(seed).integers(0, 2**32, (2, 1, 40), np.uint32)
    bits &= ~np.uint32(PLANES.bits([*BAD_PLANES, "NOT_DEBLENDED"]))
    ones = np.ones((1, 40))
    warps = [Warp(ones, ones, mask, planes=EVERY_PLANE) for mask in bits]
    found = run(stack_warps(warps, weights=[1.0, 1.0]), with_statistic(MEAN))
    kept = ~np.uint32(found.planes.bits(["INEXACT_PSF"]))
    np.testing.assert_array_equal(found.mask & kept, (bits[0] | bits[1]) & kept)


@both_precisions
@given(stack=warp_stacks(weights=False))
def test_holes_are_filled_and_marked(precision, stack):
    found = run(stack, WHOLE)
    bits = found.planes.bits(["NO_DATA", "INTRP"])
    empty = ~good_pixels(stack).any(axis=0)
    np.testing.assert_array_equal((found.mask & bits) == bits, empty)
    assert np.isfinite(found.image).all()
    assert (found.variance > 0).all()


def test_an_unknown_plane_is_refused_with_the_nearest_name():
    stack = stack_warps([Warp(np.ones((1, 1)), np.ones((1, 1)))])
    for options in (
        {"bad_planes": ("SATT",)},
        {"remove_planes": ("SATT",)},
        {"mask_thresholds": {"SATT": 0.1}},
    ):
        with pytest.raises(ValueError, match=r"no mask plane 'SATT'.*mean 'SAT'\?"):
            coadd(stack, CoaddConfig(**options))


def test_a_known_plane_may_be_missing_from_the_stack():
    _, names = coadd_pixel(GOOD, bad_planes=("CROSSTALK",))
    assert names == set()


def test_interpolation_of_counts_is_refused():
    with pytest.raises(ValueError, match="interpolate=True does not go with UsedCount"):
        CoaddConfig(statistic=UsedCount())


def test_used_and_clipped_inputs_are_counted_by_warp():
    values = [[1.0, 1.0], [2.0, 2.0], [2.0, 2.0], [3.0, np.nan], [90.0, 3.0]]
    warps = [Warp([row], [[1.0, 1.0]]) for row in values]
    stack = stack_warps(warps, weights=[1.0] * 5, size=6)
    _, counts = jax.jit(stack_and_count)(stack, PLAIN)
    np.testing.assert_array_equal(counts[0], [2, 2, 2, 1, 2, 0])
    np.testing.assert_array_equal(counts[1], [0, 0, 0, 0, 1, 0])


# The executable specification.


@pytest.mark.parametrize("name", BY_NAME)
@both_precisions
@given(stack=warp_stacks())
def test_every_statistic_equals_the_reference(precision, name, stack):
    wanted = reference_coadd(
        stack, name, weights=np.asarray(stack.weight), interpolate=False
    )
    config = with_statistic(BY_NAME[name]())
    found = jax.tree.map(np.asarray, run(stack, config))
    assert_within_rounding(found, wanted, bounds_of(stack, name, stack.weight))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Mean, ClippedMean], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("error", "error_name"), [(FromScatter(), "scatter"), (Mosaic(), "mosaic")]
)
@both_precisions
@given(stack=warp_stacks())
def test_every_error_model_equals_the_reference(
    precision, kind, error, error_name, stack
):
    name = "MEAN" if kind is Mean else "MEANCLIP"
    wanted = reference_coadd(
        stack,
        name,
        weights=np.asarray(stack.weight),
        interpolate=False,
        error=error_name,
    )
    found = jax.tree.map(np.asarray, run(stack, with_statistic(kind(error=error))))
    bounds = bounds_of(stack, name, stack.weight, error_name)
    assert_within_rounding(found, wanted, bounds)


@both_precisions
@given(stack=warp_stacks())
def test_equal_weights_equal_the_reference(precision, stack):
    config = dataclasses.replace(PLAIN, weighting=EqualWeights())
    ones = np.ones(WARPS)
    wanted = reference_coadd(stack, "MEANCLIP", weights=ones, interpolate=False)
    found = jax.tree.map(np.asarray, run(stack, config))
    assert_within_rounding(found, wanted, bounds_of(stack, "MEANCLIP", ones))


@both_precisions
@given(stack=warp_stacks(zero_points=(ZERO_POINTS[:1],)))
def test_variance_weights_equal_the_reference(precision, stack):
    config = dataclasses.replace(PLAIN, weighting=VarianceWeights())
    found = jax.tree.map(np.asarray, run(stack, config))
    bad = PLANES.bits(PLAIN.bad_planes)
    wanted = reference.stack(
        np.asarray(stack.image),
        # The weights of the original have 32 bits, so the variances have to.
        np.asarray(stack.variance, np.float32),
        np.asarray(stack.mask),
        None,
        weighting="variance",
        bad_bits=bad,
        present=np.asarray(stack.present),
    )
    images, variances = scaled_planes(stack)
    sure, image_off, variance_off = stack_bounds(
        "MEANCLIP",
        images,
        variances,
        (1 / variances).astype(np.float32).astype(float),
        good_pixels(stack),
        float(jnp.finfo(stack.image.dtype).eps),
    )
    assert_close(found.image, wanted.image, allowed=image_off, where=sure)
    assert_close(found.variance, wanted.variance, allowed=variance_off, where=sure)
    eps = float(jnp.finfo(stack.image.dtype).eps)
    np.testing.assert_allclose(
        found.weight[sure], wanted.weight[sure], rtol=(WARPS + 4) * eps
    )


@both_precisions
@given(stack=warp_stacks(weights=False))
def test_a_whole_run_equals_the_reference(precision, stack):
    # Weights have 32 bits in the original; the reference has those of the pixels.
    weights = reference_coadd(stack, "MEANCLIP").weights.astype(np.float32)
    wanted = reference_coadd(stack, "MEANCLIP", weights=weights)
    sure, image_off, variance_off = bounds_of(stack, "MEANCLIP", wanted.weights)
    # What fills the holes comes from other pixels, and from the median of all.
    assume(sure.all())
    found = jax.tree.map(np.asarray, run(stack, WHOLE))
    np.testing.assert_array_equal(found.mask, wanted.mask)
    np.testing.assert_array_equal(found.n_image, wanted.n_image)
    # In 32 bits the weights are off by some eps a pixel of their plane, which moves a
    # mean like the terms of a sum. No weights of an interpolation add up to over 4.
    # A filled pixel that is read again has 32 bits, whatever is computed in.
    again = float(np.finfo(np.float32).eps)
    for name, off in (("image", image_off), ("variance", variance_off)):
        assert_close(
            getattr(found, name),
            getattr(wanted, name),
            allowed=4 * (20 * off.max() + again * np.abs(getattr(wanted, name)).max()),
            label=name,
        )
