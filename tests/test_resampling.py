"""Resampling of image, variance and mask onto another grid."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxcoadd import reference, sky
from jaxcoadd.resampling import (
    Bilinear,
    Lanczos,
    Nearest,
    PositionNodes,
    as_position_nodes,
    as_positions,
    flag_unusable,
    interpolate_positions,
    resample,
)

# Each kernel and size compiles anew.
pytestmark = pytest.mark.slow

KERNELS = {
    "lanczos2": Lanczos(2),
    "lanczos3": Lanczos(3),
    "lanczos4": Lanczos(4),
    "lanczos5": Lanczos(5),
    "bilinear": Bilinear(),
    "nearest": Nearest(),
}
# Orders 2 and 4 are in the recorded cases or between those that are.
NAMES = [
    pytest.param(
        name, marks=[pytest.mark.exhaustive] * (name in ("lanczos2", "lanczos4"))
    )
    for name in KERNELS
]
MASK_KERNELS = {None: None, "bilinear": Bilinear(), "nearest": Nearest()}

run = jax.jit(
    resample, static_argnames=("mask_kernel", "grow_full_mask", "no_data", "conserve")
)
SEEDS = st.integers(0, 10**6)


def draw_planes(seed, shape=(24, 20), dtype=np.float64):
    draw = np.random.default_rng(seed)
    image = draw.normal(10, 5, shape).astype(dtype)
    variance = draw.uniform(1, 2, shape).astype(dtype)
    bits = np.uint32(1) << draw.integers(0, 8, shape).astype(np.uint32)
    return image, variance, np.where(draw.random(shape) < 0.1, bits, np.uint32(0))


def affine(a, b, c, d, shift=(0.0, 0.0)):
    """Return a mapping of (x, y)."""
    return lambda x, y: (a * x + b * y + shift[0], c * x + d * y + shift[1])


def draw_affine(seed, shift=3.0):
    """Draw a rotation by any angle up to 0.3 with a little stretch and shear."""
    draw = np.random.default_rng(seed)
    turn, (x, y) = draw.uniform(-0.3, 0.3), draw.uniform(0, shift, 2)
    c, s = np.cos(turn), np.sin(turn)
    stretch = np.eye(2) + draw.uniform(-0.1, 0.1, (2, 2))
    return affine(*(np.array([[c, -s], [s, c]]) @ stretch).ravel(), (x, y))


def positions_of(mapping, shape, dtype=None):
    coordinates = sky.mapped_coordinates(mapping, shape, spacing=0)
    return as_positions(coordinates, dtype=dtype)


def on_whole_pixels(shape, x=0, y=0):
    return positions_of(affine(1, 0, 0, 1, (x, y)), shape)


def example():
    y, x = np.mgrid[:16, :16].astype(float)
    image = 10 * np.exp(-((x - 8.2) ** 2 + (y - 7.4) ** 2) / (2 * 1.5**2)) + 1
    mask = np.zeros((16, 16), np.uint32)
    mask[7, 8], mask[2, 2] = 1, 16
    planes = image.astype(np.float32), (1 + 0.1 * x + 0.01 * y).astype(np.float32), mask
    return planes, affine(0.9, 0.05, -0.05, 1.1, (2.3, 1.8))


EXAMPLE_VALUES = [
    (1, 0, 0.99257845, 16, 1.0015411),
    (2, 2, 1.0093974, 16, 1.2915787),
    (4, 6, 6.9039717, 0, 1.7589804),
    (5, 5, 8.1891079, 1, 1.7257959),
    (5, 6, 10.4405155, 1, 1.8325681),
    (9, 9, 1.0743449, 0, 1.8606231),
]


def test_numbers_of_the_worked_example_come_out(precision):
    (image, variance, mask), mapping = example()
    dtype = f"float{precision}"
    found = run(
        image.astype(dtype),
        variance.astype(dtype),
        mask,
        positions_of(mapping, (10, 10)),
    )
    expected = np.zeros((10, 10), int)
    expected[1:3, :3], expected[5, 5:8], expected[0] = 16, 1, 256
    np.testing.assert_array_equal(found.mask, expected)
    assert np.all(np.isnan(found.image[0])) and np.all(np.isposinf(found.variance[0]))
    assert found.n_good == 90 == found.inside.sum()
    for y, x, value, bits, error in EXAMPLE_VALUES:
        # Printed with eight digits of float32; the peak is 10.
        assert found.image[y, x] == pytest.approx(value, abs=2e-6)
        assert found.variance[y, x] == pytest.approx(error, rel=1e-6)
        assert found.mask[y, x] == bits


def test_reference_has_the_numbers_of_the_worked_example():
    planes, mapping = example()
    coordinates = sky.mapped_coordinates(mapping, (10, 10), spacing=0)
    found = reference.resample(*planes, coordinates)
    for y, x, value, bits, error in EXAMPLE_VALUES:
        assert found.image[y, x] == pytest.approx(value, rel=4e-7)
        assert found.variance[y, x] == pytest.approx(error, rel=4e-7)
        assert found.mask[y, x] == bits
    assert found.inside.sum() == 90


@pytest.mark.parametrize("mask_kernel", MASK_KERNELS)
@pytest.mark.parametrize("kernel", NAMES)
@given(seed=SEEDS)
def test_result_is_that_of_the_reference(kernel, mask_kernel, seed):
    image, variance, mask = draw_planes(seed)
    image[tuple(np.random.default_rng(seed).integers(0, 20, 2))] = np.nan
    coordinates = sky.mapped_coordinates(draw_affine(seed), (12, 12), spacing=5)
    names = {"kernel": kernel, "mask_kernel": mask_kernel}
    expected = reference.resample(image, variance, mask, coordinates, **names)
    options = {"mask_kernel": MASK_KERNELS[mask_kernel], "grow_full_mask": 16}
    with jax.enable_x64(True):
        found = run(
            image, variance, mask, as_positions(coordinates), KERNELS[kernel], **options
        )
    # The weight 1 next to a pixel's centre is off by 2e-11.
    np.testing.assert_allclose(found.image, expected.image, atol=1e-9)
    np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-9)
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_array_equal(found.inside, expected.inside)


@pytest.mark.parametrize("kernel", NAMES)
@given(seed=SEEDS)
def test_identity_and_whole_shifts_move_pixels_exactly(kernel, seed):
    image, variance, mask = draw_planes(seed, dtype=np.float32)
    n = KERNELS[kernel].half_width
    for x, y in ((0, 0), (2, 3)):
        found = run(
            image, variance, mask, on_whole_pixels((18, 16), x, y), KERNELS[kernel]
        )
        inside = np.asarray(found.inside)
        moved = (a[y : y + 18, x : x + 16] for a in (image, variance, mask))
        image_there, variance_there, mask_there = (a[inside] for a in moved)
        np.testing.assert_array_equal(np.asarray(found.image)[inside], image_there)
        np.testing.assert_array_equal(
            np.asarray(found.variance)[inside], variance_there
        )
        own = np.asarray(found.mask)[inside] & ~np.uint32(16)
        np.testing.assert_array_equal(own, mask_there & ~np.uint32(16))
        assert inside[n:-n, n:-n].all()


@pytest.mark.parametrize("kernel", NAMES)
@given(seed=SEEDS)
def test_constant_stays_constant_times_the_area(kernel, seed):
    ones, mask = np.full((24, 20), 7.0, np.float32), np.zeros((24, 20), np.uint32)
    positions = positions_of(draw_affine(seed), (12, 12))
    for conserve in ("flux", "surface_brightness"):
        found = run(ones, ones, mask, positions, KERNELS[kernel], conserve=conserve)
        area = positions.area if conserve == "flux" else 1.0
        expected = np.where(found.inside, 7.0 * area, np.nan)
        # Sums of up to 100 products whose sizes add up to 2.3 times the result.
        np.testing.assert_allclose(found.image, expected, rtol=2e-6)


@given(seed=SEEDS)
def test_variance_is_not_negative_and_scales_by_the_square(seed):
    image, variance, mask = draw_planes(seed)
    positions = positions_of(draw_affine(seed), (12, 12))
    once = run(image, variance, mask, positions)
    twice = run(2 * image, 4 * variance, mask, positions)
    inside = np.asarray(once.inside)
    assert np.all(np.asarray(once.variance)[inside] > 0)
    np.testing.assert_array_equal(twice.variance, 4 * once.variance)
    np.testing.assert_array_equal(twice.image, 2 * once.image)


def star(shape, x0, y0, mapping=None, sigma=2.0):
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    x, y = mapping(x, y) if mapping else (x, y)
    return np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * sigma**2))


@given(seed=SEEDS)
def test_flux_is_conserved_where_all_fractions_of_a_pixel_occur(seed):
    draw = np.random.default_rng(seed)
    turn, scale, shape = draw.uniform(0.1, 0.3), draw.uniform(0.85, 0.95), (128, 128)
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    mapping = affine(c, -s, s, c, (64 - 64 * (c - s), 64 - 64 * (c + s)))
    image, mask = star(shape, 64.3, 63.6, sigma=10), np.zeros(shape, np.uint32)
    with jax.enable_x64(True):
        found = run(image, image, mask, positions_of(mapping, shape))
    assert np.nansum(found.image) == pytest.approx(image.sum(), rel=1e-4)


@given(seed=SEEDS)
def test_flux_of_a_star_is_conserved_by_a_shift(seed):
    image, mask = star((48, 48), 24.3, 23.6), np.zeros((48, 48), np.uint32)
    shift = np.random.default_rng(seed).uniform(-2, 2, 2)
    with jax.enable_x64(True):
        found = run(image, image, mask, on_whole_pixels((48, 48), *shift))
    # The star has fallen to 1e-15 where the image ends.
    assert np.nansum(found.image) == pytest.approx(image.sum(), rel=1e-10)


@given(seed=SEEDS)
def test_flux_of_a_star_is_conserved_to_a_percent_by_any_affine_map(seed):
    a = np.random.default_rng(seed).uniform(-0.1, 0.1, 4)
    mapping = affine(1 + a[0], a[1], a[2], 1 + a[3], (2, 2))
    image, mask = star((64, 64), 32.3, 31.6), np.zeros((64, 64), np.uint32)
    with jax.enable_x64(True):
        found = run(image, image, mask, positions_of(mapping, (64, 64)))
    # No better: what a source pixel gives to all target pixels is 1 on average only.
    assert np.nansum(found.image) == pytest.approx(image.sum(), rel=1e-2)


def moments(kernel, fraction):
    """Return mean and mean square of the offsets that a kernel weighs, on one axis."""
    with jax.enable_x64(True):
        weights = np.array(kernel.weights(jnp.float64(fraction)))
    n = kernel.half_width
    offset = np.arange(1 - n, n + 1) - fraction
    return (weights @ offset / weights.sum(), weights @ offset**2 / weights.sum())


@given(seed=SEEDS)
def test_there_and_back_is_within_the_error_of_the_kernel(seed):
    shape, sigma = (64, 64), 4.0
    shift = np.random.default_rng(seed).uniform(-1, 1, 2)
    image, mask = star(shape, 32.3, 31.6, sigma=sigma), np.zeros(shape, np.uint32)
    with jax.enable_x64(True):
        there = run(image, image, mask, on_whole_pixels(shape, *shift), Lanczos(5))
        filled = jnp.where(there.inside, there.image, 0)
        back = run(filled, filled, mask, on_whole_pixels(shape, *-shift), Lanczos(5))
    # Taylor: mean offsets times slopes and half their squares times curvatures, of at
    # most 0.61 / sigma and 1 / sigma**2. Back the mean offsets have the other sign, so
    # of slopes less remains; half as much again for all higher terms.
    found = [moments(Lanczos(5), x % 1) for x in shift]
    size = sum(abs(m) * 0.61 / sigma + abs(q) / (2 * sigma**2) for m, q in found)
    middle = np.s_[12:-12, 12:-12]
    error = np.abs(np.asarray(back.image) - image)[middle].max()
    assert error <= 1.5 * 2 * size + 1e-9


def test_mask_bits_come_from_touched_pixels_alone():
    image, variance, mask = (np.zeros((20, 20), t) for t in ("f4", "f4", "u4"))
    mask[10, 10] = 1 | 16
    found = np.asarray(
        run(image, variance, mask, on_whole_pixels((16, 16), 2.5, 2)).mask
    )
    bad, edge = (np.argwhere(found & bit & ~np.uint32(256)) for bit in (1, 16))
    # On whole rows one row of bilinear weights counts, but all of Lanczos'.
    assert bad.tolist() == [[8, 7], [8, 8]]
    assert edge.min(axis=0).tolist() == [5, 5] and edge.max(axis=0).tolist() == [10, 10]
    assert len(edge) == 36


@pytest.mark.parametrize("kernel", ["bilinear", "nearest"])
def test_pixel_without_weight_may_be_nan(kernel):
    image, variance, mask = draw_planes(0)
    image[10, 10] = np.nan
    found = run(image, variance, mask, on_whole_pixels((20, 16)), KERNELS[kernel])
    assert np.argwhere(np.isnan(found.image) & found.inside).tolist() == [[10, 10]]


def test_nan_spreads_over_the_kernel_and_can_be_flagged():
    image, variance, mask = draw_planes(0)
    image[10, 10], variance[4, 4] = np.nan, np.inf
    found = run(image, variance, mask, on_whole_pixels((24, 20)))
    lost = np.argwhere(np.isnan(found.image) & found.inside)
    assert len(lost) == 36
    assert np.isposinf(found.variance)[3:7, 3:7].all()
    flagged = flag_unusable(found)
    gone = ~np.asarray(flagged.inside)
    assert gone[7:13, 7:13].sum() == 36 and gone[3:7, 3:7].all()
    assert np.all(np.asarray(flagged.mask)[gone] == 256)
    assert np.all(np.isfinite(np.asarray(flagged.image)[~gone]))


@pytest.mark.parametrize("kernel", NAMES)
def test_source_smaller_than_the_kernel_has_no_data(kernel):
    n = KERNELS[kernel].half_width
    for shape in ((20, 2 * n - 1), (2 * n - 1, 20), (1, 1)):
        planes = draw_planes(0, shape)
        found = run(*planes, on_whole_pixels((5, 5)), KERNELS[kernel])
        assert found.n_good == 0
        assert np.all(np.asarray(found.mask) == 256) and np.all(np.isnan(found.image))


def test_positions_that_are_none_or_have_no_area_have_no_data():
    coordinates = np.mgrid[-1.0:16, -1.0:16] + 3
    coordinates[:, 5, 5] = np.nan
    coordinates[:, 9, 8:] = coordinates[:, 8, 8:]
    coordinates[:, 12, 12] = 1e30
    for given_coordinates in (coordinates, jnp.asarray(coordinates)):
        found = run(*draw_planes(0), as_positions(given_coordinates))
        assert not np.asarray(found.inside)[4, 4:6].any()
        assert not np.asarray(found.inside)[8, 8:].any()
        assert not np.asarray(found.inside)[11, 11]
        assert np.isfinite(np.asarray(found.image)[np.asarray(found.inside)]).all()


def test_positions_keep_their_precision_in_32_bits():
    coordinates = np.mgrid[-1.0:5, -1.0:5] + 4000.123456789
    found = as_positions(coordinates)
    assert found.row_fraction.dtype == jnp.float32
    assert found.row_fraction[0, 0] == np.float32(0.123456789)
    assert found.row[0, 0] == 4000


@pytest.mark.parametrize("shape", [(23, 31), (1, 1), (20, 10), (9, 30)])
def test_positions_interpolated_here_are_those_of_the_host(shape, precision):
    mapping = lambda x, y: (  # noqa: E731
        4000.3 + 0.9 * x - 0.3 * y + 1e-4 * x * y,
        2000.7 + 0.31 * x + 0.92 * y - 2e-4 * x * x,
    )
    nodes = as_position_nodes(sky.node_coordinates(mapping, shape), shape=shape)
    found = jax.jit(interpolate_positions)(nodes)
    expected = as_positions(sky.mapped_coordinates(mapping, shape))
    # A corner is at most 7 pixels from the middle; six numbers are rounded.
    allowed = 6 * 7 * np.finfo(f"float{precision}").eps
    for axis in ("row", "column"):
        a, b = (
            np.asarray(getattr(p, axis), float)
            + np.asarray(getattr(p, axis + "_fraction"))
            for p in (found, expected)
        )
        np.testing.assert_allclose(a, b, rtol=0, atol=max(allowed, 1e-11))
    np.testing.assert_allclose(found.area, expected.area, rtol=max(allowed, 1e-11))


def test_nodes_that_are_none_have_no_data():
    shape = (25, 25)
    nodes = sky.node_coordinates(affine(1, 0, 0, 1), shape)
    nodes[:, 0, 0] = np.nan
    positions = interpolate_positions(as_position_nodes(nodes, shape=shape))
    found = run(*draw_planes(0, (40, 40)), positions, Bilinear())
    inside = np.ones(shape, bool)
    inside[:10, :10] = False
    np.testing.assert_array_equal(found.inside, inside)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["lanczos3", "lanczos4", "bilinear"])
def test_gradients_are_those_of_finite_differences(kernel):
    with jax.enable_x64(True):
        image, variance, mask = draw_planes(3, (12, 12))
        nodes = sky.mapped_coordinates(draw_affine(5), (6, 6), spacing=0)

        def function(image, variance, coordinates):
            positions = as_positions(coordinates)
            found = resample(image, variance, mask, positions, KERNELS[kernel])
            planes = found.image, found.variance
            return tuple(jnp.where(found.inside, a, 0) for a in planes)

        arguments = image, variance, jnp.asarray(nodes)
        check_grads(function, arguments, order=1, modes=("rev",), eps=1e-6)


@pytest.mark.slow
def test_gradient_along_interpolated_positions_is_that_of_finite_differences():
    with jax.enable_x64(True):
        image, variance, mask = draw_planes(3, (30, 30))
        shape = (12, 12)
        nodes = sky.node_coordinates(draw_affine(5), shape, spacing=5)
        nodes = as_position_nodes(nodes, shape=shape, spacing=5)

        def function(corners):
            moved = dataclasses.replace(nodes, corners=corners)
            found = resample(image, variance, mask, interpolate_positions(moved))
            return jnp.where(found.inside, found.image, 0)

        check_grads(function, (nodes.corners,), order=1, modes=("rev",), eps=1e-6)


@pytest.mark.slow
def test_gradient_of_a_shift_finds_the_shift():
    image, mask = star((40, 40), 20, 20).astype(np.float32), np.zeros((40, 40), "u4")
    y, x = np.mgrid[-1:30, -1:30].astype(np.float32) + 5
    target = star((30, 30), 15.2, 14.9)

    @jax.jit
    def mismatch(shift):
        coordinates = jnp.stack([y + shift[0], x + shift[1]])
        found = resample(image, image, mask, as_positions(coordinates))
        return jnp.sum((found.image - target.astype(np.float32)) ** 2)

    shift = jnp.zeros(2)
    for _ in range(60):
        shift = shift - 0.1 * jax.grad(mismatch)(shift)
    np.testing.assert_allclose(shift, [0.1, -0.2], atol=1e-2)


def test_nan_in_the_source_leaves_other_gradients_as_they_are():
    image, variance, mask = draw_planes(3, dtype=np.float32)
    image[12, 10] = np.nan
    positions = positions_of(draw_affine(5), (12, 12))

    def total(image, positions):
        found = resample(image, variance, mask, positions)
        return jnp.nansum(found.image)

    by_image, by_positions = jax.jit(jax.grad(total, (0, 1), allow_int=True))(
        image, positions
    )
    assert np.isfinite(by_image).all()
    assert np.isfinite(by_positions.row_fraction).all()
    assert np.isfinite(by_positions.area).all()


@pytest.mark.slow
@pytest.mark.parametrize("kernel", NAMES)
def test_jit_is_eager_and_vmap_is_a_loop(kernel):
    planes = [draw_planes(seed, dtype=np.float32) for seed in (1, 2)]
    positions = positions_of(draw_affine(7), (12, 12))
    function = functools.partial(resample, kernel=KERNELS[kernel])
    compiled = [jax.jit(function)(*p, positions) for p in planes]
    eager = function(*planes[0], positions)
    stacked = (np.stack(a) for a in zip(*planes, strict=True))
    mapped = jax.vmap(function, (0, 0, 0, None))(*stacked, positions)
    for a, b in zip(jax.tree.leaves(eager), jax.tree.leaves(compiled[0]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    loop = jax.tree.map(lambda *a: jnp.stack(a), *compiled)
    for a, b in zip(jax.tree.leaves(mapped), jax.tree.leaves(loop), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", NAMES)
def test_an_accelerator_adds_the_same_pixels(kernel, monkeypatch):
    """They are added one by one there; each sum rounds as often as it has terms."""
    image, variance, mask = draw_planes(1, (40, 41), np.float32)
    image[20, 20] = np.nan
    positions = positions_of(draw_affine(2), (30, 31))
    given = image, variance, mask, positions, KERNELS[kernel]
    here = resample(*given)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    there = resample(*given)
    terms = (2 * KERNELS[kernel].half_width) ** 2
    rtol = 4 * terms * np.finfo(np.float32).eps
    largest = np.nanmax(np.abs(image))
    np.testing.assert_allclose(there.image, here.image, rtol, rtol * largest)
    np.testing.assert_allclose(there.variance, here.variance, rtol)
    np.testing.assert_array_equal(there.mask, here.mask)


def test_many_blocks_give_what_one_does():
    shape = (90, 93)
    image, variance, mask = draw_planes(0, (100, 100), np.float32)
    mapping = draw_affine(3)
    whole = run(image, variance, mask, positions_of(mapping, shape))
    part = run(image, variance, mask, positions_of(mapping, (10, 93)))
    for name in ("image", "variance", "mask", "inside"):
        np.testing.assert_allclose(
            getattr(whole, name)[:10], getattr(part, name), rtol=1e-6, atol=1e-5
        )


def test_gradient_through_many_blocks_is_that_of_each_pixel():
    shape = (90, 93)
    image, variance, mask = draw_planes(0, (100, 100), np.float32)
    positions = on_whole_pixels(shape, 3, 4)
    slope = jax.jit(
        jax.grad(lambda i: jnp.nansum(resample(i, variance, mask, positions).image))
    )(image)
    expected = np.zeros((100, 100))
    expected[4:94, 3:96] = 1
    np.testing.assert_allclose(slope, expected, atol=1e-6)


def test_type_of_the_source_is_that_of_the_result(precision):
    planes = draw_planes(0, dtype=f"float{precision}")
    found = run(*planes, positions_of(draw_affine(1), (8, 8)))
    assert found.image.dtype == found.variance.dtype == f"float{precision}"
    assert found.mask.dtype == jnp.uint32


def test_planes_must_have_one_shape():
    image, variance, mask = draw_planes(0)
    with pytest.raises(ValueError, match="must be equal"):
        resample(image, variance[1:], mask, on_whole_pixels((5, 5)))


def test_mask_kernel_must_not_be_wider():
    planes = draw_planes(0)
    with pytest.raises(ValueError, match="must not be wider"):
        resample(*planes, on_whole_pixels((5, 5)), Bilinear(), mask_kernel=Lanczos(3))


def test_one_position_that_is_none_leaves_the_slope_of_others():
    image = jnp.asarray(draw_planes(1)[0], jnp.float32)
    zeros = jnp.zeros(image.shape, jnp.uint32)
    coordinates = jnp.mgrid[4:15, 4:15].astype(jnp.float32) + 0.3

    def total(shift, coordinates):
        positions = as_positions(coordinates + shift)
        found = resample(image, jnp.ones_like(image), zeros, positions)
        return jnp.sum(jnp.where(found.inside, found.image, 0))

    slope = jax.grad(total)(jnp.float32(0), coordinates.at[:, 5, 5].set(jnp.nan))
    assert np.isfinite(slope) and slope != 0


def test_whole_numbers_are_refused():
    plane = jnp.ones((9, 9), jnp.int32)
    positions = as_positions(np.mgrid[-1.0:5, -1.0:5])
    with pytest.raises(ValueError, match="image holds int32"):
        resample(plane, plane, plane.astype(jnp.uint32), positions)


def test_unknown_conservation_is_refused():
    with pytest.raises(ValueError, match="surface_brightness"):
        resample(*draw_planes(0), on_whole_pixels((5, 5)), conserve="energy")


def test_coordinates_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(2, y \+ 1, x \+ 1\)"):
        as_positions(np.zeros((5, 5, 2)))
    with pytest.raises(ValueError, match=r"has \(2, 2, 3\)"):
        as_position_nodes(np.zeros((2, 5, 5)), shape=(10, 20))


def test_nodes_are_a_pytree_of_two_arrays():
    nodes = as_position_nodes(np.zeros((2, 2, 2)), shape=(4, 4))
    assert isinstance(nodes, PositionNodes) and len(jax.tree.leaves(nodes)) == 2
