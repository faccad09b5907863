import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcoadd.artifacts import (
    COMPARE_WARP,
    ConstantOffset,
    PlaneOffset,
    SplineOffset,
    compare_warp,
    match_backgrounds,
    remarks,
    sky_offset,
    subtract_static_sky,
)
from jaxcoadd.coadds import Coadd
from jaxcoadd.masks import LSST_PLANES
from jaxcoadd.warps import Warp, stack_warps

pytestmark = pytest.mark.slow

SHAPE = (48, 52)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
BAD = np.uint32(LSST_PLANES.bits(["BAD"]))
DETECTED = np.uint32(LSST_PLANES.bits(["DETECTED"]))
MODELS = (ConstantOffset(), PlaneOffset(12), SplineOffset(12))
TILT = 3.0 + 0.2 * Y - 0.1 * X
BEND = TILT + 4 * np.sin(X / 15)


def draw(seed, noise=1.0):
    """Draw a star in noise."""
    star = 3000 * np.exp(-((X - 30) ** 2 + (Y - 36) ** 2) / 4.5)
    return star + noise * np.random.default_rng(seed).normal(size=SHAPE)


def make_warp(image, mask=None, zero_point=27.0):
    ones = jnp.ones(SHAPE, jnp.float32)
    image = jnp.asarray(image, jnp.float32)
    return Warp(image, ones, mask, zero_point=zero_point)


def make_reference(image, zero_point=27.0):
    image = jnp.asarray(image, jnp.float32)
    return Coadd(
        image=image,
        variance=jnp.full(SHAPE, 1e-4, jnp.float32),
        mask=jnp.zeros(SHAPE, jnp.uint32),
        n_image=jnp.ones(SHAPE, jnp.int32),
        weight=jnp.ones(SHAPE, jnp.float32),
        planes=LSST_PLANES,
        zero_point=zero_point,
    )


def measure(model, image, reference, mask=None):
    mask = jnp.zeros(SHAPE, jnp.uint32) if mask is None else jnp.asarray(mask)
    return sky_offset(
        jnp.asarray(image, jnp.float32),
        mask,
        jnp.asarray(reference, jnp.float32),
        planes=LSST_PLANES,
        model=model,
    )


# Numbers of up to 3000 have steps of 2.4e-4 in 32 bits; a difference has two of them.
ROUNDING = 5e-4


@pytest.mark.parametrize(
    ("model", "shape"),
    [(ConstantOffset(), np.full(SHAPE, 7.0)), (PlaneOffset(12), TILT)],
)
def test_an_offset_of_its_own_kind_is_found_whatever_the_sky(model, shape):
    sky = draw(0)
    found = measure(model, sky + shape, sky)
    np.testing.assert_allclose(found, shape, atol=ROUNDING)


def test_a_spline_follows_what_bends():
    sky = draw(0)
    found = np.asarray(measure(SplineOffset(6), sky + BEND, sky))
    # Akima's curve through cells of h pixels is off by some h^2 |f''| / 8.
    assert np.abs(found - BEND).max() < 6**2 * 4 / 15**2 / 8 + ROUNDING
    worse = np.asarray(measure(PlaneOffset(6), sky + BEND, sky))
    assert np.abs(worse - BEND).max() > 1


def clipped_mean(values):
    low, centre, high = np.percentile(values, [25, 50, 75])
    sigma = 0.741301109252802 * (high - low)
    for _ in range(3):
        kept = values[np.abs(values - centre) <= 3 * sigma]
        centre, sigma = kept.mean(), kept.std(ddof=1)
    return centre


@pytest.mark.parametrize("seed", range(3))
def test_a_plane_is_that_of_the_reference(seed):
    rng = np.random.default_rng(seed)
    difference = TILT + rng.normal(size=SHAPE)
    difference[10:14, 20:30] += 100
    where = rng.random(SHAPE) > 0.3
    # Columns come in cells of 13 pixels, so that all cells are of one size.
    mask = np.where(where, np.uint32(0), BAD)
    found = measure(PlaneOffset(13), difference, np.zeros(SHAPE), mask)
    expected = fit_plane_in_cells(difference.astype(np.float32), where)
    # Means of some hundred values of up to 110: their rounding, in 32 bits.
    np.testing.assert_allclose(found, expected, atol=1e-4)


def fit_plane_in_cells(difference, where):
    """Fit a plane in cells of 12 x 13 pixels."""
    rows, values, weights = [], [], []
    for y in range(0, 48, 12):
        for x in range(0, 52, 13):
            cell = np.s_[y : y + 12, x : x + 13]
            kept = difference[cell][where[cell]].astype(np.float64)
            values.append(clipped_mean(kept))
            weights.append(len(kept))
            rows.append([1, y + 5.5, x + 6])
    root = np.sqrt(weights)
    fit = np.linalg.lstsq(np.array(rows) * root[:, None], values * root, rcond=None)[0]
    return fit[0] + fit[1] * Y + fit[2] * X


@pytest.mark.parametrize("model", MODELS)
def test_what_is_masked_or_no_number_does_not_count(model):
    sky = draw(0)
    clean = np.asarray(measure(model, sky + TILT, sky))
    mask = np.zeros(SHAPE, np.uint32)
    mask[5:9, 5:9] = BAD
    spoilt = sky + TILT
    spoilt[5:9, 5:9] = 1e6
    masked = np.asarray(measure(model, spoilt, sky, mask))
    missing = np.asarray(measure(model, np.where(mask, np.nan, spoilt), sky))
    np.testing.assert_array_equal(masked, missing)
    # A fifth of one cell's pixels is gone, and its mean moves by a slope times that.
    assert np.abs(masked - clean).max() < 1


@pytest.mark.parametrize("model", MODELS)
def test_an_offset_of_nothing_is_not_known(model):
    everything = np.full(SHAPE, BAD)
    assert np.isnan(measure(model, draw(0), draw(1), everything)).all()


@pytest.mark.parametrize("model", MODELS[:2])
def test_offsets_have_slopes_and_are_the_same_compiled(model):
    sky, reference = (jnp.asarray(draw(n), jnp.float32) for n in range(2))
    mask = jnp.zeros(SHAPE, jnp.uint32)

    def mean(image):
        return sky_offset(
            image, mask, reference, planes=LSST_PLANES, model=model
        ).mean()

    np.testing.assert_allclose(jax.jit(mean)(sky), mean(sky), rtol=1e-5)
    # What all pixels gain, the mean gains.
    slopes = jax.grad(mean)(sky)
    np.testing.assert_allclose(slopes.sum(), 1, rtol=1e-4)


@pytest.mark.parametrize("zero_point", [27.0, 25.5])
def test_warps_are_brought_to_the_background_of_the_reference(zero_point):
    sky = draw(0, noise=0)
    factor = 10 ** (0.4 * (zero_point - 27.0))
    warps = [
        make_warp((sky + offset) * factor, zero_point=zero_point)
        for offset in (0 * TILT, TILT, -2 * TILT)
    ]
    stack = stack_warps(warps, size=4)
    matched = match_backgrounds(stack, make_reference(sky), model=PlaneOffset(12))
    for image in matched.image[:3]:
        np.testing.assert_allclose(image, sky * factor, atol=2 * ROUNDING)
    np.testing.assert_array_equal(matched.image[3], stack.image[3])
    np.testing.assert_array_equal(matched.zero_point, stack.zero_point)


def test_a_warp_without_background_stays_as_it_is():
    warp = make_warp(draw(0), np.full(SHAPE, BAD))
    stack = stack_warps([warp, make_warp(draw(1))])
    matched = match_backgrounds(stack, make_reference(draw(2)), model=MODELS[0])
    np.testing.assert_array_equal(matched.image[0], warp.image)


def test_a_reference_of_another_shape_is_refused():
    stack = stack_warps([make_warp(draw(0))])
    small = dataclasses.replace(
        make_reference(draw(1)), image=jnp.zeros((4, 4), jnp.float32)
    )
    with pytest.raises(ValueError, match="the warps have shape"):
        match_backgrounds(stack, small, model=MODELS[0])


@pytest.mark.parametrize("kind", [PlaneOffset, SplineOffset])
def test_cells_have_pixels(kind):
    with pytest.raises(ValueError, match="bin_size must be 1 or more, not 0"):
        kind(0)


@pytest.mark.slow
def test_backgrounds_that_differ_hide_no_artifact_and_make_none():
    images = [draw(n) for n in range(6)]
    images[2][20:23, 5:41] += 60
    tilts = [0.5 * (n - 2.5) * TILT for n in range(6)]
    flat = [make_warp(image) for image in images]
    tilted = [make_warp(image + t) for image, t in zip(images, tilts, strict=True)]
    # The quartiles of a slope are those of much noise, which would hide what it does.
    config = dataclasses.replace(COMPARE_WARP, variance_scale=None)
    matching = dataclasses.replace(config, background=PlaneOffset(12))

    def clipped(warps, config):
        found = compare_warp(stack_warps(warps), warps, sigma=1.5, config=config)
        return [len(parts) for parts in found.artifacts.clipped], found

    expected, _ = clipped(flat, config)
    assert expected == [0, 0, 1, 0, 0, 0]
    unmatched, _ = clipped(tilted, config)
    assert unmatched != expected
    counts, found = clipped(tilted, matching)
    assert counts == expected
    levels = [c.background for c in found.artifacts.candidates if c]
    steps = np.diff(levels)
    np.testing.assert_allclose(steps, 0.5 * TILT.mean(), atol=0.2)


def test_a_background_that_cannot_be_matched_is_said():
    reference = make_reference(draw(0))
    hopeless = make_warp(draw(1), np.full(SHAPE, DETECTED))
    config = dataclasses.replace(
        COMPARE_WARP, variance_scale=None, background=PlaneOffset(12)
    )
    difference = subtract_static_sky(hopeless, reference, sigma=1.5, config=config)
    assert np.isnan(difference.background)
    np.testing.assert_array_equal(difference.image, hopeless.image - reference.image)
    warps = [make_warp(draw(n)) for n in range(3)] + [hopeless]
    found = compare_warp(stack_warps(warps), warps, sigma=1.5, config=config)
    assert remarks(found.artifacts)[0] == (
        "the background of warp 3 could not be matched, as all its pixels are masked"
    )
