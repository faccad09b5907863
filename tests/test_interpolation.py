"""Interpolation over missing pixels, along rows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxcoadd import reference
from jaxcoadd.interpolation import (
    fallback_value,
    interpolate_over,
    interpolate_planes,
)

interpolate = jax.jit(interpolate_over, static_argnames="use_fallback_at_edge")
fallback = jax.jit(fallback_value, static_argnames=("kind", "negative_allowed"))

SHAPES = st.sampled_from([(6, 9), (6, 40)])
SEEDS = st.integers(0, 10**6)


def draw_missing(seed, shape):
    """Draw rows of runs, short and long ones, some of them one pixel apart."""
    draw = np.random.default_rng(seed)
    rows, columns = shape
    stays_missing = draw.choice([0.3, 0.6, 0.9, 0.97], rows)
    stays_good = draw.choice([0.1, 0.4, 0.8], rows)
    where = np.zeros(shape, bool)
    state = draw.random(rows) < 0.5
    for column in range(columns):
        where[:, column] = state
        stays = draw.random(rows) < np.where(state, stays_missing, stays_good)
        state = np.where(stays, state, ~state)
    return where


def draw_image(seed, shape):
    return np.random.default_rng(seed).normal(5, 10, shape).astype(np.float32)


def fill_row(values, where, **options):
    """Interpolate over one row, given as a list and the missing columns."""
    image = np.asarray(values, float)[None]
    missing = np.isin(np.arange(image.shape[1]), where)[None]
    return np.asarray(interpolate(jnp.asarray(image), where=missing, **options))[0]


# Weights as LSST has them: pattern, width, and one column for each missing pixel.
PRINTED = """
#.# 1: 0.5000,0.5000
#.# 3: 0.8430,0.1570 | 0.5000,0.5000 | 0.1570,0.8430
#.# 5: 0.8885,0.1115 | 0.6748,0.3252 | 0.5000,0.5000 | 0.3252,0.6748 | 0.1115,0.8885
#.## 1: 0.4875,0.8959,-0.3834
#.## 2: 0.7538,0.5680,-0.3218 | 0.3095,1.2132,-0.5227
#.## 4: 0.8779,0.0945,0.0276 | 0.6327,0.3779,-0.0106 | 0.4006,0.8914,-0.2920 | \
0.1757,1.3403,-0.5160
##.# 1: -0.3834,0.8959,0.4875
##.# 2: -0.5227,1.2132,0.3095 | -0.3218,0.5680,0.7538
##.## 1: -0.2737,0.7737,0.7737,-0.2737
##.## 2: -0.4793,1.1904,0.5212,-0.2323 | -0.2323,0.5212,1.1904,-0.4793
##.## 3: -0.5230,1.3163,0.2536,-0.0469 | -0.3144,0.8144,0.8144,-0.3144 | \
-0.0469,0.2536,1.3163,-0.5230
##.## 6: -0.5177,1.3400,0.0891,0.0886 | -0.2771,0.9095,0.1878,0.1797 | \
0.0677,0.4614,0.2725,0.1984 | 0.1984,0.2725,0.4614,0.0677 | \
0.1797,0.1878,0.9095,-0.2771 | 0.0886,0.0891,1.3400,-0.5177
#.## 13: 0.8829,0.0585,0.0585 | 0.6654,0.1673,0.1673 | 0.5265,0.2367,0.2367 | \
0.4804,0.2598,0.2598 | 0.4718,0.2641,0.2641 | 0.4708,0.2646,0.2646 | \
0.4707,0.2646,0.2646 | 0.4707,0.2649,0.2644 | 0.4702,0.2690,0.2608 | \
0.4654,0.3044,0.2303 | 0.4380,0.4778,0.0842 | 0.3455,0.9206,-0.2661 | \
0.1673,1.3452,-0.5125
#.# 11: 0.8894,0.1106 | 0.6839,0.3161 | 0.5527,0.4473 | 0.5092,0.4908 | \
0.5010,0.4990 | 0.4999,0.5001 | 0.4990,0.5010 | 0.4908,0.5092 | 0.4473,0.5527 | \
0.3161,0.6839 | 0.1106,0.8894
"""


def printed_weights():
    for line in PRINTED.strip().splitlines():
        name, weights = line.split(":")
        pattern, width = name.split()
        table = [[float(w) for w in k.split(",")] for k in weights.split("|")]
        yield pattern, int(width), np.array(table)


@pytest.mark.parametrize("pattern, width, weights", list(printed_weights()))
def test_weights_of_two_sided_runs_are_the_printed_ones(pattern, width, weights):
    left, right = pattern.split(".")
    # Beyond a single good pixel there is another missing one.
    start = 6
    missing = [*range(start, start + width)]
    missing += [start - 2] * (left == "#") + [start + width + 1] * (right == "#")
    offsets = [*range(start - len(left), start)]
    offsets += [start + width + i for i in range(len(right))]
    for offset, expected in zip(offsets, weights.T, strict=True):
        with jax.enable_x64(True):
            found = fill_row(np.arange(26) == offset, missing)
        assert found[start : start + width].tolist() == expected.tolist()


@pytest.mark.parametrize("width", [1, 4, 10, 12])
def test_weights_of_runs_at_an_edge_are_the_printed_ones(width):
    near = [1.4288, 1.0933, 0.6968, 0.5370, 0.5041, 0.5003] + [0.5] * 6
    far = [-0.4288, -0.0933, 0.3032, 0.4630, 0.4959, 0.4997] + [0.5] * 6
    options = {"use_fallback_at_edge": False}
    for distance, expected in enumerate((near, far)):
        impulse = np.arange(16) == width + distance
        with jax.enable_x64(True):
            left = fill_row(impulse, range(width), **options)
            right = fill_row(impulse[::-1], range(16 - width, 16), **options)
        assert left[:width][::-1].tolist() == expected[:width]
        assert right[16 - width :].tolist() == expected[:width]


@pytest.mark.parametrize("use_fallback_at_edge", [True, False])
@given(seed=SEEDS, shape=SHAPES, broken=st.sampled_from([0.0, np.nan, np.inf]))
def test_result_is_that_of_the_reference(seed, shape, broken, use_fallback_at_edge):
    where, image = draw_missing(seed, shape), draw_image(seed, shape)
    if broken:
        image[np.random.default_rng(seed).random(shape) < 0.1] = broken
    options = {"fallback": 2.5, "use_fallback_at_edge": use_fallback_at_edge}
    expected = reference.interpolate_over(image, where, **options)
    with jax.enable_x64(True):
        wide = jnp.asarray(image.astype(float))
        found = np.asarray(interpolate(wide, where=where, **options), np.float32)
    # Both round to float32, from sums that may differ in the last bit of float64.
    np.testing.assert_array_max_ulp(
        found[np.isfinite(found)], expected[np.isfinite(found)], 1
    )
    np.testing.assert_array_equal(
        found[~np.isfinite(found)], expected[~np.isfinite(found)]
    )


@given(seed=SEEDS, shape=SHAPES)
def test_good_pixels_stay_as_they_are_bit_for_bit(seed, shape):
    where, image = draw_missing(seed, shape), draw_image(seed, shape)
    image[0, :3] = [np.nan, -0.0, np.inf]
    found = np.asarray(interpolate(image, where=where, fallback=1.0))
    assert found[~where].tobytes() == image[~where].tobytes()


@given(seed=SEEDS, shape=SHAPES, level=st.floats(0, 1e4, width=32))
def test_constant_is_restored_to_the_rounding_of_the_weights(seed, shape, level):
    where = draw_missing(seed, shape)
    image = np.where(where, np.nan, np.float32(level))
    found = interpolate(image, where=where, fallback=level, use_fallback_at_edge=False)
    # Four weights, each rounded by 0.00005 at most; where one of the points is such
    # a prediction itself, half of that comes on top.
    np.testing.assert_allclose(found, level, rtol=1.5 * 4 * 5e-5)


@given(seed=SEEDS, shape=SHAPES)
def test_rows_do_not_know_of_each_other(seed, shape):
    where, image = draw_missing(seed, shape), draw_image(seed, shape)
    order = np.random.default_rng(seed).permutation(shape[0])
    found = interpolate(image, where=where)
    shuffled = interpolate(image[order], where=where[order])
    np.testing.assert_array_equal(np.asarray(found)[order], shuffled)


@given(seed=SEEDS, shape=SHAPES, content=st.sampled_from([np.nan, np.inf, -1e30, 7.0]))
def test_content_of_missing_pixels_does_not_matter(seed, shape, content):
    where, image = draw_missing(seed, shape), draw_image(seed, shape)
    # No run starts in the second column: see the next test.
    where[:, 1] &= where[:, 0]
    found = interpolate(image, where=where)
    other = interpolate(np.where(where, np.float32(content), image), where=where)
    np.testing.assert_array_equal(found, other)


@pytest.mark.parametrize(
    "content, expected", [(9.0, 0.4875 + 3 * 0.8959 - 9 * 0.3834), (np.nan, 2.0)]
)
def test_run_in_the_second_column_reads_a_missing_pixel(content, expected):
    with jax.enable_x64(True):
        found = fill_row([1, 0, 3, content, 3, 3, 3, 3, 3], [1, 3])
    assert found[1] == pytest.approx(expected, rel=1e-15)
    # A wide run does not.
    values = np.full(20, 3.0)
    values[14] = content
    found = fill_row(values, [*range(1, 13), 14])
    assert found[1:13] == pytest.approx(np.full(12, 3.0), rel=1e-3)


def test_run_at_the_right_edge_reads_what_the_run_before_it_was_filled_with():
    with jax.enable_x64(True):
        found = fill_row([4, 4, 4, 99, 8, 99], [3, 5])
    filled = np.float32(-0.3834 * 4 + 0.8959 * 4 + 0.4875 * 8)
    assert found[3] == pytest.approx(filled, rel=1e-7)
    assert found[5] == pytest.approx(1.4288 * 8 - 0.4288 * float(filled), rel=1e-15)


def test_neighbour_that_is_not_a_number_gives_way_to_the_nearest_ones(precision):
    nan = np.nan
    assert fill_row([1, nan, 2, 0, 4, 5, 6], [3])[3] == 3
    assert fill_row([1, -np.inf, 2, 0, 4, 5, 6], [3])[3] != 3
    assert fill_row([0, 3, nan, 5, 6, 7, 8], [0])[0] == 3
    assert fill_row([8, 7, 6, 5, nan, 3, 0], [6])[6] == 3
    # Plateaus without an outer left point keep the NaN; the six pixels at an end do
    # not. The others have two good neighbours.
    row = np.full(24, 2.0)
    row[19] = nan
    found = fill_row(row, range(2, 18))
    assert np.all(found[2:18] == 2)
    found = fill_row(row, [1, *range(3, 18)])
    assert np.all(np.isnan(found[9:12]))
    assert np.all(found[[*range(3, 9), *range(12, 18)]] == 2)


# Cases that pin the rules.


def test_two_missing_pixels_between_single_good_ones_are_not_negative(precision):
    assert fill_row(np.full(12, -1.0), [3, 5, 6, 8])[5:7].tolist() == [0, 0]
    assert fill_row(np.full(12, -1.0), [3, 5, 7])[5] == -1
    assert fill_row(np.full(12, -1.0), [3, 5, 6, 7, 9])[5:8].tolist() == [-1] * 3


@pytest.mark.parametrize(
    "length, expected",
    [
        # Fallback, then 0.5177 + 2 (0.0891 + 0.0886), the first with -1 for L2.
        (7, [0.0, 0.8731]),
        (8, [0.0, 0.0, 0.3554]),
    ],
)
def test_long_run_at_an_edge_tapers_from_the_fallback(length, expected, precision):
    left = fill_row(np.full(20, 2.0), range(length))
    right = fill_row(np.full(20, 2.0), range(20 - length, 20))
    rounding = 5 * float(np.finfo(left.dtype).eps)
    assert left[: len(expected)] == pytest.approx(expected, rel=rounding)
    np.testing.assert_allclose(left, right[::-1], rtol=rounding)


@pytest.mark.slow
@pytest.mark.parametrize("use_fallback_at_edge", [True, False])
def test_row_without_good_pixels_takes_the_fallback(use_fallback_at_edge, precision):
    options = {"fallback": 5.0, "use_fallback_at_edge": use_fallback_at_edge}
    fill = jax.jit(functools.partial(interpolate_planes, **options))
    for columns in (1, 7, 10, 11):
        plane = np.full((3, columns), np.nan)
        image, variance = fill((plane, plane), where=np.isnan(plane))
        assert np.all(image == 5)
        assert np.all(variance == 5)


def test_outer_pixel_beyond_a_short_row_counts_as_the_fallback():
    with jax.enable_x64(True):
        found = fill_row([2.0, 0, 0, 4.0], [1, 2], fallback=10.0)
    expected = [0.7538 * 2 + 0.5680 * 4 - 0.3218 * 10]
    expected += [0.3095 * 2 + 1.2132 * 4 - 0.5227 * 10]
    assert found[1:3] == pytest.approx(expected, rel=1e-14)


def test_wide_run_with_one_good_pixel_at_its_end_copies_it():
    for first, edge in ((0, False), (1, False), (1, True)):
        row = np.full(14, 3.0)
        row[13] = 8
        found = fill_row(row, range(first, 13), use_fallback_at_edge=edge)
        assert np.all(found[first:] == 8)


def edge_case_image():
    draw = np.random.default_rng(7)
    image = draw.uniform(-1, 1, (30, 80)).astype(np.float32)
    where = np.zeros(image.shape, bool)
    where[:, [*range(10), *range(70, 80)]] = True
    image[where] = 10
    beside = np.zeros(image.shape, bool)
    beside[:10, [11, 12, 13, 66, 67, 68]] = True
    image[beside] = 100
    return image, where | beside


def test_defects_at_the_edges_are_filled_within_the_range_of_the_image():
    image, where = edge_case_image()
    found = np.asarray(interpolate(image, where=where, use_fallback_at_edge=False))
    assert np.all(np.abs(found) < 2)
    assert found[:, 1].mean() != 0
    for level in (0.0, 12.0):
        found = np.asarray(interpolate(image, where=where, fallback=level))
        assert np.all(np.abs(found) <= max(2, 2 * level))
        assert found[:, 1].mean() == pytest.approx(level, abs=1e-6)


@pytest.mark.parametrize("transposed", [False, True])
def test_single_missing_line_of_a_constant_is_restored(transposed, precision):
    image = np.full((123, 45), 123.45, np.float32).astype(f"float{precision}")
    where = np.zeros(image.shape, bool)
    where[60] = True
    broken = np.where(where, 10 * image, image)
    if transposed:
        found = np.asarray(interpolate(broken.T, where=where.T).T)
        # In 64 bits exact once rounded; in 32 bits weights and products are rounded.
        ulps = 0 if precision == 64 else 4
        np.testing.assert_array_max_ulp(
            found.astype(np.float32), image.astype(np.float32), ulps
        )
    else:
        # Along rows nothing is left to interpolate from.
        assert np.all(interpolate(broken, where=where, fallback=1.0)[60] == 1)


def test_transposed_image_is_filled_along_columns():
    where, image = draw_missing(8, (25, 6)), draw_image(8, (25, 6))
    found = np.asarray(interpolate(image.T, where=where.T).T)
    for column in range(6):
        alone = interpolate(image[:, column][None], where=where[:, column][None])
        np.testing.assert_array_equal(found[:, column], alone[0])


@pytest.mark.parametrize("width", range(20))
def test_any_width_at_the_edges_stays_within_the_range(width):
    draw = np.random.default_rng(width)
    image = draw.uniform(-1, 1, (30, 80)).astype(np.float32)
    where = np.zeros(image.shape, bool)
    where[:, :width] = where[:, 80 - width :] = True
    image[where] = 10
    beside = [*range(width + 1, width + 4), *range(76 - width, 79 - width)]
    where[:10, beside] = True
    image[:10, beside] = 100
    where[27, :39] = where[28, :40] = where[27:29, 41:] = where[29] = True
    where[13, :-1] = where[14, 1:] = True
    found = np.asarray(interpolate(image, where=where))
    assert np.all(np.abs(found) < 2)


def test_overlapping_defects_full_of_infinities_become_finite(precision):
    image = np.full((110, 110), 100, f"float{precision}")
    where = np.zeros(image.shape, bool)
    where[:, [50, 55, 58]] = True
    where[51:100, 51:60] = True
    for content in (np.inf, np.nan):
        found = interpolate(np.where(where, content, image), where=where)
        assert np.isfinite(found[51, 56])
        assert np.isfinite(found).all()


# Transformations.


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_jit_gives_what_eager_gives(seed):
    where, image = draw_missing(seed, (6, 24)), draw_image(seed, (6, 24))
    eager = interpolate_over(jnp.asarray(image), where=jnp.asarray(where))
    found = interpolate(image, where=where)
    # Sums of four products below 2.5 * 60, perhaps by fused operations.
    np.testing.assert_allclose(found, eager, rtol=0, atol=4 * 150 * 2.0**-24)


def test_vmap_gives_what_a_loop_gives(precision):
    where = np.stack([draw_missing(seed, (6, 24)) for seed in range(4)])
    where[3] = False
    images = np.stack([draw_image(seed, (6, 24)) for seed in range(4)])
    images = images.astype(f"float{precision}")
    mapped = jax.jit(jax.vmap(lambda i, w: interpolate_over(i, where=w)))
    rounding = 4 * 150 * float(np.finfo(images.dtype).eps)
    for regions in (where, np.broadcast_to(where[0], where.shape)):
        loop = [interpolate(i, where=w) for i, w in zip(images, regions, strict=True)]
        found = mapped(images, regions)
        np.testing.assert_allclose(found, np.stack(loop), rtol=0, atol=rounding)


@pytest.mark.slow
@pytest.mark.parametrize("use_fallback_at_edge", [True, False])
def test_gradient_is_the_slope(use_fallback_at_edge):
    where, image = draw_missing(11, (12, 24)), draw_image(11, (12, 24))
    assert where[:, 0].any() and where[:, -1].any()
    options = {"where": where, "use_fallback_at_edge": use_fallback_at_edge}
    with jax.enable_x64(True):
        check_grads(
            lambda image, level: interpolate(image, fallback=level, **options),
            (jnp.asarray(image.astype(float)), jnp.asarray(3.0)),
            order=1,
            # The result is linear; one point of some runs is rounded to float32.
            eps=1.0,
            atol=1e-4,
            rtol=1e-6,
        )


@pytest.mark.slow
@pytest.mark.parametrize("content", [np.nan, np.inf, -np.inf])
def test_missing_pixels_do_not_poison_the_gradient(content, precision):
    where, image = draw_missing(12, (12, 24)), draw_image(12, (12, 24))

    @jax.jit
    @jax.grad
    def slope(image, where, power):
        return jnp.sum(interpolate(image, where=where, fallback=1.0) ** power)

    def gradient_of(power):
        broken = np.where(where, content, image).astype(f"float{precision}")
        return np.asarray(slope(broken, where, power))

    assert np.all(np.isfinite(gradient_of(1.0)))
    # Runs in the second column may read a missing pixel, and be infinite.
    where[:, 1] &= where[:, 0]
    gradient = gradient_of(2.0)
    assert np.all(np.isfinite(gradient))
    assert np.all(gradient[where] == 0)
    assert np.all(gradient[~where] != 0)


def test_planes_share_weights_and_fallback(precision):
    where = draw_missing(13, (6, 24))
    image = draw_image(13, (6, 24)).astype(f"float{precision}")
    function = functools.partial(interpolate_planes, fallback=2.0)
    found = jax.jit(function)((image, image + 1), where=where)
    rounding = 4 * 150 * float(np.finfo(image.dtype).eps)
    for plane, result in zip((image, image + 1), found, strict=True):
        alone = interpolate(plane, where=where, fallback=2.0)
        np.testing.assert_allclose(result, alone, rtol=0, atol=rounding)


def test_planes_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 3\) and where has \(3, 2\)"):
        interpolate_over(jnp.ones((2, 3)), where=jnp.full((3, 2), True))


# The fallback value.

FEW = np.array([[1.0, np.nan, 3.0], [8.0, np.inf, -np.inf]])


@pytest.mark.parametrize(
    "kind, expected", [("MEDIAN", 3.0), ("MEAN", 4.0), ("MEANCLIP", 4.0), ("USER", 7.0)]
)
def test_fallback_is_a_statistic_of_the_finite_pixels(kind, expected, precision):
    few = jnp.asarray(FEW, f"float{precision}")
    value = fallback(few, kind=kind, user_value=7.0)
    assert value.dtype == few.dtype
    assert float(value) == pytest.approx(
        expected, rel=4 * float(jnp.finfo(few.dtype).eps)
    )
    if kind != "USER":
        assert fallback(-few, kind=kind, user_value=7.0) == 0
        assert fallback(-few, kind=kind, negative_allowed=True) == -value
        nothing = jnp.full_like(few, np.nan)
        assert np.isnan(fallback(nothing, kind=kind, user_value=7.0))


@given(seed=SEEDS)
def test_clipped_fallback_is_that_of_the_reference(seed):
    image = draw_image(seed, (12, 15)).astype(float)
    image[0, :3] = [1e4, np.nan, np.inf]
    expected = reference.fallback_value(image, "MEANCLIP", negative_allowed=True)
    with jax.enable_x64(True):
        found = fallback(image, kind="MEANCLIP", negative_allowed=True)
    # 177 deviations of up to 60, added in another order.
    assert float(found) == pytest.approx(expected, abs=177 * 60 * 2.0**-53)


def test_user_value_may_be_negative_only_where_that_is_allowed():
    few = jnp.asarray(FEW)
    with pytest.raises(ValueError, match=r"user_value is -1\.0, which may not be neg"):
        fallback_value(few, kind="USER", user_value=-1.0)
    options = {"kind": "USER", "negative_allowed": True}
    assert fallback_value(few, user_value=-1.0, **options) == -1
    assert fallback_value(few, kind="USER", user_value=jnp.asarray(-1.0)) == 0


def test_unknown_kind_names_those_that_exist():
    with pytest.raises(ValueError, match=r"no fallback value 'MODE'.*'MEANCLIP'"):
        fallback_value(jnp.asarray(FEW), kind="MODE")
