"""Artifacts by a model of the static sky, each warp at its own PSF."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxcoadd import CoaddConfig, Median, SpanSet, Warp, coadd, stack_warps
from jaxcoadd.artifacts import BY_MODEL, coadd_without, find_by_model
from jaxcoadd.artifacts.by_model import fit_model
from jaxcoadd.artifacts.residuals import (
    embed,
    inner,
    padded_size,
    pooled_scatter,
    prepare_planes,
    stands_out,
    subtract_prediction,
    typical_size,
)
from jaxcoadd.artifacts.sky_model import (
    bounded,
    fit_adjustment,
    noise_share,
    predict,
    psf_transform,
    sums_of,
)

pytestmark = pytest.mark.slow

SHAPE = (96, 90)
WIDTHS = np.array([1.5, 1.9, 1.3, 1.7, 2.1, 1.6, 1.8])
MEDIAN = CoaddConfig(statistic=Median(), bad_planes=("NO_DATA",))
NOISE = 10.0
NONE = np.zeros(4)


def make_psf(width, half=8):
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    stamp = np.exp(-0.5 * (y**2 + x**2) / width**2)
    return stamp / stamp.sum()


PSFS = np.stack([make_psf(width) for width in WIDTHS])
PLACES = np.random.default_rng(1).uniform((10, 10), (44, 80), (12, 2))
FLUXES = 10 ** np.random.default_rng(2).uniform(3, 5, 12)


def stars_of(width, shift=(0.0, 0.0)):
    y, x = np.indices(SHAPE)
    image = np.zeros(SHAPE)
    for (row, column), flux in zip(PLACES, FLUXES, strict=True):
        square = (y - row - shift[0]) ** 2 + (x - column - shift[1]) ** 2
        image += flux * np.exp(-0.5 * square / width**2) / (2 * np.pi * width**2)
    return image


def make_images(seed):
    rng = np.random.default_rng(seed)
    images = []
    for width in WIDTHS:
        stars = stars_of(width, rng.normal(0, 0.03, 2))
        images.append(stars + rng.normal(size=SHAPE) * np.sqrt(NOISE**2 + stars))
    return np.stack(images)


def make_stack(images):
    variances = [NOISE**2 + stars_of(width) for width in WIDTHS]
    return stack_warps(
        [
            Warp(image.astype(np.float32), variance.astype(np.float32), zero_point=27.0)
            for image, variance in zip(images, variances, strict=True)
        ]
    )


def find(images, order=slice(None)):
    stack = make_stack(images)
    stack = jax.tree.map(lambda leaf: leaf[order], stack)
    reference = jax.jit(coadd)(stack, MEDIAN)
    psfs = jnp.asarray(PSFS[order], jnp.float32)
    found = find_by_model(stack, psfs, reference)
    regions = [SpanSet().union(*some).to_image(SHAPE) for some in found.clipped]
    return found, np.stack(regions), stack


def sums_in_numpy(images, transforms, variances):
    parts = [
        np.conj(transform) * np.fft.rfft2(image) / variance
        for image, transform, variance in zip(
            images, transforms, variances, strict=True
        )
    ]
    power = [
        np.abs(transform) ** 2 / variance
        for transform, variance in zip(transforms, variances, strict=True)
    ]
    return sum(parts), np.array(power), sum(1 / np.asarray(variances))


def transforms_in_numpy(shape):
    stamps = np.zeros((len(PSFS), *shape))
    stamps[:, :17, :17] = PSFS
    return np.fft.rfft2(np.roll(stamps, (-8, -8), (1, 2)))


def total_of(images, variances, dtype):
    shape = images.shape[1:]
    transforms = [
        psf_transform(jnp.asarray(p, dtype), jnp.asarray(NONE, dtype), shape)
        for p in PSFS
    ]
    sums = [
        sums_of(jnp.asarray(i, dtype), t, jnp.asarray(v, dtype))
        for i, t, v in zip(images, transforms, variances, strict=True)
    ]
    total = sums[0]
    for one in sums[1:]:
        total = total + one
    return total, transforms


@pytest.mark.parametrize(("bits", "rtol"), [(32, 2e-3), (64, 1e-9)])
def test_predictions_and_noise_are_those_of_the_reference(bits, rtol):
    with jax.enable_x64(bits == 64):
        compare_with_reference(jnp.float64 if bits == 64 else jnp.float32, rtol)


def compare_with_reference(dtype, rtol):
    # A ridge of 1e-3 divides by that at least: it amplifies rounding a thousandfold.
    ridge, variances = 1e-3, np.linspace(80.0, 130.0, 7)
    images = make_images(0)
    total, transforms = total_of(images, variances, dtype)
    wanted = transforms_in_numpy(SHAPE)
    seen, power, weight = sums_in_numpy(images, wanted, variances)
    whole = power.sum(0) + ridge * weight
    scale = np.abs(images).max()
    for n in range(7):
        own = np.fft.irfft2(wanted[n] * seen / whole, SHAPE)
        got = predict(total, transforms[n], SHAPE, ridge=ridge)
        np.testing.assert_allclose(got, own, atol=rtol * scale)
        left = (1 - power[n] / whole) ** 2
        left = left + power[n] * (power.sum(0) - power[n]) / whole**2
        full = np.fft.irfft2(left, SHAPE)[0, 0]
        share = noise_share(
            total, transforms[n], jnp.asarray(variances[n], dtype), SHAPE, ridge=ridge
        )
        assert share.dtype == dtype
        np.testing.assert_allclose(share, full, rtol=10 * rtol)


def test_without_a_ridge_the_share_of_noise_is_what_is_not_a_warps_own():
    with jax.enable_x64(True):
        images = make_images(0)[:, :32, :32]
        total, transforms = total_of(images, np.full(7, 100.0), jnp.float64)
        shares = [noise_share(total, t, 100.0, (32, 32), ridge=0.0) for t in transforms]
        lost = sum(1 - float(share) for share in shares)
    # The solution has one number a pixel, which is what seven warps lose together.
    np.testing.assert_allclose(lost, 1.0, rtol=1e-9)


def test_a_psf_is_moved_and_widened_by_its_adjustment():
    adjustment = jnp.asarray([0.02, 0.3, -0.2, 0.1])
    size = (40, 42)
    shifted = jnp.fft.irfft2(
        psf_transform(jnp.asarray(make_psf(1.5)), adjustment, size), size
    )
    y, x = np.indices(size)
    y, x = (y + 20) % 40 - 20, (x + 21) % 42 - 21
    variance = 1.5**2 + 2 * 0.1
    square = (y - 0.3) ** 2 + (x + 0.2) ** 2
    wanted = 1.02 * np.exp(-0.5 * square / variance) / (2 * np.pi * variance)
    # A stamp of 17 pixels has all but 1e-7 of a Gaussian of 1.5.
    np.testing.assert_allclose(shifted, wanted, atol=1e-6)


def test_offsets_are_found_and_large_ones_are_refused():
    still, moved = stars_of(1.7), 1.01 * stars_of(1.7, (0.05, -0.03))
    sigma = jnp.sqrt(100 + jnp.asarray(still))
    found = fit_adjustment(
        jnp.asarray(moved), jnp.asarray(still), sigma, jnp.ones(SHAPE, bool), noise=10.0
    )
    # Slopes from neighbours are 1 / (6 * 1.7**2) = 6 per cent too flat.
    np.testing.assert_allclose(found[:3], [0.01, 0.05, -0.03], rtol=0.15, atol=2e-3)
    np.testing.assert_array_equal(bounded(jnp.asarray([0.0, 0.2, 0.01, 0.0])), NONE)
    np.testing.assert_array_equal(bounded(found), found)


def test_nothing_is_adjusted_without_sources():
    zero = jnp.zeros(SHAPE)
    found = fit_adjustment(
        zero + 3, zero, zero + 1, jnp.ones(SHAPE, bool), noise=jnp.asarray(1.0)
    )
    np.testing.assert_array_equal(found, NONE)


def test_predictions_have_gradients():
    psf = jnp.asarray(PSFS[0])

    def flux(image, adjustment):
        transform = psf_transform(psf, adjustment, (24, 24))
        model = sums_of(image, transform, 1.0)
        return jnp.sum(predict(model, transform, (24, 24), ridge=0.1) ** 2)

    image = jnp.asarray(make_images(0)[0][:24, :24]) / 100
    check_grads(flux, (image, jnp.asarray([0.01, 0.1, 0.0, 0.1])), 1, ["rev"])


@given(shape=st.tuples(st.integers(5, 40), st.integers(5, 40)))
def test_what_is_embedded_is_found_again(shape):
    image = jnp.arange(shape[0] * shape[1], dtype=float).reshape(shape)
    size = padded_size(shape, (7, 9))
    assert size[0] >= shape[0] + 3
    assert size[1] >= shape[1] + 4
    np.testing.assert_array_equal(embed(image, size)[inner(size, shape)], image)


def test_the_scatter_between_warps_is_pooled_and_not_below_noise():
    image = np.random.default_rng(0).normal(size=(9, *SHAPE))
    image[:, 20:30, 20:30] *= 30
    image[:4, 50, 50] = np.nan
    scatter = pooled_scatter(typical_size(jnp.asarray(image)), size=3, share=0.5)
    assert (np.asarray(scatter[40:]) == 1).mean() > 0.98
    # Half of 30 times the noise, by nine pixels of nine warps.
    assert 9 < float(scatter[22:28, 22:28].mean()) < 18


def residual_of(seed=0):
    stack = make_stack(make_images(seed))
    bits = stack.planes.bits(["NO_DATA"])
    planes = [
        prepare_planes(i, v, m, jnp.float32(1), bits=bits)
        for i, v, m in zip(stack.image, stack.variance, stack.mask, strict=True)
    ]
    reference = jnp.median(stack.image, axis=0)
    psfs = jnp.asarray(PSFS, jnp.float32)
    model = fit_model(planes, psfs, reference, config=BY_MODEL)
    return model, planes


def test_jit_equals_eager():
    model, planes = residual_of()
    spoilt = planes[0]._replace(image=planes[0].image.at[40:44, 10:60].add(15.0))
    eager = subtract_prediction(
        model.sky,
        spoilt,
        model.psfs[0],
        model.adjustments[0],
        ridge=BY_MODEL.ridge,
        searches=BY_MODEL.searches,
    )
    compiled = model.residual(spoilt, 0, BY_MODEL, BY_MODEL.searches)
    for one, other in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=0.5)
    unit = jnp.ones(SHAPE, jnp.float32)
    options = {"outliers": BY_MODEL.outliers, "searches": BY_MODEL.searches}
    search = jax.jit(stands_out, static_argnames=("outliers", "searches"))
    for one, other in zip(
        stands_out(eager, unit, **options), search(eager, unit, **options), strict=True
    ):
        # A limit that is met within rounding may go either way.
        assert (np.asarray(one) != np.asarray(other)).sum() <= 2


def test_residuals_without_artifacts_are_noise():
    model, planes = residual_of()
    for n, plane in enumerate(planes):
        residual = model.residual(plane, n, BY_MODEL)
        deviations = residual.image / np.sqrt(residual.variance)
        low, high = np.percentile(deviations, [25, 75])
        # Of 8640 pixels the scatter by quartiles is known to 1.3 per cent.
        assert 0.94 < 0.7413 * (high - low) < 1.08


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_is_flagged_without_artifacts(seed):
    _, flags, _ = find(make_images(seed))
    # 6e-5 of normal deviates are beyond 4; neighbours and searches less than triple it.
    assert flags.mean() < 3e-4


def spoil(images):
    """Add a cosmic ray on a star, one beside, a faint trail, and a ghost."""
    spoilt = images.copy()
    row, column = np.rint(PLACES[FLUXES.argmin()]).astype(int)
    spoilt[1, row, column] += 300
    spoilt[2, 5, 40:44] += 80
    y, x = np.indices(SHAPE)
    trail = np.exp(-0.5 * ((x - 84) / 1.6) ** 2)
    spoilt[3] += 40 * trail
    ghost = np.hypot(y - 74, x - 40) < 16
    spoilt[4] += 15.0 * ghost
    return spoilt, (row, column), trail, ghost


def test_rays_trails_and_ghosts_are_found_in_their_warps_alone():
    spoilt, star, trail, ghost = spoil(make_images(0))
    found, flags, stack = find(spoilt)
    assert flags[1][star]
    assert flags[2, 5, 40:44].all()
    # Where the trail has two standard deviations, and the ghost one and a half.
    assert flags[3][trail > 0.5].mean() > 0.9
    assert flags[4][ghost].mean() > 0.8
    assert flags[3][(trail < 0.02)].mean() < 0.01
    assert flags[[0, 5, 6]].mean() < 1e-3
    assert found.n_image.min() == 7
    mean = CoaddConfig(bad_planes=("NO_DATA",))
    without = coadd_without(stack, found.alternatives(), mean)
    assert abs(float(without.image[5, 40:44].mean())) < 3 * NOISE / np.sqrt(7 * 4)


def test_most_of_a_variable_star_stays():
    images = make_images(0)
    rng = np.random.default_rng(4)
    y, x = np.indices(SHAPE)
    brightness = rng.normal(0, 1, 7)
    for n, width in enumerate(WIDTHS):
        profile = np.exp(-0.5 * ((y - 70) ** 2 + (x - 45) ** 2) / width**2)
        images[n] += (900 + 300 * brightness[n]) * profile
    _, flags, _ = find(images)
    assert flags[:, 68:73, 43:48].mean() < 0.25


def test_the_order_of_warps_does_not_matter():
    spoilt, *_ = spoil(make_images(0))
    order = np.array([3, 0, 6, 1, 5, 2, 4])
    _, flags, _ = find(spoilt)
    _, shuffled, _ = find(spoilt, order)
    # Sums in another order round otherwise, which few limits notice.
    assert (flags[order] != shuffled).mean() < 1e-4


def test_pixels_that_are_not_known_do_not_matter():
    images = make_images(0)
    images[2, 30:40] = np.nan
    _, flags, _ = find(images)
    assert not flags[2, 30:40].any()
    assert flags.mean() < 3e-4


def test_wrong_psfs_are_refused():
    stack = make_stack(make_images(0))
    reference = jax.jit(coadd)(stack, MEDIAN)
    psfs = jnp.asarray(PSFS, jnp.float32)
    with pytest.raises(ValueError, match="7 warps and 6 PSFs; give one a warp"):
        find_by_model(stack, psfs[:6], reference)
    with pytest.raises(ValueError, match=r"odd rows and columns, not \(16, 17\)"):
        find_by_model(stack, psfs[:, 1:], reference)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ridge", 0.0, "ridge is above 0, not 0.0"),
        ("clip_sigma", -1.0, "clip_sigma is above 0, not -1.0"),
        ("scatter_size", 4, "scatter_size is an odd number, not 4"),
    ],
)
def test_numbers_without_meaning_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(BY_MODEL, **{name: value})
