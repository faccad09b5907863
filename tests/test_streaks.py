"""Streaks: edges, the kernel Hough transform, the fit of the profile, and masks."""

import builtins
import operator
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from jaxcoadd.masks import LSST_PLANES, MaskPlanes
from jaxcoadd.streaks import (
    StreakConfig,
    StreakPixels,
    find_streaks,
    fit_profile,
    lines_of_edges,
    moffat_profile,
)
from jaxcoadd.streaks.bands import band_of_line
from jaxcoadd.streaks.chains import (
    link_edges,
    square_step,
    straight_pieces,
    straight_step,
)
from jaxcoadd.streaks.clusters import cluster_lines
from jaxcoadd.streaks.edges import canny_edges, detected_edges
from jaxcoadd.streaks.line_search import minimize_along
from jaxcoadd.streaks.profiles import _slopes, _total_chi2

pytestmark = pytest.mark.slow

SHAPE = (240, 260)
STREAK = 1 << LSST_PLANES.bit("STREAK")
DETECTED = 1 << LSST_PLANES.bit("DETECTED")
THRESHOLD = 7.5

ANGLES = st.floats(0, 179.99) | st.sampled_from([0.0, 0.05, 45.0, 90.0, 135.0, 179.95])
# Every such line is more than 160 pixels long in the image, as the defaults need.
OFFSETS = st.floats(-60, 60)


def distances(rho, theta, shape=SHAPE):
    """Return the distance of every pixel from a line."""
    y, x = np.indices(shape)
    angle = np.deg2rad(theta)
    dy, dx = y - shape[0] / 2, x - shape[1] / 2
    return dx * np.cos(angle) + dy * np.sin(angle) - rho


def draw_trails(trails, *, seed=0, shape=SHAPE):
    """Draw noise of scatter 1 with trails (rho, theta, sigma, amplitude)."""
    image = np.random.default_rng(seed).normal(0, 1, shape)
    for rho, theta, sigma, amplitude in trails:
        across = distances(rho, theta, shape) / sigma
        image += amplitude * (1 + across**2) ** -2.5
    return image.astype(np.float32)


def detect(image):
    """Return a mask of what is above the threshold, grown by a pixel."""
    detected = ndimage.binary_dilation(np.abs(image) >= THRESHOLD)
    return np.where(detected, np.uint32(DETECTED), np.uint32(0))


def find(image, mask=None, **options):
    mask = detect(image) if mask is None else mask
    return find_streaks(image, np.ones_like(image), mask, **options)


def is_streak(streaks):
    return (streaks.mask & np.uint32(STREAK)) != 0


def difference(line, rho, theta):
    """Return how far two lines are apart, seen from the same side."""
    turns = round((line[1] - theta) / 180)
    return line[0] - (-1) ** turns * rho, line[1] - theta - 180 * turns


@pytest.mark.slow
@given(
    rho=OFFSETS,
    theta=ANGLES,
    sigma=st.floats(1.2, 4),
    amplitude=st.floats(20, 100),
    sign=st.sampled_from([-1, 1]),
)
def test_a_trail_is_found_where_it_is_and_masked_whole(
    rho, theta, sigma, amplitude, sign
):
    image = draw_trails([(rho, theta, sigma, sign * amplitude)])
    streaks = find(image)
    assert len(streaks.lines) == 1
    shift, turn = difference(streaks.lines[0], rho, theta)
    # The scatter of the fit is below 0.01 pixels and 0.01 degrees at 20 sigma.
    assert abs(shift) < 0.05
    assert abs(turn) < 0.05
    assert streaks.lines[0, 2] == pytest.approx(sigma, rel=0.1)
    across = distances(rho, theta)
    bright = amplitude * (1 + (across / sigma) ** 2) ** -2.5 > THRESHOLD + 4
    assert np.all(is_streak(streaks)[bright])
    assert not np.any(is_streak(streaks)[np.abs(across) > 5.5 * sigma])


@given(seed=st.integers(0, 10**6))
def test_an_image_without_trails_has_none(seed):
    draw = np.random.default_rng(seed)
    image = draw_trails([], seed=seed)
    y, x = np.indices(SHAPE)
    for _ in range(20):
        centre = draw.uniform(0, SHAPE[0]), draw.uniform(0, SHAPE[1])
        radius = np.hypot(y - centre[0], x - centre[1])
        image += 200 * draw.choice([-1, 1]) * np.exp(-((radius / 4) ** 2))
    mask = detect(image)
    streaks = find(image, mask)
    assert streaks.lines.shape == (0, 3)
    np.testing.assert_array_equal(streaks.mask, mask)


@pytest.mark.slow
@given(
    theta=ANGLES,
    between=st.floats(15, 165),
    rhos=st.tuples(st.floats(-40, 40), st.floats(-40, 40)),
)
def test_two_crossing_trails_are_both_found(theta, between, rhos):
    other = (theta + between) % 180
    # Of each edge a piece of more than 160 pixels is left on a side of the crossing.
    trails = [(rhos[0], theta, 2.0, 60.0), (rhos[1], other, 2.5, -50.0)]
    image = draw_trails(trails, shape=(520, 540))
    lines = find(image).lines
    assert len(lines) == 2
    for rho, angle in ((rhos[0], theta), (rhos[1], other)):
        offsets = np.abs([difference(line, rho, angle) for line in lines])
        # The other trail is rejected from the fit in bins of 5 pixels only.
        assert np.any(np.all(offsets < (0.05, 0.05), axis=1))


@given(rho=OFFSETS, theta=ANGLES)
def test_turned_image_has_the_turned_line(rho, theta):
    image = draw_trails([(rho, theta, 2.0, 60.0)])
    line, turned = find(image).lines, find(np.rot90(image).copy()).lines
    assert len(line) == len(turned) == 1
    # A quarter turn brings (x, y) to (y, -1 - x), counted from half the size, which
    # is no symmetric place.
    expected = (line[0, 0] + np.cos(np.deg2rad(line[0, 1])), line[0, 1] - 90)
    shift, turn = difference(turned[0], *expected)
    assert abs(shift) < 0.02
    assert abs(turn) < 0.02


def test_worked_example_of_one_line(precision):
    # Line at rho 150, angle 45, sigma 3, recovered to two places.
    shape = (500, 500)
    across = distances(150, 45, shape)
    image = (20 * (1 + (across / 3) ** 2) ** -2.5).astype(f"float{precision}")
    mask = np.where(image > 1, np.uint32(DETECTED), np.uint32(0))
    streaks = find(image, mask)
    assert streaks.lines.dtype == np.float64
    np.testing.assert_allclose(streaks.lines, [[150, 45, 3]], rtol=0, atol=5e-3)
    np.testing.assert_array_equal(is_streak(streaks), (image > 1) & (across**2 < 225))


def test_nothing_detected_gives_no_lines_and_the_mask_as_it_was():
    image = draw_trails([(0, 30, 2, 60)])
    streaks = find(image, np.full(SHAPE, 3, np.uint32))
    assert streaks.lines.shape == (0, 3)
    assert np.all(streaks.mask == 3)
    assert not np.any(canny_edges(np.zeros(SHAPE, bool)))


def test_mask_is_not_limited_to_detected_pixels_if_asked():
    image = draw_trails([(10, 30, 3, 60)])
    config = StreakConfig(only_mask_detected=False, max_streak_width=12)
    streaks = find(image, config=config)
    across = distances(*streaks.lines[0, :2])
    np.testing.assert_array_equal(is_streak(streaks), np.abs(across) < 6)


def test_mask_ends_where_the_streak_is_fainter_than_the_threshold():
    image = draw_trails([(10, 30, 3, 60)])
    config = StreakConfig(only_mask_detected=False, footprint_threshold=10)
    across = np.abs(distances(10, 30))
    # 60 (1 + (d / 3)**2)**-2.5 = 10
    limit = 3 * (6**0.4 - 1) ** 0.5
    found = is_streak(find(image, config=config))
    assert np.all(found[across < limit - 0.1])
    assert not np.any(found[across > limit + 0.1])


def test_bad_pixels_do_not_count_whatever_they_hold():
    image = draw_trails([(10, 30, 2, 60)])
    mask = detect(image)
    bad = np.random.default_rng(0).random(SHAPE) < 0.02
    bad[:, 100] = True
    noisy = np.where(bad, np.float32(np.nan), image)
    streaks = find(noisy, mask)
    clean = find(np.where(bad, 1e6, image), mask | np.where(bad, 1, 0).astype("u4"))
    assert len(streaks.lines) == 1
    assert not np.any(is_streak(streaks)[bad])
    # Edges beside bad pixels are dropped: single ones among them end the chains.
    assert len(clean.lines) in (0, 1)
    for line in clean.lines:
        np.testing.assert_allclose(line, streaks.lines[0], atol=0.02)


def test_saturated_stars_hide_what_is_near_them():
    image = draw_trails([(10, 30, 2, 60)])
    mask = detect(image)
    mask[5, 5] |= 2 | DETECTED
    mask[8, 8] |= 2
    mask[8, 8] &= ~np.uint32(DETECTED)
    assert not len(find(image, mask, config=StreakConfig(saturated_dilation=400)).lines)
    assert len(find(image, mask, config=StreakConfig(saturated_dilation=5)).lines) == 1


def test_edges_stay_away_from_bad_and_saturated_pixels():
    mask = np.zeros((40, 40), np.uint32)
    mask[10:30, 10:30] = DETECTED
    edges = detected_edges(mask, LSST_PLANES, StreakConfig())
    assert edges.sum() > 60
    spoilt = mask.copy()
    spoilt[20, 9] |= 1
    found = detected_edges(spoilt, LSST_PLANES, StreakConfig())
    cross = ndimage.binary_dilation(spoilt == 1) & edges
    np.testing.assert_array_equal(found, edges & ~cross)
    spoilt = mask.copy()
    spoilt[12, 12] |= 2
    config = StreakConfig(saturated_dilation=5, bad_planes=())
    found = detected_edges(spoilt, LSST_PLANES, config)
    y, x = np.indices(mask.shape)
    near = (y - 12) ** 2 + (x - 12) ** 2 <= 25
    np.testing.assert_array_equal(found, edges & ~near)


@given(theta=ANGLES, rho=OFFSETS)
def test_straight_edge_votes_for_its_line(theta, rho):
    region = distances(rho, theta) > 0
    lines = lines_of_edges(canny_edges(region), StreakConfig())
    assert len(lines) == 1
    shift, turn = difference(lines[0], rho, theta)
    # The edge is within a pixel of the line; votes are in steps of 0.2.
    assert abs(shift) < 1.5
    assert abs(turn) < 0.5


def test_short_edges_have_too_few_votes():
    # A height of 5 a pixel and degree takes n**2 / (2 pi 4 sqrt(12) 57.3) pixels.
    for length, number in ((150, 0), (170, 1)):
        edges = np.zeros((200, 200), bool)
        edges[100, 10 : 10 + length] = True
        assert len(lines_of_edges(edges, StreakConfig())) == number


@pytest.mark.parametrize("follower", [square_step, straight_step])
def test_chain_goes_on_in_both_directions(follower):
    edges = np.zeros((30, 30), bool)
    edges[5, 10:25] = edges[5 + np.arange(10), 10 - np.arange(10)] = True
    edges[28, 28] = True
    (chain,) = link_edges(edges, follower, minimum_size=10)
    assert len(chain) == 24
    assert np.all(np.abs(np.diff(chain, axis=0)).max(axis=1) == 1)
    assert {tuple(chain[0]), tuple(chain[-1])} == {(14, 1), (5, 24)}
    assert link_edges(edges, follower, minimum_size=25) == []


def test_straight_step_does_not_turn_back_where_an_edge_is_wide():
    edges = np.zeros((20, 100), bool)
    edges[11, 5:95] = edges[10, 40:60] = True
    (chain,) = link_edges(edges, straight_step, minimum_size=50)
    assert np.all(np.diff(chain[:, 1]) == np.sign(chain[-1, 1] - chain[0, 1]))
    assert len(chain) == 90
    (chain,) = link_edges(edges, square_step, minimum_size=50)
    assert len(np.unique(chain[:, 1])) < 60


def test_bent_chain_is_cut_at_the_bend():
    steps = np.arange(60)
    sides = [steps, 0 * steps], [0 * steps[1:] + 59, steps[1:]]
    chain = np.concatenate([np.stack(side, axis=1) for side in sides])
    limits = {"minimum_deviation": 2.0}
    pieces = straight_pieces(chain, minimum_size=50, **limits)
    assert [len(piece) for piece in pieces] == [60, 60]
    assert len(straight_pieces(chain, minimum_size=70, **limits)) == 1
    assert len(straight_pieces(chain[:60], minimum_size=10, **limits)) == 1


def test_lines_cluster_by_their_scatter():
    lines = np.array([[10.0, 20], [30, 21], [12, 20.5], [300, 20], [310, 20.5]])
    found = cluster_lines(lines, rho_bin=40, theta_bin=2)
    np.testing.assert_allclose(found, [[52 / 3, 20.5], [305, 20.25]])
    assert len(cluster_lines(lines, rho_bin=1000, theta_bin=2)) == 1
    assert len(cluster_lines(lines, rho_bin=0.1, theta_bin=2)) == 5
    assert cluster_lines(lines[:0], rho_bin=1, theta_bin=1).shape == (0, 2)


@given(rho=st.floats(-200, 200), theta=ANGLES, half_width=st.floats(0.5, 30))
def test_band_is_all_pixels_near_a_line(rho, theta, half_width):
    band = band_of_line(SHAPE, rho, theta, half_width=half_width)
    found = np.zeros(SHAPE, int)
    np.add.at(found, (band.y, band.x), 1)
    across = distances(rho, theta)
    np.testing.assert_array_equal(found, np.abs(across) < half_width)
    np.testing.assert_allclose(band.across, across[band.y, band.x], atol=1e-10)


@pytest.mark.parametrize("minimum", [-3.0, 0.02, 0.6, 1.0, 7.0, 400.0])
def test_line_search_finds_the_minimum_on_either_side(minimum, precision):
    dtype = jnp.dtype(f"float{precision}")
    curves = (
        lambda x: (x - minimum) ** 2,
        lambda x: -jnp.exp(-(((x - minimum) / (1 + abs(minimum))) ** 2)),
    )
    for curve in curves:
        place, value, found = minimize_along(curve, dtype, tolerance=0.01)
        assert found
        assert place.dtype == dtype
        assert abs(place - minimum) <= 0.04 * abs(minimum) + 0.002
        assert value == curve(place)


def test_line_search_says_where_there_is_no_minimum():
    for curve in (lambda x: -x, lambda x: x * jnp.nan):
        assert not minimize_along(curve, jnp.dtype("float32"), tolerance=0.05)[2]


def draw_pixels(seed, *, dtype="float32", rho=30.0):
    """Draw pixels near a line: 32 bins of up to 128 pixels with a streak."""
    draw = np.random.default_rng(seed)
    across = draw.uniform(-30, 30, (32, 128))
    along = np.arange(-80, 80, 5)[:, None] + draw.uniform(0, 5, across.shape)
    image = 30 * (1 + ((across - 0.5 - 0.01 * along) / 2.5) ** 2) ** -2.5
    image += draw.normal(0, 1, across.shape)
    weight = draw.uniform(0.5, 1.5, across.shape) * (draw.random(across.shape) < 0.9)
    planes = (across, along, image, weight)
    return StreakPixels(
        *(jnp.asarray(p, dtype) for p in planes), jnp.asarray(rho, dtype)
    )


def start(pixels):
    return jnp.ones(len(pixels.image), bool), jnp.asarray(0.1, pixels.image.dtype)


@pytest.mark.slow
@given(seed=st.integers(0, 99), turn=st.floats(-0.05, 0.05), width=st.floats(1, 10))
def test_slopes_are_those_of_chi2(seed, turn, width):
    with jax.enable_x64(True):
        pixels = draw_pixels(seed, dtype="float64")
        kept = jnp.arange(len(pixels.image)) % 5 != 0
        shape = jnp.array([0.3, turn, 1 / width])
        gradient, hessian = _slopes(shape, pixels, kept)
        expected = jax.grad(_total_chi2)(shape, pixels, kept)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-9 * scale)
        expected = jax.hessian(_total_chi2)(shape, pixels, kept)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(hessian, expected, rtol=1e-9, atol=1e-9 * scale)


@given(seed=st.integers(0, 99))
def test_fit_finds_what_was_drawn_in_both_precisions(seed):
    fits = []
    for bits in (32, 64):
        with jax.enable_x64(bits == 64):
            pixels = draw_pixels(seed, dtype=f"float{bits}")
            fit = jax.jit(fit_profile)(pixels, *start(pixels))
            assert fit.converged
            assert fit.shape.dtype == f"float{bits}"
            shift, turn, inverse = np.asarray(fit.shape, float)
            # A turn about the foot of the perpendicular: the line moves as it turns.
            assert shift == pytest.approx(0.5 - 30 * (1 - np.cos(turn)), abs=0.15)
            assert turn == pytest.approx(-0.01, abs=0.004)
            assert 1 / abs(inverse) == pytest.approx(2.5, abs=0.3)
            assert fit.amplitude == pytest.approx(30, abs=3)
            fits.append(np.array([shift, 100 * turn, inverse]))
    # A change of 0.1 in chi2 is a third of a standard deviation.
    np.testing.assert_allclose(*fits, rtol=0, atol=0.02)


@pytest.mark.slow
def test_jit_and_vmap_give_what_eager_gives(precision):
    dtype = f"float{precision}"
    many = [draw_pixels(seed, dtype=dtype) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *many)
    kept, inverse = start(many[0])
    mapped = jax.vmap(lambda pixels: fit_profile(pixels, kept, inverse))(stacked)
    for index, pixels in enumerate(many):
        eager = fit_profile(pixels, kept, inverse)
        compiled = jax.jit(fit_profile)(pixels, kept, inverse)
        for fit in (compiled, jax.tree.map(operator.itemgetter(index), mapped)):
            assert fit.converged
            np.testing.assert_array_equal(fit.kept, eager.kept)
            atol = 1e-9 if precision == 64 else 0.01
            np.testing.assert_allclose(fit.shape, eager.shape, rtol=0, atol=atol)


def test_outliers_are_rejected_by_bins():
    pixels = draw_pixels(3)
    star = jnp.zeros_like(pixels.image).at[7].set(500)
    spoilt = StreakPixels(
        pixels.across, pixels.along, pixels.image + star, pixels.weight, pixels.rho
    )
    kept, inverse = start(pixels)
    fit = jax.jit(fit_profile)(spoilt, kept, inverse)
    without = jax.jit(fit_profile)(pixels, kept.at[7].set(False), inverse)
    assert not fit.kept[7]
    assert fit.converged
    np.testing.assert_allclose(fit.shape, without.shape, atol=0.02)


@pytest.mark.slow
def test_fit_gives_up_and_says_so():
    pixels = draw_pixels(0)
    kept, inverse = start(pixels)
    assert not fit_profile(pixels, kept & False, inverse).converged
    assert not fit_profile(pixels, kept, inverse, max_iterations=1).converged
    assert not fit_profile(pixels, kept, inverse, max_rho=20.0).converged
    blank = jax.tree.map(jnp.zeros_like, pixels)
    assert not fit_profile(blank, kept, inverse).converged


def test_profile_is_that_of_moffat(precision):
    distance = jnp.linspace(-8, 8, 101, dtype=f"float{precision}")
    expected = (1 + np.asarray(distance, float) ** 2) ** -2.5
    rounding = 12 * float(jnp.finfo(distance.dtype).eps)
    np.testing.assert_allclose(moffat_profile(distance), expected, rtol=rounding)


# Input that cannot be right.


def test_images_of_different_shape_are_refused():
    image = np.ones((20, 20), np.float32)
    mask = np.zeros((20, 20), np.uint32)
    with pytest.raises(ValueError, match=r"variance has shape \(20, 21\)"):
        find_streaks(image, np.ones((20, 21), np.float32), mask)
    with pytest.raises(ValueError, match=r"mask has shape \(19, 20\)"):
        find_streaks(image, image, mask[1:])
    with pytest.raises(ValueError, match="must be two-dimensional"):
        find_streaks(image[0], image[0], mask[0])


@pytest.mark.parametrize("missing", ["DETECTED", "STREAK"])
def test_planes_that_are_missing_are_named(missing):
    planes = MaskPlanes(tuple({"BAD", "DETECTED", "STREAK"} - {missing}))
    image = np.ones((20, 20), np.float32)
    with pytest.raises(ValueError, match=f"no mask plane '{missing}'; the planes are"):
        find_streaks(image, image, image.astype(np.uint32), planes=planes)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"delta": 0.0}, "delta is above 0, not 0.0"),
        ({"inverse_width": -0.1}, "inverse_width is above 0, not -0.1"),
        ({"max_streak_width": -1.0}, "max_streak_width is 0 or more, not -1.0"),
        ({"saturated_dilation": np.nan}, "saturated_dilation is 0 or more, not nan"),
    ],
)
def test_numbers_without_meaning_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        StreakConfig(**options)


def test_library_that_is_missing_is_named(monkeypatch):
    original = builtins.__import__

    def without_skimage(name, *rest, **options):
        if name.startswith("skimage"):
            raise ImportError(name)
        return original(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without_skimage)
    with pytest.raises(ImportError, match=r"pip install 'jaxcoadd\[streaks\]'"):
        find(draw_trails([(0, 30, 2, 60)]))
