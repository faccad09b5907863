import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jaxcoadd.bright_objects import (
    BrightObject,
    bright_object_spans,
    flag_bright_objects,
)
from jaxcoadd.masks import LSST_PLANES
from jaxcoadd.spans import SpanSet

ARCSEC = 1 / 3600
POSITIONS = st.tuples(st.floats(-30, 30), st.floats(-30, 30))
PIXELS = st.floats(0, 20)


def circle(pixels, **other):
    return BrightObject("circle", 0.0, 0.0, radius=pixels * ARCSEC, **other)


def box(width, height, **other):
    sizes = {"width": width * ARCSEC, "height": height * ARCSEC}
    return BrightObject("box", 0.0, 0.0, **sizes, **other)


def pixels_of(item, position, **options):
    """Spans of one object on a grid of one arcsec a pixel."""
    return bright_object_spans([item], np.array([position], float), 1.0, **options)[0]


@given(position=POSITIONS, radius=PIXELS)
def test_circle_has_a_rounded_centre_and_a_cut_radius(position, radius):
    x, y = (math.floor(value + 0.5) for value in position)
    pixels = int(radius * ARCSEC * 3600)
    assert pixels_of(circle(radius), position) == SpanSet.circle(x, y, pixels)


@given(position=POSITIONS, width=PIXELS, height=PIXELS)
def test_box_ends_are_cut_towards_zero(position, width, height):
    (x, y), item = (math.floor(v + 0.5) for v in position), box(width, height)
    half = 0.5 * (item.width * 3600), 0.5 * (item.height * 3600)
    ends = int(x - half[0]), int(y - half[1]), int(x + half[0]), int(y + half[1])
    assert pixels_of(item, position) == SpanSet.box(*ends)


def test_box_at_negative_positions_is_wider_by_a_pixel():
    positive, negative = (pixels_of(box(2.5, 0.5), (x, 5)) for x in (9, -9))
    assert positive.rows.tolist() == [[4, 7, 10], [5, 7, 10]]
    assert negative.rows.tolist() == [[4, -10, -7], [5, -10, -7]]
    across = pixels_of(box(2.5, 0.5), (0, 5))
    assert across.rows.tolist() == [[4, -1, 1], [5, -1, 1]]


@given(
    position=POSITIONS,
    width=PIXELS,
    height=PIXELS,
    angle=st.floats(-360, 360).filter(lambda angle: angle != 0),
)
def test_turned_box_is_the_pixel_centres_in_the_rectangle(
    position, width, height, angle
):
    y, x = np.mgrid[-60:61, -60:61]
    dx, dy = x - position[0], y - position[1]
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    along = np.abs(dx * cosine + dy * sine) - width / 2
    across = np.abs(dy * cosine - dx * sine) - height / 2
    outside = np.maximum(along, across)
    covered = pixels_of(box(width, height, angle=angle), position)
    image = covered.to_image(x.shape, (-60, -60))
    # A pixel centre on the edge is on either side after rounding.
    clear = np.abs(outside) > 1e-9
    np.testing.assert_array_equal(image[clear], (outside <= 0)[clear])


@given(position=POSITIONS, width=PIXELS, height=PIXELS)
@example(position=(0.0, 0.0), width=3.0, height=2.0)
def test_quarter_of_a_turn_swaps_width_and_height(position, width, height):
    turned = pixels_of(box(width, height, angle=90.0), position)
    assert turned == pixels_of(box(height, width, angle=180.0), position)
    assert turned == pixels_of(box(width, height, angle=-90.0), position)


@given(
    position=POSITIONS,
    width=PIXELS,
    angle=st.sampled_from([0.0, 30.0, 90.0]),
    corner=POSITIONS,
)
def test_spans_within_a_box_are_the_spans_clipped_to_it(position, width, angle, corner):
    x, y = map(int, corner)
    within = (x, y, x + 15, y + 9)
    for item in (circle(width), box(width, 7.0, angle=angle)):
        clipped = pixels_of(item, position).clipped(within)
        assert pixels_of(item, position, within=within) == clipped


def test_a_patch_in_a_star_larger_than_the_sky_is_filled():
    for item in (circle(6e8), box(1e9, 1e9), box(1e9, 1e9, angle=20.0)):
        assert pixels_of(item, (3e7, -2e7), within=(-2, -1, 5, 6)).area == 64


@pytest.mark.parametrize("angle", [1e-310, -1e-310, -1e-33, 1e-9])
def test_turn_by_nearly_nothing_is_that_by_a_whole_turn(angle):
    expected = pixels_of(box(4.5, 7.0, angle=360.0), (3.2, -1.7))
    assert pixels_of(box(4.5, 7.0, angle=angle), (3.2, -1.7)) == expected
    assert expected.area == 5 * 7


@pytest.mark.parametrize("angle", [0.0, 35.0])
def test_negative_width_and_height_are_as_good_as_positive_ones(angle):
    expected = pixels_of(box(4.0, 7.0, angle=angle), (3.2, -1.7))
    for sizes in ((-4.0, 7.0), (4.0, -7.0), (-4.0, -7.0)):
        assert pixels_of(box(*sizes, angle=angle), (3.2, -1.7)) == expected


@pytest.mark.parametrize("place", [np.nan, np.inf, -1e300, 1e30])
@pytest.mark.parametrize("item", [circle(3.0), box(3.0, 2.0), box(3.0, 2.0, angle=9.0)])
def test_centre_that_cannot_be_projected_covers_nothing(item, place):
    assert pixels_of(item, (place, 4.0)).area == 0
    assert pixels_of(item, (4.0, place)).area == 0


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            circle(np.nan, id=12),
            r"bright object 1 \(id 12\): radius is nan; expected 0",
        ),
        (circle(-3.0), "bright object 1: radius is -0.0008"),
        (box(np.nan, 1.0), "width is nan; expected finite degrees"),
        (box(1.0, np.inf, id="Sirius"), r"\(id Sirius\): height is inf"),
        (box(1.0, 1.0, angle=np.nan), "angle is nan"),
    ],
)
def test_sizes_that_cannot_be_used_are_refused_by_name(item, message):
    for place in (2.0, np.nan):
        positions = np.array([[1.0, 1.0], [place, 2.0]])
        with pytest.raises(ValueError, match=message):
            bright_object_spans([circle(1.0), item], positions, 1.0)


def test_numbers_that_are_not_used_do_not_matter():
    plain = pixels_of(circle(3.0), (1.0, 2.0))
    odd = circle(3.0, width=np.nan, height=-1.0, angle=np.nan, mag=np.nan)
    assert pixels_of(odd, (1.0, 2.0)) == plain
    assert pixels_of(box(3.0, 2.0, radius=-1.0), (1.0, 2.0)).area > 0


def test_an_unknown_kind_covers_nothing_with_a_warning():
    with pytest.warns(
        UserWarning, match="object 0: no kind 'polygon'; it masks nothing"
    ):
        assert pixels_of(BrightObject("polygon", 1.0, 2.0), (3.0, 4.0)).area == 0


def test_bad_positions_and_scales_are_refused():
    with pytest.raises(ValueError, match="1 objects have 2 positions"):
        bright_object_spans([circle(1.0)], np.zeros((2, 2)), 1.0)
    for scale in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="plate scale must be more than 0"):
            bright_object_spans([circle(1.0)], np.zeros((1, 2)), scale)


def test_flag_sets_one_plane_in_the_spans_and_nothing_else():
    mask = jnp.arange(30, dtype=jnp.uint32).reshape(5, 6)
    spans = [SpanSet.circle(11, 21, 1), SpanSet.box(15, 24, 90, 90)]
    flagged, planes = flag_bright_objects(mask, LSST_PLANES, spans, origin=(10, 20))
    assert planes == LSST_PLANES.add("BRIGHT_OBJECT")
    region = (spans[0] | spans[1]).to_image((5, 6), (10, 20))
    bit = np.where(region, 1 << planes.bit("BRIGHT_OBJECT"), 0).astype(np.uint32)
    np.testing.assert_array_equal(flagged, np.asarray(mask) | bit)
    assert region.sum() == 6
    other, planes = flag_bright_objects(mask, LSST_PLANES, spans, "CR", origin=(10, 20))
    assert planes == LSST_PLANES
    np.testing.assert_array_equal(((other ^ mask) != 0) <= region, True)


def test_flag_under_jit_equals_eager(precision):
    spans = [SpanSet.circle(2, 2, 2)]

    def flag(mask):
        return flag_bright_objects(mask, LSST_PLANES, spans)[0]

    mask = jnp.arange(30, dtype=jnp.uint32).reshape(5, 6)
    np.testing.assert_array_equal(jax.jit(flag)(mask), flag(mask))
