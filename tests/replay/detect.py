"""Replay ``detect_*``: thresholds, footprints, operations on regions, detection."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcoadd.detection import (
    detect,
    find_footprints,
    gaussian_taps,
    grow_footprints,
    growth_radius,
    growth_stencil,
    is_above,
    is_significant,
    merge_footprints,
    smooth_planes,
)
from jaxcoadd.selection import plane_clipped_deviation
from jaxcoadd.spans import SpanSet
from tests.replay.footprints import (
    PLANES,
    as_bits,
    assert_same_regions,
    detection_config,
    load,
    regions_of,
)
from tests.replay.ulps import assert_close


def replay(path, precision):
    """Assert that all of a recorded case comes out, each span of it."""
    case, params = load(path)
    CHECKS[params["op"]](case, params, f"float{precision}")


def check_footprint_set(case, params, dtype):
    """Compare footprints of one image, and how they grow."""
    image, variance = (jnp.asarray(case[n], dtype) for n in ("image", "variance"))
    origin = tuple(params["xy0"])
    threshold = params["thresholdValue"]
    if params["thresholdType"] in ("stdev", "variance"):
        deviation = plane_clipped_deviation(
            image, where=jnp.isfinite(image), clip_iter=3
        )
        threshold = float(threshold * deviation)
        rounding = 1e-6 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(threshold, params["actualThreshold"], rtol=rounding)
    signed = image if params["polarity"] == "positive" else -image

    def reach(threshold):
        if params["thresholdType"] == "pixel_stdev":
            return is_significant(signed, variance, threshold)
        return is_above(signed, threshold)

    found = find_footprints(
        reach(threshold),
        min_pixels=params["npixMin"],
        strong=reach(threshold * params["includeMultiplier"]),
        origin=origin,
    )
    assert_same_regions(found, case["out_spans"])
    assert sorted(f.area for f in found) == sorted(case["out_area"])
    within = box_of(image.shape, origin)
    for n, growth in enumerate(params["grow"]):
        stencil = growth_stencil(growth["radius"], isotropic=growth["isotropic"])
        grown = grow_footprints(found, stencil, within=within)
        assert_same_regions(grown, case[f"out_grow{n}_spans"], f"grown {growth}")


def box_of(shape, origin):
    """Return the box of an image."""
    return (*origin, origin[0] + shape[1] - 1, origin[1] + shape[0] - 1)


def check_merge(case, params, dtype):
    """Compare two sets of footprints, grown and merged."""
    sets = []
    for name, radius in (("lhs", params["growLhs"]), ("rhs", params["growRhs"])):
        footprints = regions_of(case[f"{name}_spans"])
        if radius:
            stencil = growth_stencil(radius, isotropic=True)
            within = region_of(params, case)
            footprints = grow_footprints(footprints, stencil, within=within)
        sets.append(footprints)
    assert_same_regions(merge_footprints(*sets), case["out_spans"])


def region_of(params, case):
    """Return the box of the image that footprints were found on."""
    return box_of(case["image"].shape, params["xy0"])


def check_mask(case, params, dtype):
    """Compare footprints of a mask."""
    mask, origin = as_bits(case["mask"]), tuple(params["xy0"])
    some = (mask & np.uint32(params["bitmask"])) != 0
    assert_same_regions(
        find_footprints(some, origin=origin), case["out_bitmask_spans"], "bits"
    )
    value = (mask & np.uint32(params["bitmask"])).astype(int) >= params["value"]
    assert_same_regions(
        find_footprints(value, origin=origin), case["out_value_spans"], "value"
    )
    spans = SpanSet.from_image((mask & np.uint32(params["fromMask"])) != 0, origin)
    assert [spans] == regions_of(case["out_frommask_spans"])
    assert_same_regions(spans.split(), case["out_split_spans"], "split")


STENCILS = {
    "circle": lambda r: SpanSet.circle(0, 0, r),
    "manhattan": lambda r: SpanSet.diamond(0, 0, r),
    "box": lambda r: SpanSet.box(-r, -r, r, r),
}


def check_span_set(case, params, dtype):
    """Compare operations on regions."""
    origin = tuple(params["xy0"])
    a, b = (SpanSet.from_image(case[n], origin) for n in "ab")
    assert a == SpanSet(case["a_spans"]) and b == SpanSet(case["b_spans"])
    for name in case:
        kind, _, shape = name.partition("_")
        if kind in ("dilated", "eroded", "shape") and shape:
            word = shape.rstrip("0123456789")
            stencil = STENCILS[word](int(shape[len(word) :]))
            result = stencil if kind == "shape" else getattr(a, kind)(stencil)
            assert result == SpanSet(case[name]), name
    x0, y0, width, height = params["clip_box"]
    expected = {
        "intersect": a & b,
        "intersectnot": a - b,
        "union": a | b,
        "clippedto": a.clipped((x0, y0, x0 + width - 1, y0 + height - 1)),
        "shifted": a.shifted(*params["shift"]),
    }
    for name, result in expected.items():
        assert result == SpanSet(case[name]), name
    np.testing.assert_allclose(a.centroid, case["centroid"], rtol=1e-14)
    check_parts(case, params, a, b)


def check_parts(case, params, a, b):
    """Compare the parts of regions, and what contains them."""
    assert list(a.split()) == regions_of(case["split_a"])
    assert list(b.split()) == regions_of(case["split_b"])
    u = SpanSet.from_image(case["u"], tuple(params["u_xy0"]))
    assert list(u.split()) == regions_of(case["split_u"])
    assert len(SpanSet().split()) == params["split_empty_count"]
    outer, inner = regions_of(case["contains_outer"]), a.split()
    contained = [[one.contains(part) for part in inner] for one in outer]
    np.testing.assert_array_equal(contained, case["contains"])


def check_task(case, params, dtype):
    """Compare a whole detection."""
    planes = [jnp.asarray(case[n], dtype) for n in ("image", "variance")]
    mask = jnp.asarray(as_bits(case["mask"]))
    config = detection_config(params["config"], smooth=params["doSmooth"])
    taps = gaussian_taps(params["psf_sigma"], n_sigma=config.n_sigma_for_kernel)
    assert len(taps) == params["kernel_width"]
    assert growth_radius(params["psf_sigma"], config.n_sigma_to_grow) == params["nGrow"]
    if "middle_image" in case:
        check_smoothing(case, planes, mask, taps, dtype)
    found = detect(
        *planes,
        mask,
        sigma=params["psf_sigma"],
        config=config,
        planes=PLANES,
        origin=tuple(params["xy0"]),
        factor=params["factor"],
        negative_factor=params["factorNeg"],
    )
    np.testing.assert_array_equal(found.mask, as_bits(case["out_mask"]))
    for name in ("positive", "negative"):
        if f"out_{name}_spans" in case:
            assert_same_regions(getattr(found, name), case[f"out_{name}_spans"], name)
        else:
            assert not getattr(found, name)
    if "out_merged_spans" in case:
        merged = merge_footprints(found.positive, found.negative)
        assert_same_regions(merged, case["out_merged_spans"], "merged")
    if "out_image" in case:
        size = np.nanmax(np.abs(case["image"]))
        allowed = size * (2.0**-23 if dtype == "float64" else 1e-5)
        assert_close(found.image, case["out_image"], allowed=allowed, label="image")


def check_smoothing(case, planes, mask, taps, dtype):
    """Compare the smoothed planes.

    The recorded sums are of 32 bits: those along rows and those along columns round
    as often as there are taps, each time by 2**-24 of the largest term. In 32 bits
    ours do as well.
    """
    image, variance, bits = jax.jit(
        lambda image, variance, mask: smooth_planes(image, variance, mask, taps)
    )(*planes, mask)
    for name, found in (("image", image), ("variance", variance)):
        size = np.nanmax(np.abs(case[name]))
        allowed = (2 if dtype == "float64" else 4) * len(taps) * 2.0**-24 * size
        assert_close(found, case[f"middle_{name}"], allowed=allowed, label=name)
    unset = ~np.uint32(PLANES.bits(["DETECTED", "DETECTED_NEGATIVE"]))
    recorded = as_bits(case["middle_mask"])
    np.testing.assert_array_equal(np.asarray(bits) & unset, recorded & unset)


CHECKS = {
    "footprintset": check_footprint_set,
    "merge": check_merge,
    "mask": check_mask,
    "spanset": check_span_set,
    "detectFootprints": check_task,
}
