"""Streaks found and masked, recorded from another pipeline."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np

from jaxcoadd.masks import MaskPlanes
from jaxcoadd.streaks import StreakConfig, find_streaks
from jaxcoadd.streaks.edges import canny_edges

PLANES = MaskPlanes.from_bits(
    {
        name: bit
        for bit, name in enumerate(
            (
                *("BAD", "SAT", "INTRP", "CR", "EDGE", "DETECTED"),
                *("DETECTED_NEGATIVE", "SUSPECT", "NO_DATA", "VIGNETTED", "STREAK"),
                *("REJECTED", "CLIPPED", "SENSOR_EDGE", "INEXACT_PSF"),
            )
        )
    }
)

NAMES = {
    "invSigma": "inverse_width",
    "dChi2Tolerance": "chi2_tolerance",
    "maxFitIter": "max_fit_iterations",
    "detectedMaskPlane": "detected_plane",
    "streaksMaskPlane": "streak_plane",
    "badMaskPlanes": "bad_planes",
    "saturatedDetectionsDilation": "saturated_dilation",
}
"""Options that have other names here; of the others the spelling differs."""

# The recorded fits end before they are at the minimum of chi2: ours are there. What
# is left moves a line by less than these, in pixels, degrees and parts of the width.
RHO, THETA, WIDTH = 0.01, 0.01, 0.01


def replay(path: Path, precision: int) -> None:
    """Compare edges, lines and mask of one recorded case."""
    with np.load(path) as file:
        case = dict(file)
    params = json.loads(str(case["params"]))
    config = config_from(params["config"])
    image, variance = (
        case[name].astype(f"float{precision}") for name in ("image", "variance")
    )
    detected = (case["mask"] & (1 << PLANES.bit(config.detected_plane))) != 0
    edges = np.packbits(canny_edges(detected))
    np.testing.assert_array_equal(edges, case["canny"])
    found = find_streaks(image, variance, case["mask"], planes=PLANES, config=config)
    expected = case["lines_out"].reshape(-1, 3)
    assert_same_lines(found.lines, expected)
    near = near_edges(expected, image.shape, config)
    assert found.mask.dtype == np.uint32
    differ = found.mask != case["out_mask"].astype(np.uint32)
    assert not np.any(differ & ~near)


def config_from(options: dict) -> StreakConfig:
    """Translate recorded options."""
    renamed = {
        NAMES.get(name, re.sub("([A-Z])", lambda c: f"_{c[1].lower()}", name)): value
        for name, value in options.items()
    }
    renamed["bad_planes"] = tuple(renamed["bad_planes"])
    config = StreakConfig(**renamed)
    assert set(renamed) <= set(dataclasses.asdict(config))
    return config


def assert_same_lines(found, expected) -> None:
    """Compare lines in any order, as recorded clusters come in an order of chance."""
    assert len(found) == len(expected)
    free = list(range(len(expected)))
    for line in found:
        offsets = np.abs(expected[free] - line) / (RHO, THETA, WIDTH * line[2])
        best = int(np.argmin(offsets.max(axis=1)))
        assert offsets[best].max() <= 1, f"{line}, recorded {expected[free]}"
        free.pop(best)


def near_edges(lines, shape, config) -> np.ndarray:
    """Return where the tolerance of the lines lets the masks differ."""
    y, x = np.indices(shape)
    near = np.zeros(shape, bool)
    dy, dx = y - shape[0] / 2, x - shape[1] / 2
    for rho, theta, sigma in lines:
        cosine, sine = np.cos(np.deg2rad(theta)), np.sin(np.deg2rad(theta))
        across, along = dx * cosine + dy * sine - rho, dy * cosine - dx * sine
        half_width, growth = config.n_sigma_mask * sigma, WIDTH
        if 0 < config.max_streak_width < 2 * half_width:
            half_width, growth = config.max_streak_width / 2, 0
        allowed = RHO + np.deg2rad(THETA) * np.abs(along) + growth * half_width
        near |= np.abs(np.abs(across) - half_width) <= allowed
    return near
