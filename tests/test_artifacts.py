import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcoadd.artifacts import (
    COMPARE_WARP,
    COMPARE_WARP_V24,
    SAFE_CLIP,
    ArtifactError,
    CompareWarpConfig,
    choose_warps,
    compare_warp,
    count_regions,
    find_artifacts,
    has_good_pixels,
    is_transient,
    is_within_one,
    mask_stack,
    max_epochs,
    number_pixels,
    remarks,
    safe_clip,
    static_sky,
)
from jaxcoadd.artifacts.finding import attempt_factors
from jaxcoadd.artifacts.safe_clip import overlap
from jaxcoadd.coadds import coadd
from jaxcoadd.masks import LSST_PLANES
from jaxcoadd.spans import SpanSet
from jaxcoadd.warps import Warp, stack_warps

pytestmark = pytest.mark.slow

WARPS, SHAPE = 6, (48, 52)
BIT = {name: np.uint32(1 << n) for n, name in enumerate(LSST_PLANES.names)}
TRAIL = SpanSet.box(5, 20, 40, 22)
# Their background is of one cell, so that a test compiles little.
SIGMA = 1.5


def draw_warps(seed=0, n=WARPS, trail_in=None, height=60.0):
    """Draw noise of variance 1, and one star, with a trail in one warp."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    star = 3000 * np.exp(-((x - 30) ** 2 + (y - 36) ** 2) / (2 * SIGMA**2))
    warps = []
    for k in range(n):
        image = star + rng.normal(size=SHAPE)
        if k == trail_in:
            image += height * TRAIL.to_image(SHAPE)
        warps.append(make_warp(image))
    return warps


def make_warp(image, mask=None):
    """Make a warp of variance 1."""
    ones = jnp.ones(SHAPE, jnp.float32)
    return Warp(jnp.asarray(image, jnp.float32), ones, mask)


def compare(warps, matched=None, **options):
    """Compare warps that are PSF-matched as they are."""
    matched = warps if matched is None else matched
    return compare_warp(stack_warps(warps), matched, sigma=SIGMA, **options)


def plane(result, name):
    """Tell where a coadd has a plane."""
    return (np.asarray(result.coadd.mask) & result.coadd.planes.bits([name])) != 0


@pytest.mark.parametrize(
    ("n_epochs", "limit"),
    [
        *((1, 0), (2, 0), (2.49, 0), (2.5, 1), (3, 1), (4, 1), (5, 2), (6, 2)),
        *((10, 2), (20, 2), (34, 3), (100, 5)),
    ],
)
def test_so_many_epochs_may_see_an_artifact(n_epochs, limit):
    assert max_epochs(np.array([float(n_epochs)]), CompareWarpConfig()) == [limit]


def one_row(counts):
    """Lay numbers along one row, and the footprint of all of them."""
    counts = np.array([counts], np.uint16)
    return (SpanSet.box(0, 0, counts.size - 1, 0),), counts


@pytest.mark.parametrize(
    ("counts", "n", "masked"),
    [
        ([1] * 5, 10, True),  # a satellite in one of ten visits
        ([5] * 5, 10, False),  # a variable star seen in five
        ([1, 1, 1, 5, 5], 10, True),  # a trail that crosses it: 0.6 of the pixels
        ([1, 1, 5, 5], 10, False),  # 0.5 is not more than 0.5
        ([1] * 5, 2, False),  # two visits never tell
        ([0, 0, 0, 1, 1], 10, False),
    ],
)
def test_artifacts_are_what_few_epochs_see(counts, n, masked):
    footprints, counts = one_row(counts)
    n_image = np.full_like(counts, n)
    found = is_transient(footprints, counts, n_image, config=CompareWarpConfig())
    assert found.tolist() == [masked]


def test_a_footprint_needs_more_than_a_part_of_its_pixels_good():
    footprints = (SpanSet.box(0, 0, 19, 0), SpanSet.box(-20, 0, 19, 0))
    bad = np.ones((1, 20), bool)
    bad[0, :1] = False
    assert has_good_pixels(footprints, bad, ratio=0.05).tolist() == [False, False]
    bad[0, :2] = False
    # Of the second one half is outside of the image: 2 of 40 pixels.
    assert has_good_pixels(footprints, bad, ratio=0.05).tolist() == [True, False]


@given(seed=st.integers(0, 99))
def test_within_a_source_is_within_one_of_them(seed):
    rng = np.random.default_rng(seed)
    y, x = rng.integers(0, 10, (2, 8))
    parts = [SpanSet.circle(int(x), int(y), 2) for x, y in zip(x, y, strict=True)]
    sources = (SpanSet.box(0, 0, 5, 9), SpanSet.box(7, 0, 9, 9))
    parts = [part.clipped((0, 0, 9, 9)) for part in parts]
    expected = [any(s.contains(part) for s in sources) for part in parts]
    numbers = number_pixels(sources, (10, 10))
    assert is_within_one(parts, numbers).tolist() == expected
    assert not is_within_one(parts, number_pixels((), (10, 10))).any()


@given(seed=st.integers(0, 99))
def test_regions_are_counted_as_images_are(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(-3, 13, (2, 5))
    regions = [SpanSet.circle(int(x), int(y), 3) for x, y in zip(x, y, strict=True)]
    shape, origin = (9, 11), (2, -1)
    images = [region.to_image(shape, origin) for region in regions]
    counts = count_regions(regions, shape, origin)
    np.testing.assert_array_equal(counts, np.sum(images, axis=0))
    assert counts.dtype == np.uint16
    assert not count_regions((), shape).any()


@pytest.mark.slow
def test_a_trail_in_one_warp_is_left_out_and_nothing_else():
    warps = draw_warps(trail_in=2)
    found = compare(warps)
    assert [len(parts) for parts in found.artifacts.clipped] == [0, 0, 1, 0, 0, 0]
    clipped = found.artifacts.clipped[2][0].to_image(SHAPE)
    assert (clipped >= TRAIL.to_image(SHAPE)).all()
    assert clipped.sum() <= TRAIL.dilated(SpanSet.circle(0, 0, 2)).area
    np.testing.assert_array_equal(plane(found, "CLIPPED"), clipped)
    others = np.mean([np.asarray(w.image) for k, w in enumerate(warps) if k != 2], 0)
    where = TRAIL.to_image(SHAPE)
    np.testing.assert_allclose(
        np.asarray(found.coadd.image)[where], others[where], atol=1e-5
    )


def test_masking_the_warps_by_hand_gives_the_same_coadd():
    warps = draw_warps(trail_in=2)
    found = compare(warps)
    config = dataclasses.replace(
        COMPARE_WARP.coadd, bad_planes=(*COMPARE_WARP.coadd.bad_planes, "CLIPPED")
    )
    masked = mask_stack(stack_warps(warps), found.artifacts.alternatives())
    plain = jax.jit(coadd)(masked, config)
    for name in ("image", "variance"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(found.coadd, name))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_warps_does_not_matter(seed):
    warps = draw_warps(trail_in=2)
    order = np.random.default_rng(seed).permutation(WARPS)
    one, other = compare(warps), compare([warps[k] for k in order])
    for place, k in enumerate(order):
        assert one.artifacts.clipped[k] == other.artifacts.clipped[place]
    np.testing.assert_array_equal(one.coadd.mask, other.coadd.mask)
    np.testing.assert_array_equal(one.artifacts.n_image, other.artifacts.n_image)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_found_where_there_is_nothing(seed):
    """At 7.5 deviations and four pixels, noise is never taken for an artifact."""
    found = compare(draw_warps(seed))
    assert not any(found.artifacts.clipped)
    assert not found.artifacts.epoch_count.any()


def test_a_warp_without_a_partner_contributes_nothing():
    warps = draw_warps()
    found = compare(warps, [None, *warps[1:]])
    assert found.artifacts.no_data[0] == SpanSet.box(0, 0, SHAPE[1] - 1, SHAPE[0] - 1)
    assert (np.asarray(found.coadd.n_image) == WARPS - 1).all()
    assert remarks(found.artifacts) == (
        "warp 0 has no PSF-matched partner and is left out of the coadd",
    )


def test_no_partner_at_all_is_refused():
    warps = draw_warps()
    with pytest.raises(ArtifactError, match="no warp has a PSF-matched partner"):
        compare(warps, [None] * WARPS)
    with pytest.raises(ValueError, match="there are 6 warps and 2 PSF-matched ones"):
        compare(warps, warps[:2])


def test_direct_warps_are_compared_if_there_are_no_others():
    warps = draw_warps(trail_in=2)
    direct = compare_warp(stack_warps(warps), sigma=SIGMA)
    matched = compare(warps)
    assert direct.artifacts.clipped == matched.artifacts.clipped


def test_a_warp_that_would_be_left_out_whole_is_named():
    warps = draw_warps()
    warps[4] = dataclasses.replace(warps[4], image=warps[4].image + 400)
    config = dataclasses.replace(COMPARE_WARP, keep_sources=False, variance_scale=None)
    with pytest.raises(ArtifactError, match=r"all 2496 pixels of warp 4 would be"):
        compare(warps, config=config)


@pytest.mark.slow
def test_two_epochs_are_too_few_and_it_is_said():
    found = compare(draw_warps(n=2, trail_in=1))
    assert not any(found.artifacts.clipped)
    (line,) = remarks(found.artifacts)
    assert line.startswith("2 warps have PSF-matched partners")


def with_gap(warp, columns):
    """Take the data of some columns away."""
    gap = np.zeros(SHAPE, bool)
    gap[:, columns] = True
    mask = np.asarray(warp.mask) | np.where(gap, BIT["NO_DATA"], np.uint32(0))
    return make_warp(np.where(gap, np.nan, warp.image), mask)


def test_a_warp_that_overlaps_with_no_other_is_named():
    warps = [with_gap(warp, slice(0, 26)) for warp in draw_warps(trail_in=0)]
    warps[0] = with_gap(draw_warps(trail_in=0)[0], slice(26, None))
    found = compare(warps)
    assert not found.artifacts.clipped[0]
    assert remarks(found.artifacts) == (
        "warp 0 nowhere overlaps with two others; its artifacts stay",
    )


def test_where_all_epochs_are_bad_there_is_no_data():
    bad = np.zeros(SHAPE, np.uint32)
    bad[10:12, 10:13] = BIT["BAD"]
    warps = [make_warp(warp.image, bad) for warp in draw_warps()]
    found = compare(warps)
    np.testing.assert_array_equal(plane(found, "NO_DATA"), bad != 0)
    assert np.isfinite(found.coadd.image).all()


def test_missing_matched_data_replace_what_was_bad():
    warps = draw_warps()
    saturated = np.zeros(SHAPE, np.uint32)
    saturated[10:12, 10:13] = BIT["SAT"]
    direct = [make_warp(warps[0].image, saturated), *warps[1:]]
    matched = [with_gap(warps[0], slice(8, 16)), *warps[1:]]
    found = compare(direct, matched)
    assert not plane(found, "REJECTED").any()
    assert (np.asarray(found.coadd.n_image)[:, 8:16] == WARPS - 1).all()
    assert plane(compare(direct, warps), "REJECTED").sum() == 6


def test_edges_of_matched_warps_are_flagged_whoever_fills_them():
    edge = np.zeros(SHAPE, np.uint32)
    edge[:, :3] = BIT["EDGE"]
    warps = draw_warps()
    found = compare(warps, [make_warp(warps[0].image, edge), *warps[1:]])
    for name in ("SENSOR_EDGE", "INEXACT_PSF"):
        np.testing.assert_array_equal(plane(found, name), edge != 0)
    assert not plane(found, "EDGE").any()


def test_the_version_of_2022_flags_the_border_of_the_static_sky():
    found = compare(draw_warps(), config=COMPARE_WARP_V24)
    border = plane(found, "SENSOR_EDGE")
    assert border[:5].all() and border[:, :5].all() and not border[5:-5, 5:-5].any()
    assert not plane(compare(draw_warps()), "SENSOR_EDGE").any()


def test_streaks_are_grown_and_sources_are_spared():
    region = np.zeros(SHAPE, bool)
    region[5, 5:10] = True
    region[36, 30] = True  # within the star
    config = dataclasses.replace(COMPARE_WARP, streak_growth=1.0)
    asked = []

    def find(difference):
        asked.append(difference.sigma)
        return region

    found = compare(draw_warps(), config=config, streaks=find)
    streak = SpanSet.box(5, 5, 9, 5).dilated(SpanSet.circle(0, 0, 1))
    assert asked == [SIGMA] * WARPS
    assert all(parts == (streak,) for parts in found.artifacts.clipped)


def test_later_attempts_raise_the_negative_threshold_first():
    factors = attempt_factors(10, 1.25)
    assert factors[0] == (1.0, 1.0)
    assert factors[5] == (1.0, 1.25**5)
    assert factors[6] == (1.25, 1.25**6)
    assert factors[9] == (1.25**4, 1.25**9)


def test_warps_of_another_shape_are_refused():
    warps = draw_warps()
    template = static_sky(stack_warps(warps))
    small = Warp(jnp.zeros((5, 5)), jnp.ones((5, 5)))
    with pytest.raises(ValueError, match=r"shape \(5, 5\) and the static sky \(48, 52"):
        find_artifacts(template, [small], sigma=SIGMA, template_sigma=SIGMA)
    with pytest.raises(ValueError, match="positive and finite, not 0"):
        find_artifacts(template, warps, sigma=0.0, template_sigma=SIGMA)


def test_zero_points_of_matched_warps_do_not_matter():
    warps = draw_warps(trail_in=2)
    fainter = dataclasses.replace(
        warps[2],
        image=warps[2].image * 10,
        variance=warps[2].variance * 100,
        zero_point=warps[2].zero_point + 2.5,
    )
    found = compare(warps, [*warps[:2], fainter, *warps[3:]])
    assert found.artifacts.clipped == compare(warps).artifacts.clipped


@pytest.mark.parametrize("name", ["max_fraction_low", "spatial_threshold"])
def test_fractions_are_fractions(name):
    with pytest.raises(ValueError, match=f"{name} is a fraction from 0 to 1, not 1.5"):
        CompareWarpConfig(**{name: 1.5})
    with pytest.raises(ValueError, match="source_attempts must be 1 or more"):
        CompareWarpConfig(source_attempts=0)


def test_a_warp_that_is_bad_on_much_of_a_footprint_is_not_asked():
    detected, ignored = np.array([5, 4, 0, 6, 5]), np.array([5, 5, 0, 1, 4])
    found = overlap(detected, ignored, np.full(5, 10))
    np.testing.assert_allclose(found, [np.nan, np.nan, np.nan, 6 / 9, 5 / 6])


@pytest.mark.parametrize(
    ("parts", "chosen"),
    [
        ([0, 0, 0, 0], []),
        ([0.5, 0, 0, 0], []),
        ([0.6, 0, 0, 0], [0]),
        ([0.7, 0.1, 0.1, 0], [0]),
        ([0.6, 0.1, 0.1, 0], []),  # more than 0.6 is needed with others
        ([0.7, 0.7, 0.1, 0], []),  # two of three are no minority
        ([0.7, 0.5, 0.1, 0.1], [0, 1]),  # two of four override the one
        ([0.7, 0.5, 0.2, 0.1], [0]),  # but not if a third sees some of it
    ],
)
def test_footprints_are_clipped_where_they_are_detected(parts, chosen):
    masks = np.zeros((4, 1, 10), np.uint32)
    for mask, part in zip(masks, parts, strict=True):
        mask[0, : round(10 * part)] = BIT["DETECTED"]
    footprints = (SpanSet.box(0, 0, 9, 0),)
    (found,) = choose_warps(footprints, masks, LSST_PLANES, SAFE_CLIP)
    assert np.flatnonzero(found).tolist() == chosen


def test_safe_clip_clips_a_trail_in_its_own_warp():
    warps = draw_warps(trail_in=3)
    trail = TRAIL.to_image(SHAPE)
    seen = TRAIL.dilated(SpanSet.circle(0, 0, 5))
    detected = np.where(seen.to_image(SHAPE), BIT["DETECTED"], np.uint32(0))
    warps[3] = make_warp(warps[3].image, detected)
    found = safe_clip(stack_warps(warps), sigma=SIGMA)
    clipped = [SpanSet().union(*parts) for parts in found.clipped]
    assert [c.area > 0 for c in clipped] == [k == 3 for k in range(WARPS)]
    assert (clipped[3].to_image(SHAPE) >= trail).all()
    # More than 100 pixels of what the warp detects are clipped: all of it is.
    assert found.clipped[3][-1] == seen
    others = np.mean([np.asarray(w.image) for k, w in enumerate(warps) if k != 3], 0)
    np.testing.assert_allclose(
        np.asarray(found.coadd.image)[trail], others[trail], atol=1e-5
    )


def test_the_order_of_warps_does_not_matter_to_safe_clip():
    warps = draw_warps(trail_in=3)
    detected = np.where(TRAIL.to_image(SHAPE), BIT["DETECTED"], np.uint32(0))
    warps = [make_warp(warp.image, detected) for warp in warps[:2]] + warps[2:]
    one = safe_clip(stack_warps(warps), sigma=SIGMA)
    other = safe_clip(stack_warps(warps[::-1]), sigma=SIGMA)
    np.testing.assert_array_equal(one.coadd.mask, other.coadd.mask)
    np.testing.assert_array_equal(one.chosen, other.chosen[:, ::-1])
