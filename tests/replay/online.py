"""Replay ``online_*``: the mean made one input after the other.

The original rounds the products of weights and pixels to 32 bits and lets a pixel that
is not finite spoil the sum. Here products have the precision of the run, and such a
pixel is rejected. So values are held to the rounding of the original's products, where
all its inputs are finite.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np

import jaxcoadd as jc
from jaxcoadd.accumulation import accumulate, empty_sums, finalize
from jaxcoadd.stacking import MaskRules
from jaxcoadd.statistics import FromScatter, FromVariances
from tests.replay.ulps import assert_close, report_first

PLANES = jc.MaskPlanes(
    (*jc.LSST_PLANES.names, "REJECTED", "CLIPPED", "SENSOR_EDGE", "INEXACT_PSF")
)


def roundings(case, precision):
    """Return the relative error of a sum of products.

    In the original each product, its weight and the result are rounded to 32 bits; in
    32 bits so are our N sums, and the deviations that go into them.
    """
    ours = len(case["images"]) + 4 if precision == 32 else 0
    return (4 + ours) * 2.0**-24


def online_rules(params):
    """Take the mask rules of a case; without masks there are none."""
    if params["kind"] == "image":
        return MaskRules(bad=0, no_data=0, clipped=0, mapping=(), thresholds={})
    no_data = params["no_good_pixels_mask"]
    return MaskRules(
        bad=params["bit_mask_value"],
        no_data=1 << PLANES.bit("NO_DATA") if no_data is None else no_data,
        clipped=0,
        mapping=tuple(map(tuple, params["mask_map"])),
        thresholds={
            bit: params["mask_threshold_dict"][str(bit)]
            for bit in params["tracked_bits"]
        },
    )


def accumulate_recorded(case, params, dtype):
    """Add the inputs of a case, one after the other."""
    from_variances = params.get("calc_error_from_input_variance", True)
    sums = empty_sums(
        jnp.asarray(np.nan_to_num(case["images"][0], posinf=0, neginf=0), dtype),
        planes=PLANES,
        zero_point=31.4,
        rules=online_rules(params),
        error=FromVariances() if from_variances else FromScatter(),
    )
    add = jax.jit(accumulate)
    variances = case.get("variances", np.ones_like(case["images"]))
    masks = case.get("masks", np.zeros(case["images"].shape, np.int32))
    for image, variance, mask, weight in zip(
        case["images"], variances, masks, case["weights"], strict=True
    ):
        warp = jc.Warp(
            jnp.asarray(image, dtype), jnp.asarray(variance, dtype), mask, planes=PLANES
        )
        sums = add(sums, warp, jnp.asarray(weight, dtype))
    return finalize(sums)


def replay(path, precision):
    """Assert that a recorded online mean comes out."""
    with np.load(path) as case:
        case = dict(case)
    params = json.loads(str(case["params"]))
    dtype = jnp.float64 if precision == 64 else jnp.float32
    found = jax.tree.map(np.asarray, accumulate_recorded(case, params, dtype))
    finite = np.isfinite(case["images"])
    if params["kind"] == "masked":
        bad = (case["masks"] & params["bit_mask_value"]) != 0
        finite |= bad
        sure = finite.all(axis=0)
        check_mask(found, case, params, sure)
        check_variance(found, case, params, sure, precision)
    sure = finite.all(axis=0)
    # Deviations are from the first image, so its values take part in each term.
    sizes = np.abs(case["images"])
    if precision == 32:
        sizes = sizes + 2 * np.nan_to_num(sizes[0], posinf=0)
    assert_close(
        found.image,
        case["out_image"],
        allowed=roundings(case, precision) * spread(case, params, sizes),
        where=sure,
        label="image",
    )
    assert_close(
        found.weight,
        case["out_sum_weight"],
        allowed=roundings(case, precision) * np.abs(case["weights"]).sum(),
        where=sure,
        label="weight",
    )


def spread(case, params, values, power=1):
    """Return the sum of the sizes of the terms of a mean, over the sum of weights."""
    used = np.isfinite(values)
    if params["kind"] == "masked":
        used &= (case["masks"] & params["bit_mask_value"]) == 0
    weights = np.abs(case["weights"]).reshape(-1, 1, 1) ** power
    terms = np.where(used, np.abs(np.where(used, values, 0)) * weights, 0).sum(axis=0)
    total = np.abs(case["out_sum_weight"]) ** power
    return terms / np.where(total > 0, total, 1)


def check_mask(found, case, params, sure):
    """Compare masks and counts."""
    mask = case["out_mask"].astype(np.uint32)
    report_first((found.mask != mask) & sure, found.mask, mask, "mask")
    if params["compute_n_image"]:
        report_first(
            found.n_image != case["out_n_image"],
            found.n_image,
            case["out_n_image"],
            "n_image",
        )


def check_variance(found, case, params, sure, precision):
    """Compare variances; one from the scatter with what two careful passes give."""
    sure = sure & (case["out_sum_weight"] != 0)
    if params["calc_error_from_input_variance"]:
        recorded = case["out_variance"]
        terms = spread(case, params, case["variances"], power=2)
        # Weights of both signs make the relative error of their sum larger.
        signs = spread(case, params, np.ones_like(case["images"]))
        allowed = roundings(case, precision) * terms * signs
    else:
        recorded = case["aux_variance64"]
        count = (case["masks"] & params["bit_mask_value"]) == 0
        # One value has no scatter.
        sure &= count.sum(axis=0) > 1
        # The difference of two sums of squares; their terms set its error.
        eps = np.finfo(found.variance.dtype).eps
        squares = (case["images"] - case["images"][0]) ** 2.0
        terms = 2 * (len(squares) + 6) * eps * spread(case, params, squares)
        allowed = terms + 2.0**-23 * recorded
    assert_close(
        found.variance, recorded, allowed=allowed, where=sure, label="variance"
    )
