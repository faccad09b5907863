"""From an exposure to a warp: calibrated, resampled, merged with other detectors."""

import dataclasses

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxcoadd.exposures import (
    Exposure,
    calibrate_exposure,
    draw_noise,
    merge_detectors,
    subtract_background,
    typical_variance,
    warp_exposure,
)
from jaxcoadd.masks import LSST_PLANES, MaskPlanes
from jaxcoadd.resampling import Lanczos, as_positions
from jaxcoadd.warps import Warp

SHAPE = (24, 20)
NO_DATA = LSST_PLANES.bits(["NO_DATA"])
EDGE = LSST_PLANES.bits(["EDGE"])
BAD = LSST_PLANES.bits(["BAD"])


def make_exposure(seed=0, *, planes=LSST_PLANES, zero_point=27.0):
    rng = np.random.default_rng(seed)
    return Exposure(
        rng.normal(10, 3, SHAPE),
        rng.uniform(1, 2, SHAPE),
        np.zeros(SHAPE, np.uint32),
        planes=planes,
        zero_point=zero_point,
    )


def shifted(dx, dy):
    """Return positions of a target that begins dx, dy pixels into the source."""
    rows, columns = np.mgrid[-1 : SHAPE[0], -1 : SHAPE[1]].astype(float)
    return as_positions(np.stack([rows + dy, columns + dx]))


def equal(found, wanted):
    np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))


def test_whole_pixels_move_and_the_rest_has_no_data():
    exposure = make_exposure()
    warp = warp_exposure(exposure, shifted(3, -2))
    # Lanczos-3 takes two pixels before and three after: those are at hand here.
    equal(warp.image[4:23, :14], exposure.image[2:21, 3:17])
    assert (warp.mask[:4] == NO_DATA).all() and (warp.mask[:, 15:] == NO_DATA).all()
    assert np.isnan(warp.image[:4]).all() and np.isposinf(warp.variance[:4]).all()
    assert warp.zero_point == 27.0 and warp.planes == LSST_PLANES


def test_a_pixel_that_is_not_finite_takes_all_its_kernel_to_no_data():
    exposure = make_exposure()
    image = exposure.image.at[12, 10].set(jnp.nan)
    warp = warp_exposure(dataclasses.replace(exposure, image=image), shifted(0.5, 0.5))
    lost = np.isnan(np.asarray(warp.image))
    assert lost[9:15, 7:13].all()
    equal(np.asarray(warp.mask) == NO_DATA, lost)
    assert lost.sum() == 36 + lost.size - (SHAPE[0] - 5) * (SHAPE[1] - 5)


def test_edge_grows_by_the_kernel_and_bad_by_two_pixels():
    exposure = make_exposure()
    mask = exposure.mask.at[12, 10].set(BAD | EDGE)
    warp = warp_exposure(dataclasses.replace(exposure, mask=mask), shifted(0.5, 0.5))
    inside = np.asarray(warp.mask) & ~np.uint32(NO_DATA)
    assert np.argwhere(inside & BAD).tolist() == [[11, 9], [11, 10], [12, 9], [12, 10]]
    assert (inside & EDGE).astype(bool).sum() == 36


def test_a_mask_without_edge_or_no_data_gets_no_data():
    exposure = make_exposure(planes=MaskPlanes(("BAD", "SAT")))
    warp = warp_exposure(exposure, shifted(0, 0))
    assert warp.planes.used == ("BAD", "SAT", "NO_DATA")
    assert warp.mask[0, 0] == warp.planes.bits(["NO_DATA"])


def test_backgrounds_are_taken_off_and_put_back():
    exposure = make_exposure()
    background = jnp.linspace(0, 5, SHAPE[1])[None] * jnp.ones((SHAPE[0], 1))
    background = background.astype(exposure.image.dtype)
    less = subtract_background(exposure, background)
    equal(less.image, exposure.image - background)
    equal(less.variance, exposure.variance)
    again = subtract_background(less, -background)
    # One rounding of a sum of at most 32 in each direction.
    np.testing.assert_allclose(again.image, exposure.image, atol=2 * 32 * 2.0**-24)


def test_a_background_of_another_flat_is_taken_off_in_that_flat():
    exposure = make_exposure()
    ratio, background = jnp.float32(1.25), jnp.full(SHAPE, 4, jnp.float32)
    less = subtract_background(exposure, background, ratio)
    np.testing.assert_allclose(less.image, exposure.image - 3.2, rtol=1e-6, atol=1e-5)


@hypothesis.given(zero_point=st.sampled_from([22.5, 27.0, 31.4]))
def test_calibration_scales_flux_and_variance(zero_point):
    exposure = make_exposure()
    found = calibrate_exposure(exposure, zero_point)
    factor = 10 ** (0.4 * (zero_point - 27.0))
    np.testing.assert_allclose(found.image, factor * exposure.image, rtol=1e-5)
    np.testing.assert_allclose(found.variance, factor**2 * exposure.variance, rtol=1e-5)
    assert found.zero_point == zero_point


def test_a_correction_may_vary_over_the_detector():
    exposure = make_exposure()
    field = jnp.linspace(0.9, 1.1, SHAPE[1])[None] * jnp.ones((SHAPE[0], 1))
    found = calibrate_exposure(exposure, 27.0, field.astype(exposure.image.dtype))
    np.testing.assert_allclose(found.image, field * exposure.image, rtol=1e-6)


def make_detector(seed, where, *, planes=LSST_PLANES):
    """Make a warp that has data in some columns only."""
    exposure = make_exposure(seed, planes=planes)
    empty = np.ones(SHAPE, bool)
    empty[:, where] = False
    bits = np.where(empty, planes.bits(["NO_DATA"]), planes.bits(["BAD"]))
    return Warp(
        np.where(empty, np.nan, exposure.image),
        np.where(empty, np.inf, exposure.variance),
        bits.astype(np.uint32),
        planes=planes,
    )


def test_of_two_detectors_the_last_one_wins():
    first = make_detector(1, slice(0, 12))
    last = make_detector(2, slice(8, 20))
    merged, n_good = merge_detectors([first, last])
    equal(merged.image[:, :8], first.image[:, :8])
    equal(merged.image[:, 8:], last.image[:, 8:])
    equal(merged.variance[:, 8:], last.variance[:, 8:])
    equal(n_good, [12 * 24, 12 * 24])
    turned, _ = merge_detectors([last, first])
    equal(turned.image[:, :12], first.image[:, :12])


def test_gaps_between_detectors_have_no_data():
    parts = [make_detector(1, slice(0, 5)), make_detector(2, slice(9, 20))]
    merged, _ = merge_detectors(parts)
    assert np.isnan(merged.image[:, 5:9]).all()
    assert (merged.mask[:, 5:9] == NO_DATA).all()
    assert np.isposinf(merged.variance[:, 5:9]).all()


def test_one_detector_is_itself():
    (one,) = [make_detector(1, slice(0, 12))]
    merged, _ = merge_detectors([one])
    for name in ("image", "variance", "mask"):
        equal(getattr(merged, name), getattr(one, name))


def test_planes_of_detectors_are_united_by_name():
    other = MaskPlanes(("NO_DATA", "BAD"))
    parts = [make_detector(1, slice(0, 5)), make_detector(2, slice(5, 9), planes=other)]
    merged, _ = merge_detectors(parts)
    bits = merged.planes.bits(["BAD"])
    assert (merged.mask[:, :9] == bits).all()


def test_detectors_of_different_shapes_or_none_are_refused():
    one = make_detector(1, slice(0, 5))
    other = Warp(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"have shapes \[\(24, 20\), \(2, 3\)\]"):
        merge_detectors([one, other])
    with pytest.raises(ValueError, match="there is no warp to merge"):
        merge_detectors([])


def test_planes_of_an_exposure_must_fit_together():
    with pytest.raises(ValueError, match=r"variance has shape \(2, 2\)"):
        Exposure(
            np.ones((2, 3)),
            np.ones((2, 2)),
            np.zeros((2, 3), int),
            planes=LSST_PLANES,
            zero_point=27.0,
        )


def test_noise_has_the_variance_that_is_asked_for():
    exposure = make_exposure()
    shape = (200, 200)
    large = Exposure(
        np.zeros(shape),
        np.full(shape, 9.0),
        np.zeros(shape, np.uint32),
        planes=LSST_PLANES,
        zero_point=27.0,
    )
    noise = draw_noise(jax.random.key(1), large, large.variance)
    # The variance of 40000 values is known to 0.7 %; five times that.
    assert float(noise.image.var()) == pytest.approx(9, rel=0.036)
    equal(noise.variance, large.variance)
    same = draw_noise(jax.random.key(1), large, 9.0)
    equal(same.image, noise.image)
    assert float(typical_variance(exposure)) == pytest.approx(
        np.median(exposure.variance), rel=1e-6
    )


def test_noise_of_a_variance_that_cannot_be_is_nan():
    exposure = make_exposure()
    variance = exposure.variance.at[0, :3].set(jnp.array([-1, jnp.inf, jnp.nan]))
    noise = draw_noise(jax.random.key(1), exposure, variance.at[1, 0].set(0))
    assert np.isnan(noise.image[0, :3]).all() and noise.image[1, 0] == 0
    assert np.isfinite(noise.image[1:]).all()


def test_typical_variance_leaves_out_what_is_not_finite():
    exposure = make_exposure()
    variance = exposure.variance.at[:12].set(jnp.nan).at[12, :].set(jnp.inf)
    found = typical_variance(dataclasses.replace(exposure, variance=variance))
    assert float(found) == pytest.approx(np.median(variance[13:]), rel=1e-6)


def total_flux(image, background, zero_point):
    exposure = dataclasses.replace(make_exposure(), image=image)
    exposure = subtract_background(exposure, background)
    exposure = calibrate_exposure(exposure, zero_point)
    return jnp.nansum(warp_exposure(exposure, shifted(0.3, 0.2), Lanczos(2)).image)


def test_gradients_by_pixels_background_and_zero_point_are_finite_differences():
    with jax.enable_x64(True):
        image = jnp.asarray(make_exposure().image, jnp.float64)
        background = jnp.ones(SHAPE)
        check_grads(
            total_flux, (image, background, jnp.float64(27.2)), order=1, modes=["rev"]
        )


@pytest.mark.parametrize("bits", [32, 64])
def test_jit_gives_what_eager_gives(bits):
    with jax.enable_x64(bits == 64):
        exposure = make_exposure()
        positions = shifted(0.3, 0.2)
        eager = warp_exposure(exposure, positions)
        jitted = jax.jit(warp_exposure)(exposure, positions)
        assert eager.image.dtype == f"float{bits}"
        np.testing.assert_allclose(jitted.image, eager.image, rtol=1e-5)
        equal(jitted.mask, eager.mask)
