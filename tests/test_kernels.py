"""Kernels of resampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxcoadd import reference
from jaxcoadd.resampling import Bilinear, Lanczos, Nearest

# Half-width, fraction, weights (the second half mirrored at 0.5), sum, sum of squares
# over the square of the sum.
PRINTED = [
    (
        3,
        0.25,
        "0.030021091450 -0.132871018365 0.890067051710 0.270189823046 "
        "-0.067791335901 0.007355926047",
        0.996971537988,
        0.893833328035,
    ),
    (
        3,
        0.5,
        "0.024317084074 -0.135094911523 0.607927101854",
        0.994298548810,
        0.785769139887,
    ),
    (
        5,
        0.25,
        "0.009003765302 -0.030218257888 0.069889213307 -0.162113893828 0.896618478682 "
        "0.289120908027 -0.104222154757 0.046785341139 -0.018012654870 0.002483707697",
        0.999334452812,
        0.934300201501,
    ),
    (
        5,
        0.5,
        "0.007730856206 -0.033457371207 0.081056946914 -0.182156798793 0.626199352713",
        0.998745971667,
        0.868288589833,
    ),
]
ALL = [Lanczos(n) for n in (1, 2, 3, 4, 5, 6)] + [Bilinear(), Nearest()]


@pytest.mark.parametrize("n, fraction, weights, total, factor", PRINTED)
def test_weights_of_lanczos_are_the_printed_ones(n, fraction, weights, total, factor):
    expected = np.array([float(w) for w in weights.split()])
    if fraction == 0.5:
        expected = np.concatenate([expected, expected[::-1]])
    with jax.enable_x64(True):
        found = np.array(Lanczos(n).weights(jnp.float64(fraction)))
    for values in (found, reference.kernel_weights(f"lanczos{n}", fraction)):
        np.testing.assert_allclose(values, expected, atol=6e-13)
        assert values.sum() == pytest.approx(total, abs=1e-12)
        assert (values**2).sum() / values.sum() ** 2 == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize(
    "n, low, high", [(3, 0.994299, 1), (4, 1, 1.002433), (5, 0.998746, 1)]
)
def test_sums_of_lanczos_have_the_printed_range(n, low, high):
    with jax.enable_x64(True):
        total = np.sum(Lanczos(n).weights(jnp.linspace(0, 1, 2001)), axis=0)
    assert total.min() == pytest.approx(low, abs=1e-6)
    assert total.max() == pytest.approx(high, abs=1e-6)


@pytest.mark.parametrize("n, factor", [(3, 0.89337), (4, 0.91412), (5, 0.93423)])
def test_mean_factor_of_the_variance_is_the_printed_one(n, factor):
    with jax.enable_x64(True):
        fraction = (jnp.arange(4000.0) + 0.5) / 4000
        weights = np.array(Lanczos(n).weights(fraction))
    mean = ((weights**2).sum(0) / weights.sum(0) ** 2).mean()
    assert mean == pytest.approx(factor, abs=6e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8])
@given(fraction=st.floats(0, 1, width=32))
def test_weights_are_the_product_of_two_sincs(n, fraction):
    offset = np.arange(1 - n, n + 1)
    expected = np.sinc(offset - fraction) * np.sinc((offset - fraction) / n)
    with jax.enable_x64(True):
        found = np.array(Lanczos(n).weights(jnp.float64(fraction)))
    # Within 1e-5 of a pixel's centre, in radians, the weight is 1: off by 2e-11.
    np.testing.assert_allclose(found, expected, atol=3e-11)
    narrow = np.array(Lanczos(n).weights(jnp.float32(fraction)))
    # Some ten roundings, and n more for the sine of the n-fold angle.
    np.testing.assert_allclose(narrow, expected, atol=(10 + n) * 2.0**-24)


def test_weight_is_precise_next_to_a_pixel_in_32_bits():
    near = 1 - np.float32(2.0) ** -np.arange(3, 24, dtype=np.float32)
    found = np.array(Lanczos(3).weights(jnp.asarray(near)))
    offset, near = np.arange(-2, 4)[:, None], near.astype(float)
    expected = np.sinc(offset - near) * np.sinc((offset - near) / 3)
    # Where a weight passes through 0 it is precise to a part of the largest one.
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kernel", ALL, ids=repr)
def test_there_are_two_half_widths_of_weights_and_one_at_a_pixel(kernel):
    weights = np.array(kernel.weights(jnp.float32(0)))
    assert len(weights) == 2 * kernel.half_width
    expected = np.arange(len(weights)) == kernel.half_width - 1
    np.testing.assert_allclose(weights, expected, atol=1e-16)


@pytest.mark.parametrize("kernel", ALL, ids=repr)
@given(fraction=st.floats(0, 1, width=32))
def test_footprint_holds_the_weights_that_are_not_zero(kernel, fraction):
    fraction = jnp.float32(fraction)
    offsets = kernel.footprints[int(kernel.footprint(fraction))]
    weights = dict(
        zip(
            range(1 - kernel.half_width, kernel.half_width + 1),
            kernel.weights(fraction),
            strict=True,
        )
    )
    assert {o for o, w in weights.items() if w != 0} <= set(offsets)


@pytest.mark.parametrize("kernel", ALL[:-1], ids=repr)
def test_gradients_are_those_of_finite_differences(kernel):
    fraction = np.array([0.01, 0.2, 0.5, 0.77, 0.99])
    with jax.enable_x64(True):
        check_grads(
            lambda f: jnp.stack(kernel.weights(f)), (fraction,), order=1, eps=1e-6
        )


@pytest.mark.parametrize("fraction, expected", [(0.25, [0.75, 0.25]), (0.0, [1, 0])])
def test_bilinear_weights_are_the_distances(fraction, expected):
    found = np.array(Bilinear().weights(jnp.float32(fraction)))
    assert found.tolist() == expected
    assert reference.kernel_weights("bilinear", fraction).tolist() == expected


@pytest.mark.parametrize("fraction, upper", [(0.0, 0), (0.49, 0), (0.5, 1), (0.9, 1)])
def test_nearest_takes_the_upper_pixel_from_the_middle_on(fraction, upper):
    expected = [1 - upper, upper]
    assert np.array(Nearest().weights(jnp.float32(fraction))).tolist() == expected
    assert reference.kernel_weights("nearest", fraction).tolist() == expected


def test_order_must_be_positive():
    with pytest.raises(ValueError, match="at least 1"):
        Lanczos(0)
