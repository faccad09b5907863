"""Regions and configurations as the recorded cases write them."""

import json

import numpy as np

from jaxcoadd.detection import BackgroundConfig, DetectionConfig
from jaxcoadd.masks import MaskPlanes
from jaxcoadd.spans import SpanSet

PLANES = MaskPlanes(
    (
        *("BAD", "SAT", "INTRP", "CR", "EDGE", "DETECTED", "DETECTED_NEGATIVE"),
        *("SUSPECT", "NO_DATA", "VIGNETTED", "STREAK", "REJECTED", "CLIPPED"),
        *("SENSOR_EDGE", "INEXACT_PSF"),
    )
)
"""The planes of all recorded masks."""


def load(path):
    """Return the arrays of a case, and its parameters."""
    with np.load(path) as file:
        case = dict(file)
    return case, json.loads(str(case["params"]))


def regions_of(spans):
    """Take rows with the number of the region in front: a list of regions."""
    rest = spans[:, 1:]
    return [SpanSet(rest[spans[:, 0] == n]) for n in np.unique(spans[:, 0])]


def assert_same_regions(found, spans, label="footprints"):
    """Compare regions with recorded ones, in any order."""
    recorded = regions_of(spans)
    missing, excess = set(recorded) - set(found), set(found) - set(recorded)
    assert not missing and not excess, (
        f"{label}: {len(missing)} of {len(recorded)} recorded are not found, "
        f"{len(excess)} of {len(found)} found are not recorded"
    )
    assert len(found) == len(recorded), label


def as_bits(mask):
    """Take a recorded mask as bits."""
    return np.asarray(mask).astype(np.uint32)


BACKGROUND = BackgroundConfig()
"""Of the task that measures the background again, in all recorded cases."""


def detection_config(fields, *, smooth):
    """Take the configuration of a detection, by the names of the original."""
    return DetectionConfig(
        threshold=fields["thresholdValue"],
        unit=fields["thresholdType"],
        polarity=fields["thresholdPolarity"],
        include_multiplier=fields.get("includeThresholdMultiplier", 1.0),
        min_pixels=fields["minPixels"],
        n_sigma_to_grow=fields["nSigmaToGrow"],
        isotropic_grow=fields["isotropicGrow"],
        return_original=fields.get("returnOriginalFootprints", False),
        smooth=smooth,
        n_sigma_for_kernel=fields.get("nSigmaForKernel", 7.0),
        background=BACKGROUND if fields.get("reEstimateBackground", False) else None,
        stats_planes=tuple(fields.get("statsMask", ("BAD", "SAT", "EDGE", "NO_DATA"))),
    )


def keeps_equal_values(values, weights, config):
    """Tell whether a pass of a clip keeps equal values alone, or one, or none.

    The next pass then has no width, or there is none: the last bit of a mean of 64
    bits tells whether it keeps those values, or nothing.
    """
    low, centre, high = np.percentile(values, [25, 50, 75])
    width = config.sigma_clip * 0.741301109252802 * (high - low)
    for _ in range(config.clip_iter):
        kept = np.abs(values - centre) <= width
        if kept.sum() <= 1 or np.ptp(values[kept]) == 0:
            return True
        w, x = weights[kept], values[kept]
        centre = np.average(x, weights=w)
        variance = np.average((x - centre) ** 2, weights=w)
        debiased = variance * w.sum() ** 2 / (w.sum() ** 2 - (w**2).sum())
        width = config.sigma_clip * np.sqrt(debiased)
    return False


def agree_on_nan(found, recorded, stack, bad_planes, clip):
    """Tell where an image is NaN as recorded, and see that it is so where it matters.

    Parameters
    ----------
    found, recorded
        Images that a clipped mean went into.
    stack
        The warps, with weights, as the clip had them.
    bad_planes
        What it left out.
    clip
        Its statistic.
    """
    same = np.isnan(found) == np.isnan(recorded)
    bits = np.uint32(PLANES.bits(bad_planes))
    for y, x in np.argwhere(~same):
        values = np.asarray(stack.image)[:, y, x].astype(float)
        good = (np.asarray(stack.mask)[:, y, x] & bits) == 0
        good &= np.isfinite(values) & np.asarray(stack.present)
        weights = np.asarray(stack.weight)[good].astype(float)
        assert keeps_equal_values(values[good], weights, clip), (y, x)
    return same
