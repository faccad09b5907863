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
