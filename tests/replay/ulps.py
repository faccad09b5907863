"""Comparison with values that were recorded in float32."""

import numpy as np


def assert_within_ulps(found, recorded, *, ulps, where=True, label="value"):
    """Compare with float32 numbers: near in units in the last place, or the same NaN.

    Infinities must be the same.
    """
    found = np.asarray(found, np.float64)
    with np.errstate(over="ignore"):
        narrowed = found.astype(np.float32)
    recorded = np.asarray(recorded, np.float32)
    finite = np.isfinite(recorded) & np.isfinite(narrowed)
    same = (np.isnan(recorded) & np.isnan(narrowed)) | (recorded == narrowed)
    with np.errstate(invalid="ignore"):
        near = np.abs(narrowed.astype(float) - recorded) <= ulps * np.spacing(
            np.abs(recorded)
        )
    wrong = ~(same | (finite & near)) & where
    report_first(wrong, found, recorded, label)


def assert_close(found, recorded, *, allowed, where=True, label="value"):
    """Compare with an allowed absolute difference a pixel; NaN and inf the same."""
    found, recorded = np.asarray(found), np.asarray(recorded)
    same = (np.isnan(recorded) & np.isnan(found)) | (recorded == found)
    with np.errstate(invalid="ignore"):
        near = np.abs(found.astype(float) - recorded) <= allowed
    report_first(~(same | near) & where, found, recorded, label)


def report_first(wrong, found, recorded, label):
    """Fail with the first of the wrong entries, if there is one."""
    if np.any(wrong):
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise AssertionError(
            f"{label}: {int(np.sum(wrong))} of {wrong.size} differ, first at {at}: "
            f"{np.asarray(found)[at]!r}, recorded {np.asarray(recorded)[at]!r}"
        )
