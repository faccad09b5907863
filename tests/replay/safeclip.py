"""Replay ``safeclip_*``: the difference of means, what is clipped, the coadd."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from jaxcoadd.artifacts import (
    SafeClipConfig,
    clip_footprints,
    difference_of_means,
)
from jaxcoadd.coadds import CoaddConfig
from jaxcoadd.statistics import ClippedMean
from jaxcoadd.warps import stack_warps
from jaxcoadd.weights import WarpWeights
from tests.replay.comparewarp import check_coadd, check_values, spans_of, warps_of
from tests.replay.footprints import (
    agree_on_nan,
    as_bits,
    assert_same_regions,
    detection_config,
    load,
    regions_of,
)
from tests.replay.statistics import make_statistic


def replay(path, precision):
    """Assert that a recorded coadd comes out, with all that leads to it."""
    case, params = load(path)
    stack = stack_warps(
        warps_of(case, "", precision), weights=case["weights"].astype(np.float32)
    )
    config = config_of(params)
    difference = difference_of_means(stack, config)
    check_difference(case, difference, stack, config, precision)
    found = clip_footprints(
        stack,
        recorded_difference(case, difference),
        sigma=params["psf_sigma"],
        config=config,
        origin=tuple(params["xy0"]),
    )
    for name, mask in (
        ("diff_mask", difference.mask),
        ("diff_mask_after", found.detection.mask),
    ):
        np.testing.assert_array_equal(mask, as_bits(case[name]), name)
    for name, footprints in (
        ("positive", found.detection.positive),
        ("negative", found.detection.negative),
        ("footprint", found.footprints),
    ):
        assert_same_regions(footprints, case[f"{name}_spans"], name)
    check_clipped(case, found)
    check_coadd(case, found.coadd, precision)


def check_difference(case, found, stack, config, precision):
    """Compare the mean less the clipped mean, each of them rounded to 32 bits."""
    recorded = {n: case[f"diff_{n}"] for n in ("image", "variance")}
    sizes = {n: np.abs(np.nan_to_num(case[n])).max(axis=0) for n in recorded}
    same = agree_on_nan(
        found.image,
        recorded["image"],
        stack,
        config.coadd.bad_planes,
        config.clipped_statistic,
    )
    check_values(found, recorded, precision, sizes, where=same)


def recorded_difference(case, found):
    """Take the recorded difference, so that no such pixel tells what comes after."""
    return dataclasses.replace(
        found,
        image=jnp.asarray(case["diff_image"], found.image.dtype),
        variance=jnp.asarray(case["diff_variance"], found.variance.dtype),
    )


def config_of(params):
    """Take the configuration of a case."""
    clip = {"sigma_clip": params["sigmaClip"], "clip_iter": params["clipIter"]}
    statistic = make_statistic(
        params["statistic"],
        **clip,
        from_variances=params["calcErrorFromInputVariance"],
        mosaic=False,
    )
    return SafeClipConfig(
        coadd=CoaddConfig(
            statistic=statistic,
            weighting=WarpWeights(**clip),
            bad_planes=tuple(params["badMaskPlanes"]),
            mask_thresholds=params["maskPropagationThresholds"],
            interpolate=False,
        ),
        clipped_statistic=ClippedMean(**clip, error=statistic.error),
        detection=detection_config(params["clipDetection"], smooth=True),
        min_overlap=params["minClipFootOverlap"],
        min_overlap_single=params["minClipFootOverlapSingle"],
        min_overlap_double=params["minClipFootOverlapDouble"],
        max_overlap_double=params["maxClipFootOverlapDouble"],
        min_big_overlap=params["minBigOverlap"],
    )


def check_clipped(case, found):
    """Compare what is clipped in each warp, in the beginning and in the end."""
    clipped = regions_of(case["clip_footprint_spans"])
    recorded = {(clipped[footprint], warp) for footprint, warp in case["clip_index"]}
    pairs = {(found.footprints[i], j) for i, j in np.argwhere(found.chosen)}
    assert pairs == recorded
    for n, regions in enumerate(found.clipped):
        assert_same_regions(
            regions[: found.chosen[:, n].sum()],
            spans_of(case["clipped_spans"], n),
            f"clipped of warp {n}",
        )
        whole = spans_of(case["clipped_big_spans"], n)
        assert_same_regions(regions, whole, f"big ones of warp {n}")
