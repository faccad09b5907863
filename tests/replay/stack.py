"""Replay ``stack_*``: the per-pixel statistics and their masks."""

import json

import jax
import jax.numpy as jnp
import numpy as np

from jaxcoadd.stacking import Columns, MaskRules, stack_columns
from jaxcoadd.tiling import over_tiles
from jaxcoadd.weights import EqualWeights, VarianceWeights, WarpWeights
from tests.replay.statistics import make_statistic
from tests.replay.ulps import assert_close, assert_within_ulps, report_first

IMAGE, VARIANCE, MASK = 1, 2, 4  # the bits of aux_fragile


def mask_rules(params):
    """Take the mask rules of a recorded case."""
    bad = params["andMask"]
    pairs = params["maskMap"]
    if pairs is None:
        pairs = [[bad & ~params["excuse"], params["clipped"]]]
    return MaskRules(
        bad=bad,
        no_data=params["noGoodPixelsMask"],
        clipped=params["clipped"],
        mapping=tuple((given & 0xFFFFFFFF, out) for given, out in pairs),
        thresholds={
            int(bit): limit
            for bit, limit in params["maskPropagationThresholds"].items()
        },
        nan_safe=params["nanSafe"],
    )


def make_weighting(params, weights):
    """Take the weighting of a recorded case."""
    if not params["isWeighted"]:
        return EqualWeights()
    return WarpWeights() if weights.size else VarianceWeights()


def stack_recorded(case, dtype):
    """Stack the inputs of a recorded case."""
    params = json.loads(str(case["params"]))
    weighting = make_weighting(params, case["weights"])
    statistic = make_statistic(
        params["property"],
        sigma_clip=params["numSigmaClip"],
        clip_iter=params["numIter"],
        from_variances=params["calcErrorFromInputVariance"],
        mosaic=params["calcErrorMosaicMode"],
    )
    n = len(case["images"])
    weights = case["weights"] if case["weights"].size else np.ones(n)

    @jax.jit
    def run(columns, weights, statistic, rules):
        def stack_tile(columns, weights, statistic, rules):
            own, unit = weighting.weigh_pixels(weights, columns.variances)
            present = jnp.ones(n, bool)
            return stack_columns(
                columns, own, unit, present, statistic=statistic, rules=rules
            )

        return over_tiles(stack_tile)(columns, weights, statistic, rules)

    columns = Columns(
        jnp.asarray(case["images"], dtype),
        jnp.asarray(case["variances"], dtype),
        jnp.asarray(case["masks"].astype(np.uint32)),
    )
    return run(columns, jnp.asarray(weights, dtype), statistic, mask_rules(params))


def replay(path, precision):
    """Assert that a recorded stack comes out."""
    with np.load(path) as case:
        case = dict(case)
    dtype = jnp.float64 if precision == 64 else jnp.float32
    found = jax.tree.map(np.asarray, stack_recorded(case, dtype))
    fragile = case["aux_fragile"]
    mask = case["out_mask"].astype(np.uint32)
    if precision == 64:
        for name, bit in (("image", IMAGE), ("variance", VARIANCE)):
            assert_within_ulps(
                getattr(found, name),
                case[f"out_{name}"],
                ulps=2,
                where=(fragile & bit) == 0,
                label=name,
            )
        report_first(
            (found.mask != mask) & ((fragile & MASK) == 0), found.mask, mask, "mask"
        )
        report_first(
            found.count != case["out_npoint"], found.count, case["out_npoint"], "count"
        )
        return
    sure = case["aux_clip_margin"] > 1e-5
    sure &= ~leaves_one(case, json.loads(str(case["params"])))
    assert_close(
        found.image,
        case["out_image"],
        allowed=allowed_in_32_bits(case),
        where=sure & ((fragile & IMAGE) == 0),
        label="image",
    )
    report_first(
        (found.mask != mask) & sure & ((fragile & MASK) == 0), found.mask, mask, "mask"
    )


def allowed_in_32_bits(case):
    """Allow 1e-5 of the result's own scatter and 2e-6 of its size.

    A sum has no scatter: there the size is that of its terms, which may cancel.
    """
    params = json.loads(str(case["params"]))
    scatter = np.sqrt(np.nan_to_num(case["out_variance"], posinf=0).clip(0))
    size = np.abs(np.nan_to_num(case["out_image"]))
    if params["property"] == "SUM":
        weights = case["weights"] if params["isWeighted"] else np.ones(1)
        terms = np.nan_to_num(case["images"], posinf=0, neginf=0)
        size = np.abs(terms * weights.reshape(-1, 1, 1)).sum(axis=0)
    return 1e-5 * scatter + 2e-6 * size


def leaves_one(case, params):
    """Tell where a pass of the clip keeps one value of several.

    Its variance is then 0 times infinity, and what follows hangs on the last bit of
    the 0: NaN, or an infinity of either sign. 32 and 64 bits differ there by right.
    """
    if not params["property"].endswith("CLIP"):
        return np.zeros(case["out_mask"].shape, bool)
    values = case["images"].astype(float)
    good = np.isfinite(values) & ((case["masks"] & params["andMask"]) == 0)
    weights = np.ones_like(values)
    if params["isWeighted"] and case["weights"].size:
        weights *= case["weights"].reshape(-1, 1, 1)
    values[~good] = np.nan
    some = good.sum(axis=0) > 1
    values[:, ~some] = 0
    low, centre, high = np.nanpercentile(values, [25, 50, 75], axis=0)
    width = params["numSigmaClip"] * 0.741301109252802 * (high - low)
    one = np.zeros(some.shape, bool)
    for _ in range(params["numIter"]):
        with np.errstate(all="ignore"):
            kept = good & (np.abs(values - centre) <= width) & (weights != 0)
            one |= some & (kept.sum(axis=0) <= 1)
            total = np.where(kept, weights, 0).sum(axis=0)
            centre = np.where(kept, weights * values, 0).sum(axis=0) / total
            shift = np.where(kept, weights * (values - centre) ** 2, 0).sum(axis=0)
            square = np.where(kept, weights**2, 0).sum(axis=0)
            variance = shift / total * total**2 / (total**2 - square)
            width = params["numSigmaClip"] * np.sqrt(variance.clip(0))
    return one
