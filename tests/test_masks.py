"""Mask planes by name, and the arithmetic of their bits."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxcoadd.masks import (
    LSST_PLANES,
    MaskPlanes,
    has_any,
    map_masks,
    propagate_masks,
    remap_mask,
    union_masks,
    unite_planes,
    unknown_plane_message,
)

NAMES = [f"P{bit}" for bit in range(32)]
MASKS = hnp.arrays(np.uint32, (3, 4))
BITS = st.integers(0, 2**32 - 1)


def plane(mask, planes, name):
    return (np.asarray(mask) >> np.uint32(planes.bit(name))) & np.uint32(1)


# Planes.


@given(order=st.permutations(NAMES))
def test_the_bit_of_a_plane_is_its_position(order):
    planes = MaskPlanes(tuple(order))
    assert [planes.bit(name) for name in order] == list(range(32))
    assert planes.bits(order[30:]) == 2**30 + 2**31


def test_names_without_a_plane_have_no_bits():
    planes = MaskPlanes(("BAD", None, "SAT"))
    assert planes.bits(["SAT", "CR", "SAT"]) == 4
    assert "CR" not in planes
    assert planes.used == ("BAD", "SAT")


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"no mask plane 'SATT'.*did you mean 'SAT'"):
        LSST_PLANES.bit("SATT")
    assert "did you mean" not in unknown_plane_message("XYZ", LSST_PLANES.used)


def test_more_than_32_planes_are_refused_and_listed():
    with pytest.raises(ValueError, match=f"not 33: {', '.join(NAMES)}, LAST"):
        MaskPlanes((*NAMES, "LAST"))
    with pytest.raises(ValueError, match="at most 32 planes"):
        MaskPlanes(tuple(NAMES)).add("LAST")


def test_a_name_that_occurs_twice_is_refused():
    with pytest.raises(ValueError, match="'SAT' is named twice"):
        MaskPlanes(("SAT", "BAD", "SAT"))


@given(bits=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 31), min_size=1))
def test_planes_come_from_a_mapping_unless_two_share_a_bit(bits):
    if len(set(bits.values())) < len(bits):
        with pytest.raises(ValueError, match="share bit"):
            MaskPlanes.from_bits(bits)
    else:
        planes = MaskPlanes.from_bits(bits)
        assert {name: planes.bit(name) for name in planes.used} == bits


@pytest.mark.parametrize("bit", [-1, 32])
def test_bits_outside_of_the_mask_are_refused(bit):
    with pytest.raises(ValueError, match=f"'CR' has bit {bit}"):
        MaskPlanes.from_bits({"CR": bit})


def test_new_planes_take_the_lowest_free_bits():
    planes = MaskPlanes(("BAD", None, "SAT")).add("CR", "SAT", "EDGE")
    assert planes.names == ("BAD", "CR", "SAT", "EDGE")


@given(order=st.permutations([*LSST_PLANES.used, "MINE", "OTHER"]))
def test_united_planes_keep_the_bits_of_lsst(order):
    united = unite_planes([MaskPlanes(tuple(order)), MaskPlanes(("OTHER", "LAST"))])
    assert united.names[: len(LSST_PLANES.names)] == LSST_PLANES.names
    assert set(united.used) == {*LSST_PLANES.used, "MINE", "OTHER", "LAST"}


# Bits.


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
@given(mask=MASKS, seed=st.integers(0, 99))
def test_remapped_masks_have_the_same_planes(array, mask, seed):
    rng = np.random.default_rng(seed)
    source = MaskPlanes(tuple(rng.permutation([*NAMES[:28], *[None] * 4])))
    target = MaskPlanes(tuple(rng.permutation(NAMES)))
    found = remap_mask(array(mask), source, target)
    assert found.dtype == np.uint32
    for name in source.used:
        np.testing.assert_array_equal(
            plane(found, target, name), plane(mask, source, name)
        )
    unnamed = ~np.uint32(target.bits(source.used))
    np.testing.assert_array_equal(np.asarray(found) & unnamed, 0)


def test_a_plane_that_the_target_lacks_is_refused():
    with pytest.raises(ValueError, match="no mask plane 'CR'"):
        remap_mask(np.zeros(1, np.uint32), MaskPlanes(("CR",)), MaskPlanes(("BAD",)))


@given(mask=MASKS, bits=BITS)
def test_has_any_is_a_bitwise_and(mask, bits):
    found = has_any(jnp.asarray(mask), bits)
    np.testing.assert_array_equal(found, (mask & np.uint32(bits)) != 0)


# Around the number of warps where the fold changes from rows to chunks of 16.
@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 64, 65, 70, 80])
def test_the_union_has_every_bit_of_the_masks_that_count(n):
    rng = np.random.default_rng(n)
    masks = rng.integers(0, 2**32, (n, 2, 3), np.uint32)
    masks &= rng.integers(0, 2**32, (n, 2, 3), np.uint32)
    where = rng.random((n, 2, 3)) < 0.5
    every, some = union_masks(masks), union_masks(masks, where=jnp.asarray(where))
    np.testing.assert_array_equal(every, np.bitwise_or.reduce(masks))
    wanted = np.bitwise_or.reduce(np.where(where, masks, np.uint32(0)))
    np.testing.assert_array_equal(some, wanted)


@given(mask=MASKS, pairs=st.lists(st.tuples(BITS, BITS), max_size=3))
def test_mapping_gives_the_second_bits_of_a_pair_for_any_of_the_first(mask, pairs):
    wanted = np.zeros_like(mask)
    for given_bits, mapped in pairs:
        wanted |= np.where(
            mask & np.uint32(given_bits), np.uint32(mapped), np.uint32(0)
        )
    np.testing.assert_array_equal(map_masks(jnp.asarray(mask), pairs), wanted)


def propagated(masks, weights, kept, thresholds):
    """Propagate the masks of one pixel."""
    found = propagate_masks(
        jnp.asarray(masks, jnp.uint32)[:, None],
        jnp.asarray(weights, float)[:, None],
        kept=jnp.asarray(kept)[:, None],
        thresholds=thresholds,
    )
    return int(found[0])


@pytest.mark.parametrize("threshold", [0.1, 0.2, 0.3])
def test_a_fraction_at_the_threshold_does_not_propagate(precision, threshold):
    kept = np.arange(10) >= round(10 * threshold)
    masks = np.where(kept, 0, 2)
    assert propagated(masks, np.ones(10), kept, {1: threshold}) == 0
    kept[0], masks[0], less = False, 2, threshold - 0.01
    assert propagated(masks, np.ones(10), kept, {1: less}) == 2


def test_weights_decide_and_other_rejected_inputs_are_left_out(precision):
    masks, kept = [0, 2, 4], [True, False, False]
    assert propagated(masks, [1.0, 1.0, 98.0], kept, {1: 0.49}) == 2
    assert propagated(masks, [1.0, 0.9, 98.0], kept, {1: 0.49}) == 0
    assert propagated(masks, [1.0, 1.0, 98.0], kept, {1: 0.49, 2: 0.9}) == 2 | 4


def test_used_inputs_do_not_propagate(precision):
    assert propagated([2, 2], [1.0, 1.0], [True, True], {1: 0.0}) == 0


def test_bits_below_the_highest_have_a_threshold_that_negative_weights_exceed():
    # The fraction of bit 0 is 2 / (2 - 1), above 1; bit 2 is above every threshold.
    masks, kept, weights = [0, 1 | 4, 2], [True, False, False], [-1.0, 2.0, 0.0]
    assert propagated(masks, weights, kept, {1: 0.5}) == 1
    assert propagated(masks, weights, kept, {}) == 0


def test_nothing_propagates_where_all_weights_are_zero(precision):
    assert propagated([2, 2], [0.0, 0.0], [True, False], {1: 0.0}) == 0
