"""Warps, and stacks of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcoadd.masks import LSST_PLANES, MaskPlanes
from jaxcoadd.warps import NANOJANSKY_ZERO_POINT, Warp, common_size, stack_warps

ONES = np.ones((2, 3), np.float32)


def test_a_warp_has_no_mask_and_nanojansky_by_default(precision):
    warp = Warp(ONES, ONES)
    np.testing.assert_array_equal(warp.mask, np.zeros((2, 3), np.uint32), strict=True)
    assert warp.planes == LSST_PLANES
    assert warp.zero_point == NANOJANSKY_ZERO_POINT
    assert warp.shape == (2, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_pixels_keep_their_values_and_precision_in_any_byte_order(dtype, order):
    values = np.arange(6.0).reshape(2, 3)
    with jax.enable_x64(True):
        warp = Warp(values.astype(np.dtype(dtype).newbyteorder(order)), ONES)
        np.testing.assert_array_equal(warp.image, values.astype(dtype), strict=True)
        assert warp.variance.dtype == dtype


def test_integer_pixels_become_floats(precision):
    warp = Warp(np.ones((2, 3), int), ONES)
    assert warp.image.dtype == f"float{precision}"


@pytest.mark.parametrize("dtype", ["<i4", ">i4", "<u4", ">u4", "<i8"])
def test_bit_31_survives_any_type_of_mask(precision, dtype):
    bits = np.array([[1 << 31, 1, 0]], np.uint32)
    mask = bits.view(np.int32).astype(dtype) if "i4" in dtype else bits.astype(dtype)
    warp = Warp(np.ones((1, 3)), np.ones((1, 3)), mask)
    np.testing.assert_array_equal(warp.mask, bits, strict=True)


def test_bit_31_survives_a_signed_jax_mask(precision):
    mask = jnp.array([[-(2**31), 1, 0]], jnp.int32)
    warp = Warp(np.ones((1, 3)), np.ones((1, 3)), mask)
    np.testing.assert_array_equal(warp.mask, np.uint32([[1 << 31, 1, 0]]), strict=True)


@pytest.mark.parametrize(
    ("planes", "message"),
    [
        ((ONES, ONES[:1]), r"variance has shape \(1, 3\)"),
        ((ONES, ONES, np.zeros((3, 2), int)), r"mask has shape \(3, 2\)"),
        ((ONES[0], ONES[0]), r"image has shape \(3,\)"),
    ],
)
def test_planes_that_are_not_images_of_one_shape_are_refused(planes, message):
    with pytest.raises(ValueError, match=message):
        Warp(*planes)


# Stacks.


def test_a_stack_needs_a_warp():
    with pytest.raises(ValueError, match="at least one warp"):
        stack_warps([])


def test_warps_that_differ_in_shape_are_refused():
    warps = [Warp(ONES, ONES)] * 3 + [Warp(ONES.T, ONES.T)]
    with pytest.raises(ValueError, match=r"warp 0 is \(2, 3\), warp 3 is \(3, 2\)"):
        stack_warps(warps)


def test_a_stack_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="2 warps do not fit into a stack of 1"):
        stack_warps([Warp(ONES, ONES)] * 2, size=1)


def test_more_than_32_planes_in_all_are_refused_and_listed():
    planes = [MaskPlanes(tuple(f"{k}{i}" for i in range(11))) for k in "AB"]
    warps = [Warp(ONES, ONES, planes=some) for some in planes]
    with pytest.raises(ValueError, match=r"not 33: BAD, .*, A0, .*, B10"):
        stack_warps(warps)


@pytest.mark.slow
@given(n=st.integers(1, 4), missing=st.integers(0, 3))
def test_absent_warps_fill_the_stack(n, missing):
    warps = [Warp(i * ONES, ONES, zero_point=25.0 + i) for i in range(n)]
    stack = stack_warps(warps, weights=[2.0] * n, size=n + missing)
    assert stack.shape == (n + missing, 2, 3)
    np.testing.assert_array_equal(stack.present, [True] * n + [False] * missing)
    np.testing.assert_array_equal(stack.image[:n, 0, 0], np.arange(n))
    np.testing.assert_array_equal(stack.zero_point[:n], 25.0 + np.arange(n))
    np.testing.assert_array_equal(stack.weight, [2.0] * n + [0.0] * missing)
    np.testing.assert_array_equal(stack.mask[n:], 0)
    assert np.isfinite(stack.image).all()
    assert (stack.variance > 0).all()


@given(seed=st.integers(0, 99))
def test_masks_of_any_numbering_have_the_same_planes_in_the_stack(seed):
    rng = np.random.default_rng(seed)
    names = np.array([*LSST_PLANES.used, "MINE", "OTHER", *[None] * 5], object)
    planes = [MaskPlanes(tuple(rng.permutation(names))) for _ in range(3)]
    masks = rng.integers(0, 2**18, (3, 2, 3), np.uint32)
    warps = [Warp(ONES, ONES, m, planes=p) for m, p in zip(masks, planes, strict=True)]
    stack = stack_warps(warps)
    assert stack.planes.names[:11] == LSST_PLANES.names
    for own, mask, stacked in zip(planes, masks, stack.mask, strict=True):
        for name in own.used:
            np.testing.assert_array_equal(
                np.asarray(stacked) >> stack.planes.bit(name) & 1,
                mask >> own.bit(name) & 1,
            )


def test_a_stack_has_the_widest_type_of_its_warps():
    with jax.enable_x64(True):
        wide = ONES.astype(np.float64)
        assert stack_warps([Warp(ONES, ONES)] * 2).image.dtype == np.float32
        mixed = stack_warps([Warp(ONES, ONES), Warp(wide, wide)], weights=[1.0, 2.0])
        reals = (mixed.image, mixed.variance, mixed.zero_point, mixed.weight)
        assert {a.dtype for a in reals} == {np.dtype(np.float64)}


@given(n=st.integers(1, 5000))
def test_a_common_size_holds_the_warps_and_few_more(n):
    size = common_size(n)
    assert n <= size < 1.5 * n + 1
    assert common_size(size) == size
    assert common_size(n + 1) >= size


def test_stacks_of_5_to_120_warps_have_10_common_sizes():
    assert len({common_size(n) for n in range(5, 121)}) == 10


def test_a_common_size_of_no_warps_is_refused():
    with pytest.raises(ValueError, match="at least one warp, not 0"):
        common_size(0)
