"""Point-spread functions: stamps, warped ones, and the mean of several."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxcoadd.psfs import (
    CachedKernel,
    LargeTransformError,
    PsfGrid,
    PsfSamples,
    coadd_psf,
    coadd_psf_at,
    grid_cell_centres,
    make_stamp_psf,
    pixel_fraction,
    psf_image_at,
    psf_kernel_at,
    shift_stamp,
    stack_psfs,
    warp_psf,
    warp_psf_at,
    warp_psf_to_cell,
    warped_half_size,
)
from jaxcoadd.resampling import Bilinear, Lanczos
from tests.strategies import both_precisions

# Each kernel and size compiles anew.
pytestmark = pytest.mark.slow

SEEDS = st.integers(0, 10**6)
WIDE = 41
SHAPE = (21, 25)
SIZE = (WIDE, WIDE)

warp = jax.jit(warp_psf, static_argnames="size")
mean = jax.jit(coadd_psf)
draw = jax.jit(coadd_psf_at, static_argnames="size")
draw_one = jax.jit(warp_psf_at, static_argnames="size")
shift = jax.jit(shift_stamp)


def gaussian(shape, covariance, centre=(0.0, 0.0)):
    """Sample a Gaussian of sum about 1; covariance and centre in (x, y)."""
    rows, columns = (np.arange(n) - n // 2 for n in shape)
    offsets = np.stack(np.broadcast_arrays(columns[None], rows[:, None]), axis=-1)
    inverse = np.linalg.inv(covariance)
    offsets = offsets - np.asarray(centre)
    exponent = np.einsum("yxi,ij,yxj->yx", offsets, inverse, offsets) / 2
    return np.exp(-exponent) / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))


def draw_stamp(seed, shape=SHAPE):
    """Draw a lopsided, noisy stamp."""
    random = np.random.default_rng(seed)
    smooth = gaussian(shape, [[4.0, 1.0], [1.0, 3.0]], random.uniform(-0.7, 0.7, 2))
    return smooth + 1e-4 * random.normal(size=shape)


def draw_matrix(seed):
    random = np.random.default_rng(seed)
    angle, scale = random.uniform(0, 2 * np.pi), random.uniform(0.8, 1.2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * turn @ [[1.0, random.uniform(-0.1, 0.1)], [0.0, 1.0]]


def halves(shape):
    return np.array([n // 2 for n in shape])


def warp_stamp(stamp, matrix, fraction=(0.0, 0.0), *, order=3, size=SIZE):
    """Move a stamp to where it lies, and warp it."""
    fraction, half_size = jnp.asarray(fraction), jnp.asarray(halves(stamp.shape))
    image = shift(jnp.asarray(stamp), fraction, half_size)
    return warp_image(image, matrix, fraction, order=order, size=size)


def warp_image(image, matrix, fraction, *, order=3, size=SIZE):
    """Warp the image of a source that is a fraction off the middle pixel."""
    half_size, fraction = halves(image.shape), np.asarray(fraction)
    new_half_size = warped_half_size(half_size, np.asarray(matrix), fraction)
    return warp(
        jnp.asarray(image),
        jnp.asarray(half_size),
        jnp.asarray(matrix, float),
        jnp.asarray(fraction),
        Lanczos(order),
        size=size,
        warped_half_size=jnp.asarray(new_half_size),
    )


def draw_samples(seed, n, shape=SHAPE):
    """Draw how inputs are seen from one position."""
    random = np.random.default_rng(seed)
    matrix = np.array([draw_matrix(seed + k) for k in range(n)])
    fraction = random.uniform(-0.5, 0.5, (n, 2))
    pairs = zip(matrix, fraction, strict=True)
    return PsfSamples(
        position=jnp.asarray(random.uniform(0, 4000, (n, 2))),
        fraction=jnp.asarray(fraction),
        matrix=jnp.asarray(matrix),
        half_size=jnp.asarray([warped_half_size(halves(shape), *p) for p in pairs]),
        weight=jnp.asarray(random.uniform(0.5, 2, n)),
        used=jnp.ones(n, bool),
    )


# A stamp has a relative rounding of eps; a hundred products are added up.
def rounding():
    return 100 * float(jnp.finfo(jnp.result_type(float)).eps)


# The largest error, in parts of the peak, with which Lanczos' kernel of an order, made
# to sum 1, interpolates a Gaussian of sigma 1.7 pixels on one axis; a test below.
LANCZOS_ERROR = {3: 4.4e-3, 5: 1.75e-3}


# Properties.


@both_precisions
@given(seed=SEEDS, scale=st.sampled_from([1e-3, 1.0, 1e5]))
def test_scale_of_a_stamp_does_not_matter(seed, scale, precision):
    stamp = draw_stamp(seed)
    position = jnp.array([30.3, 50.0])
    found = psf_kernel_at(make_stamp_psf(stamp * scale), position)
    assert float(found.sum()) == pytest.approx(1, abs=rounding())
    expected = psf_kernel_at(make_stamp_psf(stamp), position)
    np.testing.assert_allclose(found, expected, rtol=0, atol=rounding())


def test_spatial_psf_is_the_sum_of_stamps_at_the_position(precision):
    stamps = np.stack([draw_stamp(k) for k in range(3)])
    coefficients = [[1, 0, 0], [0.05, 0.002, 0], [-0.1, 0, 0.001]]
    psf = make_stamp_psf(stamps, coefficients)
    found = psf_kernel_at(psf, jnp.array([200.0, 300.0]))
    combined = stamps[0] + 0.45 * stamps[1] + 0.2 * stamps[2]
    np.testing.assert_allclose(
        found, combined / combined.sum(), rtol=0, atol=rounding()
    )


def test_stack_of_psfs_holds_each_of_them(precision):
    first = make_stamp_psf(draw_stamp(1, (9, 21)))
    coefficients = [[1, 0, 0], [0, 1e-3, 0]]
    second = make_stamp_psf(
        np.stack([draw_stamp(2, (15, 7)), draw_stamp(3, (15, 7))]), coefficients
    )
    stacked = stack_psfs([first, second])
    at = jnp.array([100.0, 20.0])
    for n, psf in enumerate((first, second)):
        found = psf_kernel_at(jax.tree.map(lambda leaf, n=n: leaf[n], stacked), at)
        rows, columns = (full // 2 for full in found.shape)
        y, x = (int(h) for h in psf.half_size)
        inner = found[rows - y : rows + y + 1, columns - x : columns + x + 1]
        np.testing.assert_allclose(
            inner, psf_kernel_at(psf, at), rtol=0, atol=rounding()
        )
        assert float(jnp.abs(found).sum() - jnp.abs(inner).sum()) < rounding()


def test_stamp_that_is_not_moved_keeps_every_bit(precision):
    stamp = jnp.asarray(draw_stamp(4))
    found = shift(stamp, jnp.zeros(2), jnp.asarray(halves(SHAPE)))
    np.testing.assert_array_equal(found, stamp)


@both_precisions
@given(seed=SEEDS)
def test_moved_gaussian_is_the_gaussian_elsewhere(seed, precision):
    fraction = np.random.default_rng(seed).uniform(-0.5, 0.5, 2)
    covariance = 4.0 * np.eye(2)
    stamp = gaussian((25, 25), covariance)
    found = shift(
        jnp.asarray(stamp), jnp.asarray(fraction), jnp.asarray(halves(stamp.shape))
    )
    expected = gaussian((25, 25), covariance, fraction)
    # Lanczos' kernel of order 5 is no more exact on one axis than LANCZOS_ERROR.
    allowed = 2 * LANCZOS_ERROR[5] * stamp.max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=allowed)


def test_nothing_is_moved_out_of_the_stamp():
    padded = np.pad(draw_stamp(5, (9, 11)), 4)
    half_size = jnp.array([4, 5])
    found = shift(jnp.asarray(padded), jnp.array([0.3, -0.4]), half_size)
    alone = shift(jnp.asarray(padded[4:-4, 4:-4]), jnp.array([0.3, -0.4]), half_size)
    np.testing.assert_allclose(
        found[4:-4, 4:-4], alone, rtol=0, atol=100 * float(np.finfo("f").eps)
    )
    assert not np.any(found[:4]) and not np.any(found[:, :4])


def test_image_at_a_position_is_the_kernel_image_moved(precision):
    psf = make_stamp_psf(draw_stamp(6))
    position = jnp.array([10.25, 20.75])
    assert pixel_fraction(position).tolist() == [0.25, -0.25]
    found = psf_image_at(psf, position)
    kernel = psf_kernel_at(psf, position)
    moved = shift(kernel, jnp.array([0.25, -0.25]), psf.half_size)
    np.testing.assert_allclose(found, moved, rtol=0, atol=rounding())


@both_precisions
@given(seed=SEEDS, order=st.sampled_from([3, 5]))
def test_identity_at_whole_positions_returns_the_stamp(seed, order, precision):
    stamp = draw_stamp(seed)
    found = warp_stamp(stamp, np.eye(2), order=order, size=SHAPE)
    np.testing.assert_allclose(found, stamp / stamp.sum(), rtol=0, atol=rounding())


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turn_moves_pixels_exactly(turns, precision):
    stamp = draw_stamp(7)
    quarter = np.linalg.matrix_power([[0, 1], [-1, 0]], turns)
    shape = SHAPE if turns == 2 else SHAPE[::-1]
    found = warp_stamp(stamp, quarter, size=shape)
    # In y, which grows upwards, (x, y) of the new stamp shows (y, -x) of the old one.
    expected = np.rot90(stamp, -turns) / stamp.sum()
    np.testing.assert_allclose(found, expected, rtol=0, atol=rounding())


@both_precisions
@given(seed=SEEDS)
def test_warped_psf_has_sum_one_within_its_box(seed, precision):
    fraction = np.random.default_rng(seed).uniform(-0.5, 0.5, 2)
    matrix = draw_matrix(seed)
    found = warp_stamp(draw_stamp(seed), matrix, fraction)
    assert float(found.sum()) == pytest.approx(1, abs=rounding())
    rows, columns = warped_half_size(halves(SHAPE), matrix, fraction)
    y, x = np.abs(np.indices(SIZE) - WIDE // 2)
    assert not np.any(np.asarray(found)[(y > rows) | (x > columns)])


@both_precisions
@given(seed=SEEDS, order=st.sampled_from([3, 5]))
def test_warped_gaussian_is_the_analytic_one(seed, order, precision):
    matrix = draw_matrix(seed)
    fraction = np.random.default_rng(seed).uniform(-0.5, 0.5, 2)
    covariance = np.array([[4.0, 0.8], [0.8, 3.5]])
    stamp = gaussian((25, 25), covariance)
    found = warp_stamp(stamp, matrix, fraction, order=order)
    inverse = np.linalg.inv(matrix)
    expected = gaussian(SIZE, inverse @ covariance @ inverse.T)
    expected = expected / expected.sum()
    # Two axes of the warp, and two of the move before it, by order 5.
    allowed = 2 * (LANCZOS_ERROR[order] + LANCZOS_ERROR[5])
    np.testing.assert_allclose(found, expected, rtol=0, atol=allowed * expected.max())


@both_precisions
@given(seed=SEEDS, order=st.sampled_from([3, 5]))
def test_warped_psf_is_what_becomes_of_a_star_but_for_the_move(seed, order, precision):
    matrix = draw_matrix(seed)
    fraction = np.random.default_rng(seed).uniform(-0.5, 0.5, 2)
    covariance = 4.0 * np.eye(2)
    found = warp_stamp(gaussian((25, 25), covariance), matrix, fraction, order=order)
    star = gaussian((25, 25), covariance, fraction)
    expected = warp_image(star, matrix, fraction, order=order)
    # Two axes of the move, whatever the kernel of the warp is: an error as smooth as
    # this one is not enlarged by a warp.
    allowed = 2 * LANCZOS_ERROR[5] * float(expected.max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=allowed)


@pytest.mark.parametrize("order", [3, 5])
def test_interpolated_gaussian_is_off_by_the_error_of_the_kernel(order):
    fractions = np.linspace(0, 1, 101)
    with jax.enable_x64(True):
        weights = np.stack(Lanczos(order).weights(jnp.asarray(fractions)))
    taps = np.arange(1 - order, order + 1)[:, None, None]
    pixels = np.arange(-20, 21)[None, :, None]
    width = 2 * 1.7**2
    found = np.sum(weights[:, None] * np.exp(-((pixels + taps) ** 2) / width), axis=0)
    expected = np.exp(-((pixels[0] + fractions) ** 2) / width)
    error = np.abs(found / weights.sum(axis=0) - expected).max()
    assert 0.95 * LANCZOS_ERROR[order] < error < LANCZOS_ERROR[order]


def test_cached_kernel_is_the_kernel_in_the_middle_of_a_step():
    kernel = CachedKernel(Lanczos(3), 10)
    for found, expected in zip(
        kernel.weights(jnp.array([0.0, 0.31, 0.99])),
        Lanczos(3).weights(jnp.array([0.05, 0.35, 0.95])),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert kernel.half_width == 3


def test_psf_of_one_input_is_its_warped_psf(precision):
    psf, samples = make_stamp_psf(draw_stamp(8)), draw_samples(8, 1)
    found, has_input = draw(stack_psfs([psf]), samples, Lanczos(3), size=SIZE)
    sample = jax.tree.map(lambda leaf: leaf[0], samples)
    alone = draw_one(psf, sample, Lanczos(3), size=SIZE)
    assert has_input
    np.testing.assert_allclose(found, alone, rtol=0, atol=rounding())


@both_precisions
@given(seed=SEEDS, scale=st.sampled_from([-2.0, 1e-3, 1e6]))
def test_scale_of_weights_does_not_matter(seed, scale, precision):
    stamps = jnp.stack([jnp.asarray(draw_stamp(seed + k)) for k in range(4)])
    stamps = stamps / stamps.sum(axis=(1, 2), keepdims=True)
    random = np.random.default_rng(seed)
    weights = jnp.asarray(random.uniform(0.5, 2, 4))
    used = jnp.asarray(np.arange(4) != seed % 4)
    found, has_input = mean(stamps, scale * weights, used)
    expected, _ = mean(stamps, weights, used)
    assert has_input
    np.testing.assert_allclose(found, expected, rtol=0, atol=rounding())
    assert float(found.sum()) == pytest.approx(1, abs=rounding())


def test_order_of_inputs_and_absent_ones_do_not_matter(precision):
    stamps = jnp.stack([jnp.asarray(draw_stamp(k)) for k in range(4)])
    weights = jnp.array([1.0, 2.0, 0.5, 3.0])
    used = jnp.array([True, True, False, True])
    expected, _ = mean(stamps, weights, used)
    order = np.array([3, 2, 0, 1])
    broken = stamps.at[2].set(jnp.nan)
    found, _ = mean(broken[order], weights[order], used[order])
    np.testing.assert_allclose(found, expected, rtol=0, atol=rounding())


def test_without_inputs_the_stamp_is_not_a_number():
    stamps = jnp.ones((2, 3, 3))
    found, has_input = mean(stamps, jnp.ones(2), jnp.zeros(2, bool))
    assert not has_input and np.all(np.isnan(found))
    found, has_input = mean(stamps, jnp.array([1.0, -1.0]), jnp.ones(2, bool))
    assert has_input and np.all(np.isnan(found))


def test_cell_psf_under_the_identity_is_the_stamp(precision):
    stamp = gaussian((35, 35), 4 * np.eye(2))
    y, x = np.indices((36, 36)) - 18.0
    offsets = jnp.asarray(np.stack([x, y], axis=-1))
    half_size = jnp.array([17, 17])
    found = warp_psf_to_cell(jnp.asarray(stamp), half_size, offsets, Lanczos(3))
    np.testing.assert_allclose(found, stamp, rtol=0, atol=rounding())
    # Half as large pixels: a quarter of the area each, and of the flux.
    half = warp_psf_to_cell(jnp.asarray(stamp), half_size, offsets / 2, Lanczos(3))
    centre = slice(1, None, 2)
    np.testing.assert_allclose(
        half[centre, centre], stamp[9:26, 9:26] / 4, rtol=0, atol=rounding()
    )


# Worked numbers.


def test_half_sizes_are_those_of_the_box_of_the_corners():
    no_shift = np.zeros(2)
    assert warped_half_size([12, 10], np.eye(2), no_shift).tolist() == [12, 10]
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    assert warped_half_size([12, 10], quarter, no_shift).tolist() == [10, 12]
    assert warped_half_size([12, 12], 0.5 * np.eye(2), no_shift).tolist() == [25, 25]
    assert warped_half_size([12, 12], 2 * np.eye(2), no_shift).tolist() == [6, 6]


def test_centres_of_cells_count_only_pixels_of_the_image():
    y, x = grid_cell_centres((4100, 1000), origin=(100, -50))
    assert x.tolist() == [349.5, 849.5]
    assert y[:2].tolist() == [199.5, 699.5]
    assert y[-1] == 4000 - 50 + 49.5


# Transformations.


@pytest.mark.slow
def test_jit_gives_what_eager_gives_and_vmap_what_a_loop_gives(precision):
    psfs = stack_psfs([make_stamp_psf(draw_stamp(k)) for k in range(3)])
    rows = [draw_samples(seed, 3) for seed in (1, 10, 20)]
    loop = [draw(psfs, row, Lanczos(3), size=SIZE)[0] for row in rows]
    eager, _ = coadd_psf_at(psfs, rows[0], Lanczos(3), size=SIZE)
    np.testing.assert_allclose(loop[0], eager, rtol=0, atol=rounding())
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    function = functools.partial(coadd_psf_at, psfs, kernel=Lanczos(3), size=SIZE)
    found, has_input = jax.jit(jax.vmap(function))(stacked)
    assert has_input.all()
    np.testing.assert_allclose(found, np.stack(loop), rtol=0, atol=rounding())


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [Lanczos(3), Bilinear()])
def test_gradients_are_slopes_in_stamps_weights_and_maps(kernel):
    with jax.enable_x64(True):
        psf = stack_psfs([make_stamp_psf(draw_stamp(k, (11, 11))) for k in (1, 2)])
        samples = draw_samples(30, 2, (11, 11))

        @jax.jit
        def function(stamps, weight, matrix, fraction):
            inputs = type(psf)(stamps, psf.coefficients, psf.half_size)
            seen = PsfSamples(
                *(samples.position, fraction, matrix, samples.half_size),
                *(weight, samples.used),
            )
            found, _ = coadd_psf_at(inputs, seen, kernel, size=(13, 13))
            return jnp.sum(found**2)

        def unrounded(stamps, weight, matrix):
            return function(stamps, weight, matrix, samples.fraction)

        arguments = (psf.stamps, samples.weight, samples.matrix)
        # Second derivatives are below 100 and steps 1e-6.
        check_grads(unrounded, arguments, order=1, eps=1e-6, atol=1e-5, rtol=1e-5)
        # The fraction is rounded to 32 bits, some 3e-8: over steps of 1e-3 a slope is
        # known to 3e-5 of the change that a pixel makes, and to their square.
        by_fraction = functools.partial(function, *arguments)
        check_grads(
            by_fraction, (samples.fraction,), order=1, eps=1e-3, atol=1e-3, rtol=1e-3
        )


def test_inputs_that_are_absent_do_not_poison_the_gradient(precision):
    stamps = jnp.stack([jnp.full((3, 3), jnp.nan), jnp.ones((3, 3))])
    used = jnp.array([False, True])

    @jax.grad
    def slope(weights):
        return jnp.sum(coadd_psf(stamps, weights, used)[0] ** 2)

    assert np.all(np.isfinite(slope(jnp.array([1.0, 2.0]))))


# Refusals.


@pytest.mark.parametrize(
    "stamps, message",
    [
        (np.zeros((0, 5, 5)), "at least one stamp"),
        (np.ones(5), r"shape \(5,\)|at least one"),
        (np.ones((4, 5)), "4 by 5 pixels; sizes must be odd"),
        (np.full((5, 5), np.nan), "25 pixels of a PSF are not finite"),
        (np.zeros((5, 5)), "sum of the stamp of a PSF is 0"),
        (np.eye(9)[:, :1] * np.ones((9, 9)), r"centroid .* -4\.0 pixels in y"),
        (np.ones((2, 5, 5)), "2 stamps have no coefficients"),
    ],
)
def test_stamps_that_are_no_psf_are_refused(stamps, message):
    with pytest.raises(ValueError, match=message):
        make_stamp_psf(stamps)


@pytest.mark.parametrize("coefficients", [[[1, 0]], [[1, 0, np.nan]], [[1, 0, 0]] * 2])
def test_coefficients_that_do_not_fit_are_refused(coefficients):
    with pytest.raises(ValueError, match="1 stamps need 1 rows of three finite"):
        make_stamp_psf(np.ones((5, 5)), coefficients)


def test_nothing_cannot_be_stacked():
    with pytest.raises(ValueError, match="no PSF to put into a stack"):
        stack_psfs([])


@pytest.mark.parametrize("matrix", [np.diag([1, 1 / 201]), np.zeros((2, 2))])
def test_maps_that_enlarge_too_much_are_refused(matrix):
    with pytest.raises(LargeTransformError, match="at most 200 are possible"):
        warped_half_size(np.array([5, 5]), matrix, np.zeros(2))


def test_results_of_even_size_are_refused():
    with pytest.raises(ValueError, match="20 by 21; both must be odd"):
        warp_stamp(draw_stamp(1), np.eye(2), size=(20, 21))
    with pytest.raises(ValueError, match="4 by 4; both must be odd"):
        warp_psf_to_cell(jnp.ones((5, 5)), jnp.ones(2), jnp.ones((5, 5, 2)), Bilinear())


def test_tables_of_nothing_and_cells_of_nothing_are_refused():
    with pytest.raises(ValueError, match="size of a cached kernel is 0"):
        CachedKernel(Lanczos(3), 0)
    with pytest.raises(ValueError, match="cannot be cut into cells of 0"):
        grid_cell_centres((10, 10), cell_size=0)


def test_grids_whose_parts_disagree_are_refused():
    with pytest.raises(ValueError, match="all must agree"):
        PsfGrid(np.zeros((2, 1, 3, 3)), np.zeros(2), np.zeros(2), np.ones((2, 1), bool))
