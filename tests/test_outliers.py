"""Outliers of single warps: limits that allow for bright sources near by."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from jaxcoadd import CoaddConfig, Median, SpanSet, Warp, coadd, stack_warps
from jaxcoadd.artifacts.outliers import (
    OUTLIERS,
    OutlierConfig,
    find_outliers,
    outlying_region,
    source_flux,
    with_outliers,
)
from jaxcoadd.coadds import Coadd
from jaxcoadd.masks import LSST_PLANES

pytestmark = pytest.mark.slow

SHAPE = (24, 31)
CONFIGS = (
    OUTLIERS,
    OutlierConfig(n_sigma=3.0, n_sigma_beside=3.0, flux_share=0.3, reach=0, floor=0.0),
    OutlierConfig(flux_share=0.0, reach=2),
)
MEDIAN = CoaddConfig(statistic=Median())
compiled_coadd = jax.jit(coadd)


def make_planes(seed, dtype=float):
    """Draw a warp with outliers and holes, and a static sky with a star."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(SHAPE)
    star = 300 * np.exp(-0.5 * ((y - 9) ** 2 + (x - 20) ** 2) / 2.0)
    variance, other = rng.uniform(0.5, 2, (2, *SHAPE))
    image = star * rng.uniform(0.7, 1.3) + rng.normal(size=SHAPE) * np.sqrt(variance)
    image[rng.random(SHAPE) < 0.03] += 8
    image[rng.random(SHAPE) < 0.02] = np.nan
    variance[rng.random(SHAPE) < 0.02] = np.inf
    reference = star + 0.3 * rng.normal(size=SHAPE)
    planes = image, variance, reference, 0.1 * other
    return tuple(jnp.asarray(plane, dtype) for plane in planes)


def reference_outliers(image, variance, sky, sky_variance, config):
    """Find outliers with NumPy and SciPy."""

    def largest(plane, reach):
        return ndimage.maximum_filter(plane, 2 * reach + 1, mode="constant", cval=0)

    above = np.maximum(np.abs(sky) - config.floor * np.sqrt(sky_variance), 0)
    excess = np.abs(image - sky) - config.flux_share * largest(above, config.reach)
    sigma = np.sqrt(variance)
    strong = excess > config.n_sigma * sigma
    near = largest(strong.astype(int), 1) == 1
    return strong | (near & (excess > config.n_sigma_beside * sigma))


@pytest.mark.parametrize("config", CONFIGS)
@given(seed=st.integers(0, 999))
def test_outliers_are_those_of_the_reference(config, seed):
    planes = make_planes(seed, jnp.float32)
    found = jax.jit(find_outliers, static_argnames="config")(*planes, config=config)
    image, variance, sky, sky_variance = (np.asarray(p, np.float64) for p in planes)
    wanted = reference_outliers(image, variance, sky, sky_variance, config)
    assert 0 < found.sum() < 200
    # A limit that two precisions round apart is met by no pixel of these seeds.
    np.testing.assert_array_equal(found, wanted)


def test_jit_equals_eager_and_vmap_a_loop():
    several = [make_planes(seed, jnp.float32) for seed in range(3)]
    alone = [find_outliers(*planes) for planes in several]
    stacked = [jnp.stack(planes) for planes in zip(*several, strict=True)]
    together = jax.jit(jax.vmap(find_outliers))(*stacked)
    np.testing.assert_array_equal(together, jnp.stack(alone))


def test_unknown_pixels_are_no_outliers():
    image, variance, sky, sky_variance = make_planes(0)
    for value in (jnp.nan, jnp.inf, -1.0):
        assert not find_outliers(image, variance * 0 + value, sky, sky_variance).any()
    assert not find_outliers(image + jnp.nan, variance, sky, sky_variance).any()
    assert not find_outliers(image, variance, sky + jnp.nan, sky_variance).any()


def test_the_unit_of_flux_does_not_matter():
    image, variance, sky, sky_variance = make_planes(1)
    before = find_outliers(image, variance, sky, sky_variance)
    after = find_outliers(4 * image, 16 * variance, 4 * sky, 16 * sky_variance)
    np.testing.assert_array_equal(after, before)


def test_a_star_that_is_twice_as_sharp_stays_and_a_cosmic_ray_goes():
    y, x = np.indices(SHAPE)
    r2 = (y - 12.0) ** 2 + (x - 15) ** 2
    star = 1e4 * np.exp(-r2 / 8) / 4
    sharp = 1e4 * np.exp(-r2 / 4) / 2
    sharp[3, 4] += 50
    sharp[3, 5] += 25
    ones = np.ones(SHAPE)
    planes = (jnp.asarray(p, jnp.float32) for p in (sharp, ones * 100, star, ones))
    # Five standard deviations, and two and a half beside it.
    assert np.argwhere(find_outliers(*planes)).tolist() == [[3, 4], [3, 5]]


def test_faint_noise_of_the_static_sky_is_no_source():
    sky = jnp.full(SHAPE, 3.9).at[10, 10].set(5.0)
    flux = source_flux(sky, jnp.ones_like(sky))
    assert int((flux > 0).sum()) == (2 * OUTLIERS.reach + 1) ** 2
    np.testing.assert_allclose(flux.max(), 1.0, rtol=1e-6)


def make_stack(size=None):
    """Make five warps of different zero points; the second has an outlier."""
    rng = np.random.default_rng(0)
    ones = np.ones(SHAPE, np.float32)
    images = rng.normal(size=(5, *SHAPE)).astype(np.float32)
    # Normal deviates beyond 4 are rare, and these seeds have none.
    images[1, 7, 9] = 30
    scales = 10 ** (0.4 * np.arange(5)).astype(np.float32)
    warps = [
        Warp(image * s, ones * s**2, zero_point=27.0 + n)
        for n, (image, s) in enumerate(zip(images, scales, strict=True))
    ]
    return stack_warps(warps, size=size)


@pytest.mark.parametrize("size", [None, 6])
def test_outliers_are_added_to_what_is_clipped(size):
    stack = make_stack(size)
    before = SpanSet.box(110, 203, 112, 203)
    regions = [{"CLIPPED": (before,), "NO_DATA": (before,)}] + [{}] * 4
    added = with_outliers(
        stack, regions, compiled_coadd(stack, MEDIAN), origin=(100, 200)
    )
    union = [SpanSet().union(*some["CLIPPED"]) for some in added]
    assert union[0] == before
    assert union[1] == SpanSet.box(109, 207, 109, 207)
    assert [some.area for some in union[2:]] == [0, 0, 0]
    assert added[0]["NO_DATA"] == (before,)


def test_of_two_warps_neither_is_known_to_be_wrong():
    image = jnp.zeros((5, 6)).at[2, 3].set(100.0)
    variance = jnp.ones_like(image)
    reference = Coadd(
        image=jnp.zeros_like(image),
        variance=variance,
        mask=jnp.zeros(image.shape, jnp.uint32),
        n_image=jnp.full(image.shape, 3, jnp.int32),
        weight=variance,
        planes=LSST_PLANES,
        zero_point=27.0,
    )
    assert outlying_region(image, variance, reference) == SpanSet([(2, 3, 3)])
    two = dataclasses.replace(reference, n_image=reference.n_image - 1)
    assert outlying_region(image, variance, two) == SpanSet()


def test_too_few_alternative_masks_are_refused():
    stack = make_stack()
    with pytest.raises(ValueError, match="5 warps and 4 alternative masks; give one"):
        with_outliers(stack, [{}] * 4, compiled_coadd(stack, MEDIAN))


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(OutlierConfig)])
def test_negative_limits_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} is 0 or more, not -1"):
        OutlierConfig(**{name: -1})
