import dataclasses

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from jaxcoadd.masks import LSST_PLANES, MaskPlanes
from jaxcoadd.spans import SpanSet, apply_alternative_masks

REGIONS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9))
PAIRS = hnp.arrays(bool, (2, 6, 7))
OFFSETS = st.tuples(st.integers(-12, 12), st.integers(-12, 12))
INT32 = np.iinfo(np.int32)


@given(region=REGIONS, origin=OFFSETS)
def test_image_to_spans_to_image_is_the_same_image(region, origin):
    spans = SpanSet.from_image(region, origin)
    np.testing.assert_array_equal(spans.to_image(region.shape, origin), region)
    assert spans.area == region.sum()


@given(region=REGIONS, seed=st.integers(0, 99))
def test_order_repetition_and_cuts_of_spans_do_not_matter(region, seed):
    spans = SpanSet.from_image(region)
    pixels = np.argwhere(region)
    single = np.stack([pixels[:, 0], pixels[:, 1], pixels[:, 1]], axis=-1)
    rows = np.concatenate([single, spans.rows, single])
    shuffled = SpanSet(np.random.default_rng(seed).permutation(rows))
    assert shuffled == spans
    assert hash(shuffled) == hash(spans)
    assert shuffled.rows.dtype == np.int32


@given(region=REGIONS)
def test_spans_are_as_few_as_the_runs_of_the_image(region):
    runs = (np.diff(np.pad(region, ((0, 0), (1, 0))).astype(int), axis=1) == 1).sum()
    assert len(SpanSet.from_image(region).rows) == runs


@given(region=REGIONS, shift=OFFSETS)
def test_shift_moves_the_origin(region, shift):
    moved = SpanSet.from_image(region).shifted(*shift)
    assert moved == SpanSet.from_image(region, shift)
    assert moved.shifted(-shift[0], -shift[1]) == SpanSet.from_image(region)


@given(region=REGIONS, seed=st.integers(0, 99))
def test_divided_spans_are_the_region_again(region, seed):
    spans = SpanSet.from_image(region)
    part = np.random.default_rng(seed).integers(0, 3, len(spans.rows))
    parts = spans.divided(part)
    assert SpanSet().union(*parts) == spans
    for number, found in zip(np.unique(part), parts, strict=False):
        assert found == SpanSet(spans.rows[part == number])


@given(regions=PAIRS)
def test_union_is_or_of_images(regions):
    first, second = (SpanSet.from_image(region) for region in regions)
    united = SpanSet.from_image(regions.any(axis=0))
    assert first | second == united == second | first
    assert SpanSet().union(first, second, first) == united


@given(region=REGIONS, corner=OFFSETS, size=st.tuples(*2 * [st.integers(1, 9)]))
def test_clipped_spans_are_what_an_image_of_the_box_shows(region, corner, size):
    x, y = corner
    spans, (height, width) = SpanSet.from_image(region), size
    shown = spans.to_image((height, width), corner)
    box = (x, y, x + width - 1, y + height - 1)
    assert spans.clipped(box) == SpanSet.from_image(shown, corner)


@pytest.mark.parametrize("radius", [0, 0.9, 1, 2, 2.5, 5, 13, 25, 29.0])
def test_circle_is_all_pixels_within_the_radius(radius):
    y, x = np.mgrid[-40:41, -40:41]
    expected = x**2 + y**2 <= radius**2
    circle = SpanSet.circle(-7, 11, radius)
    np.testing.assert_array_equal(circle.to_image((81, 81), (-47, -29)), expected)


@given(radius=st.floats(0, 20), corner=OFFSETS, size=st.integers(0, 15))
def test_shapes_within_a_box_are_the_shapes_clipped_to_it(radius, corner, size):
    box = (*corner, corner[0] + size, corner[1] + size)
    clipped = SpanSet.circle(1, -2, radius).clipped(box)
    assert SpanSet.circle(1, -2, radius, within=box) == clipped
    assert SpanSet.box(-3, -9, 4, 5, within=box) == SpanSet.box(-3, -9, 4, 5).clipped(
        box
    )


def test_box_has_both_its_ends():
    image = SpanSet.box(-1, 2, 1, 3).to_image((6, 6), (-2, 0))
    assert np.argwhere(image).tolist() == [
        [2, 1], [2, 2], [2, 3], [3, 1], [3, 2], [3, 3]
    ]  # fmt: skip
    assert SpanSet.box(4, 4, 4, 4).area == 1


def test_spans_may_be_at_the_ends_of_the_32_bit_numbers():
    corner = SpanSet.circle(INT32.max, INT32.min, 2)
    assert corner.area == 6
    whole = SpanSet([(0, INT32.min, INT32.max), (7, INT32.min, 0), (7, 1, INT32.max)])
    assert whole.area == 2**33
    assert len(whole.rows) == 2
    assert whole.to_image((8, 3), (-1, 0)).sum() == 6


def test_no_spans_are_an_empty_region():
    assert SpanSet().area == 0
    assert SpanSet() == SpanSet([]) == SpanSet.from_image(np.zeros((3, 4), bool))
    assert not SpanSet().to_image((2, 3)).any()
    assert SpanSet() != []
    assert SpanSet() != SpanSet.box(0, 0, 0, 0)


def test_spans_cannot_be_changed():
    given_rows = np.array([[0, 1, 2]])
    spans = SpanSet(given_rows)
    given_rows[:] = 7
    assert spans.rows.tolist() == [[0, 1, 2]]
    with pytest.raises(ValueError, match="read-only"):
        spans.rows[0, 0] = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        spans.rows = given_rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0, 1)], r"\(y, x0, x1\), \(span, 3\), not int64 \(1, 2\)"),
        ([(0.0, 1.0, 2.0)], "not float64"),
        ([(3, 1, 2), (3, 5, 4)], r"the span \(y, x0, x1\) \(3, 5, 4\) ends before"),
        ([(2**31, 0, 1)], "32-bit"),
    ],
)
def test_bad_rows_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        SpanSet(rows)


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match="0 or more, not -1"):
        SpanSet.circle(0, 0, -1)
    with pytest.raises(ValueError, match="0 or more, not nan"):
        SpanSet.circle(0, 0, np.nan)
    with pytest.raises(ValueError, match=r"the box \(2, 0, 1, 0\) ends before"):
        SpanSet.box(2, 0, 1, 0)
    with pytest.raises(ValueError, match="two dimensions"):
        SpanSet.from_image(np.zeros(3, bool))
    with pytest.raises(ValueError, match="32-bit"):
        SpanSet.box(INT32.max, 0, INT32.max, 0).shifted(1, 0)


@given(regions=PAIRS, mask=hnp.arrays(np.uint32, (6, 7)), origin=OFFSETS)
def test_alternative_masks_set_their_planes_and_nothing_else(regions, mask, origin):
    before = mask.copy()
    alternatives = {
        "CLIPPED": [SpanSet.from_image(regions[0], origin)],
        "CR": [SpanSet.from_image(region, origin) for region in regions],
    }
    result, planes = apply_alternative_masks(
        mask, LSST_PLANES, alternatives, origin=origin
    )
    assert planes == LSST_PLANES.add("CLIPPED")
    bits = np.where(regions[0], 1 << planes.bit("CLIPPED"), 0)
    bits = bits | np.where(regions.any(axis=0), 1 << planes.bit("CR"), 0)
    np.testing.assert_array_equal(result, before | bits.astype(np.uint32))
    np.testing.assert_array_equal(mask, before)


def test_no_data_clears_bad_planes_before_any_plane_is_set():
    planes = MaskPlanes(("BAD", "SAT", "CR", "NO_DATA"))
    mask = np.full((1, 4), 0b0111, np.uint32)
    alternatives = {
        "BAD": [SpanSet.box(0, 0, 1, 0)],
        "NO_DATA": [SpanSet.box(1, 0, 1, 0), SpanSet.box(2, 0, 9, 0)],
    }
    bad = ("NO_DATA", "BAD", "SAT", "not a plane")
    result, same = apply_alternative_masks(mask, planes, alternatives, bad_planes=bad)
    assert result.tolist() == [[0b0111, 0b1101, 0b1100, 0b1100]]
    assert same == planes
    result, _ = apply_alternative_masks(
        mask, planes, alternatives, bad_planes=("BAD", "SAT")
    )
    assert result.tolist() == [[0b0111, 0b1111, 0b1111, 0b1111]]


def test_planes_are_added_in_order_at_the_lowest_free_bits():
    planes = MaskPlanes(("BAD", None, "SAT"))
    alternatives = {"B": [SpanSet.box(0, 0, 0, 0)], "A": [], "BAD": []}
    mask, added = apply_alternative_masks(
        np.zeros((1, 2), np.uint32), planes, alternatives
    )
    assert added.names == ("BAD", "B", "SAT", "A")
    assert mask.tolist() == [[2, 0]]


def test_the_last_bit_can_be_set():
    planes = MaskPlanes((*map(str, range(31)), "LAST"))
    mask, _ = apply_alternative_masks(
        np.zeros((1, 2), np.uint32), planes, {"LAST": [SpanSet.box(1, 0, 1, 0)]}
    )
    assert mask.tolist() == [[0, 2**31]]


def test_masks_stay_numpy_or_jax_and_jit_equals_eager(precision):
    given_mask = np.arange(12, dtype=np.uint32).reshape(3, 4)
    alternatives = {
        "NO_DATA": [SpanSet.circle(1, 1, 1)],
        "EXTRA": [SpanSet.box(0, 0, 1, 1)],
    }

    def apply(mask):
        return apply_alternative_masks(
            mask, LSST_PLANES, alternatives, bad_planes=("NO_DATA", "BAD")
        )[0]

    host, device = apply(given_mask), apply(jnp.asarray(given_mask))
    assert isinstance(host, np.ndarray)
    assert isinstance(device, jax.Array)
    assert host.dtype == device.dtype == np.uint32
    np.testing.assert_array_equal(host, device)
    np.testing.assert_array_equal(jax.jit(apply)(jnp.asarray(given_mask)), device)


def test_a_mask_of_another_type_is_refused():
    with pytest.raises(ValueError, match="a mask has dtype uint32, not int32"):
        apply_alternative_masks(np.zeros((2, 2), np.int32), LSST_PLANES, {})


STENCILS = {
    "circle": SpanSet.circle(0, 0, 2),
    "diamond": SpanSet.diamond(0, 0, 2),
    "box": SpanSet.box(-1, -2, 1, 2),
    "one-sided": SpanSet([(0, 0, 2), (1, 1, 1)]),
}


@given(region=REGIONS, name=st.sampled_from(sorted(STENCILS)), origin=OFFSETS)
def test_dilation_is_what_the_stencil_reaches_from_some_pixel(region, name, origin):
    stencil = STENCILS[name]
    reached = [
        SpanSet.from_image(region, origin).shifted(dx, dy)
        for dy, x0, x1 in stencil.rows.tolist()
        for dx in range(x0, x1 + 1)
    ]
    assert SpanSet.from_image(region, origin).dilated(stencil) == SpanSet().union(
        *reached
    )


@given(region=REGIONS, name=st.sampled_from(sorted(STENCILS)))
def test_erosion_keeps_the_pixels_whose_stencil_is_within(region, name):
    spans, stencil = SpanSet.from_image(region), STENCILS[name]
    eroded = spans.eroded(stencil)
    assert spans.contains(eroded.dilated(stencil))
    grown = spans.dilated(stencil).eroded(stencil)
    assert grown.contains(spans)
    inside = [
        (y, x, x)
        for y, x in np.argwhere(np.pad(region, 3)) - 3
        if spans.contains(stencil.shifted(int(x), int(y)))
    ]
    assert eroded == SpanSet(inside) & spans


@given(regions=PAIRS)
def test_intersection_and_difference_are_those_of_images(regions):
    first, second = (SpanSet.from_image(region) for region in regions)
    assert first & second == SpanSet.from_image(regions[0] & regions[1])
    assert first - second == SpanSet.from_image(regions[0] & ~regions[1])
    assert first.contains(second) == (not (regions[1] & ~regions[0]).any())


@given(region=REGIONS, shift=OFFSETS)
def test_parts_are_joined_along_rows_and_columns(region, shift):
    spans = SpanSet.from_image(region, (shift[0], 1))
    labels, n = ndimage.label(region)
    expected = [SpanSet.from_image(labels == k, (shift[0], 1)) for k in range(1, n + 1)]
    assert list(spans.split()) == (expected or [SpanSet()])


def test_up_to_row_0_an_arm_that_opens_downwards_is_a_part():
    u = SpanSet([(0, 0, 0), (0, 2, 2), (1, 0, 2)])
    assert len(u.shifted(0, 1).split()) == len(u.split()) == 1
    first, second = u.shifted(0, -1).split()
    assert first == SpanSet([(-1, 0, 0), (0, 0, 2)])
    assert second == SpanSet([(-1, 2, 2)])


def test_bounds_and_centroid_are_those_of_the_pixels():
    spans = SpanSet([(-2, 3, 3), (1, 4, 5)])
    assert spans.bounds == (3, -2, 5, 1)
    assert spans.centroid == (4.0, 0.0)
    assert np.isnan(SpanSet().centroid).all()
    with pytest.raises(ValueError, match="no bounds"):
        _ = SpanSet().bounds
    with pytest.raises(ValueError, match="diamond must be 0 or more, not -1"):
        SpanSet.diamond(0, 0, -1)
