"""Replay ``comparewarp_*``: candidates, artifacts, masks and coadds."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcoadd.artifacts import compare_with
from jaxcoadd.artifacts.config import (
    COMPARE_WARP_V24,
    CompareWarpConfig,
)
from jaxcoadd.coadds import CoaddConfig, coadd, fill_holes, weigh_stack
from jaxcoadd.detection import VarianceScaleConfig
from jaxcoadd.masks import has_any
from jaxcoadd.selection import plane_clipped_deviation
from jaxcoadd.spans import SpanSet
from jaxcoadd.warps import Warp, stack_warps
from jaxcoadd.weights import WarpWeights
from tests.replay.footprints import (
    PLANES,
    agree_on_nan,
    as_bits,
    assert_same_regions,
    detection_config,
    load,
)
from tests.replay.statistics import make_statistic
from tests.replay.ulps import assert_close, report_first


def replay(path, precision):
    """Assert that a recorded coadd comes out, with all that leads to it."""
    case, params = load(path)
    inherited = ()
    if "inputs" in params:
        results, own = case, params
        case, params = load(path.with_name(f"{params['inputs']}.npz"))
        params |= {n: v for n, v in own.items() if n != "assembleStaticSkyModel"}
        case = {n: v for n, v in case.items() if not n.startswith("final")} | results
        inherited = COMPARE_WARP_V24.inherited_planes
    config = config_of(params, inherited)
    direct, matched = (warps_of(case, n, precision) for n in ("direct_", "psfm_"))
    direct = without_round_off(
        direct, params["visits_direct"], params["used_direct"], config.coadd
    )
    matched = without_round_off(
        matched, params["visits_psfm"], params["used_psfm"], config.static_sky
    )
    visits = [v for v in params["visits_direct"] if v in direct]
    partners = [matched.get(visit) for visit in visits]
    template = make_template(
        case, [matched[v] for v in params["used_psfm"]], config, precision
    )
    found = compare_with(
        template,
        stack_warps([direct[visit] for visit in visits]),
        partners,
        sigma=params["psf_sigma_psfm"],
        config=config,
        origin=tuple(params["xy0"]),
    )
    used = [visits.index(v) for v in params["used_direct"]]
    check_candidates(case, params, found.artifacts, used)
    if params.get("doFilterMorphological"):
        pytest.skip("streaks are not searched for yet; all before them is compared")
    check_artifacts(case, params, found.artifacts, used)
    check_coadd(case, found.coadd, precision)


def warps_of(case, kind, precision):
    """Take warps of a case; the names of their planes begin with their kind."""
    planes = (case[f"{kind}{name}"] for name in ("image", "variance", "mask"))
    return [
        Warp(
            jnp.asarray(image, f"float{precision}"),
            jnp.asarray(variance, f"float{precision}"),
            jnp.asarray(as_bits(mask)),
            planes=PLANES,
        )
        for image, variance, mask in zip(*planes, strict=True)
    ]


def without_round_off(warps, visits, used, config):
    """Return the warps by visit, without those that the original lost by round-off.

    Where all variances that a clip keeps are equal, the next pass has no width. The
    original's sums of 64 bits then decide whether its mean is just that value, or
    beside it, so that nothing is kept and the warp is not used. We keep such a warp.
    """
    weighed, _ = weigh_stack(stack_warps(warps), config)
    ours = dict(zip(visits, np.asarray(weighed.present), strict=True))
    assert all(ours[visit] for visit in used)
    by_visit = dict(zip(visits, warps, strict=True))
    for visit in visits:
        if ours[visit] and visit not in used:
            warp = by_visit.pop(visit)
            good = ~has_any(warp.mask, PLANES.bits(config.bad_planes))
            deviation = plane_clipped_deviation(
                warp.variance,
                where=good & jnp.isfinite(warp.variance),
                sigma_clip=config.weighting.sigma_clip,
                clip_iter=config.weighting.clip_iter,
            )
            assert deviation < 1e-6 * jnp.nanmedian(warp.variance), visit
    return by_visit


def coadd_config(fields, **others):
    """Take the configuration of a coadd."""
    return CoaddConfig(
        statistic=make_statistic(
            fields["statistic"],
            sigma_clip=fields["sigmaClip"],
            clip_iter=fields["clipIter"],
            from_variances=fields["calcErrorFromInputVariance"],
            mosaic=False,
        ),
        weighting=WarpWeights(fields["sigmaClip"], fields["clipIter"]),
        bad_planes=tuple(fields["badMaskPlanes"]),
        remove_planes=tuple(fields["removeMaskPlanes"]),
        **others,
    )


def config_of(params, inherited):
    """Take the configuration of a case."""
    scale = VarianceScaleConfig() if params["doScaleWarpVariance"] else None
    prefilter = params["doPrefilterArtifacts"]
    return CompareWarpConfig(
        static_sky=coadd_config(params["assembleStaticSkyModel"]),
        coadd=coadd_config(params, interpolate=False),
        detection=detection_config(params["detect"], smooth=False),
        source_detection=detection_config(params["detectTemplate"], smooth=True),
        source_attempts=1 if inherited else 10,
        inherited_planes=inherited,
        variance_scale=scale,
        max_epochs=params["maxNumEpochs"],
        max_fraction_low=params["maxFractionEpochsLow"],
        max_fraction_high=params["maxFractionEpochsHigh"],
        spatial_threshold=params["spatialThreshold"],
        keep_sources=params["doPreserveContainedBySource"],
        prefilter_planes=tuple(params["prefilterArtifactsMaskPlanes"]),
        prefilter_ratio=params["prefilterArtifactsRatio"] if prefilter else None,
        streak_growth=params["growStreakFp"],
    )


def make_template(case, matched, config, precision):
    """Make the static sky, whose holes are filled, and compare it.

    Where it is NaN and that was not recorded, or the other way round, a clip hangs on
    the last bit: what comes after is then compared from the recorded one.
    """
    stack, settled = weigh_stack(stack_warps(matched), config.static_sky)
    template = jax.jit(coadd)(stack, settled)
    recorded = {n: case[f"template_{n}"] for n in ("image", "variance")}
    same = agree_on_nan(
        template.image,
        recorded["image"],
        stack,
        config.static_sky.bad_planes,
        config.static_sky.statistic,
    )
    check_values(template, recorded, precision, where=same)
    if same.all():
        return template
    planes = {n: jnp.asarray(v, f"float{precision}") for n, v in recorded.items()}
    return dataclasses.replace(template, **planes)


def check_candidates(case, params, artifacts, used):
    """Compare sources, candidates and how many epochs see them."""
    if "template_spans" in case:
        assert_same_regions(artifacts.sources, case["template_spans"], "sources")
    for place, n in enumerate(used):
        candidates = artifacts.candidates[n]
        if candidates is None:
            continue
        for name, found in (
            ("candidate_spans", candidates.found),
            ("prefiltered_spans", candidates.kept),
        ):
            if name in case:
                assert_same_regions(found, spans_of(case[name], place), name)
        if "scale_factor" in case:
            np.testing.assert_allclose(
                candidates.variance_factor, case["scale_factor"][place], rtol=1e-6
            )
    for name in ("epoch_count", "n_image"):
        np.testing.assert_array_equal(getattr(artifacts, name), case[name], name)


def spans_of(spans, warp):
    """Take the spans of one warp."""
    return spans[spans[:, 0] == warp][:, 1:]


def check_artifacts(case, params, artifacts, used):
    """Compare the alternative masks."""
    shape, origin = artifacts.epoch_count.shape, tuple(params["xy0"])
    for place, n in enumerate(used):
        if "clipped_spans" in case:
            recorded = spans_of(case["clipped_spans"], place)
            assert_same_regions(artifacts.clipped[n], recorded, f"artifacts of {n}")
        masks = {
            "clipped": SpanSet().union(*artifacts.clipped[n]),
            "no_data": artifacts.no_data[n],
            "edge": artifacts.edge[n],
        }
        for name, region in masks.items():
            np.testing.assert_array_equal(
                region.to_image(shape, origin), case[name][place] != 0, name
            )


def check_coadd(case, found, precision):
    """Compare the coadd, before its holes are filled and after."""
    planes = [n for n in ("image", "variance") if f"out_{n}" in case]
    check_mask(found, as_bits(case["out_mask"]))
    check_values(found, {n: case[f"out_{n}"] for n in planes}, precision)
    if "coadd_n_image" in case:
        np.testing.assert_array_equal(found.n_image, case["coadd_n_image"])
    if "final_at" in case:
        filled = jax.jit(fill_holes)(found)
        at = tuple(case["final_at"].T)
        final = {n: case[f"out_{n}"].copy() for n in (*planes, "mask")}
        for name, plane in final.items():
            plane[at] = case[f"final_{name}_at"]
        check_mask(filled, as_bits(final.pop("mask")))
        check_values(filled, final, precision)


def check_mask(found, recorded):
    """Compare all bits of a mask."""
    mask = np.asarray(found.mask)
    report_first(mask != recorded, mask, recorded, "mask")


def check_values(found, recorded, precision, sizes=None, where=True):
    """Compare image and variance.

    Filled holes are sums of pixels of their row, which may cancel: they are as exact
    as the largest of it, or of what it was made of. In 32 bits they have 1e-5 of it.
    """
    for name, expected in recorded.items():
        size = np.abs(expected if sizes is None else sizes[name])
        largest = np.where(np.isfinite(size), size, 0).max(axis=1, keepdims=True)
        part = 4 * 2.0**-24 if precision == 64 else 1e-5
        allowed = np.broadcast_to(part * largest, expected.shape)
        assert_close(
            getattr(found, name), expected, allowed=allowed, where=where, label=name
        )
