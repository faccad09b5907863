"""Outliers on files: the median of the warps in strips, then one warp at a time."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from jaxcoadd.artifacts import outlying_region
from jaxcoadd.assembly.findings import Findings
from jaxcoadd.assembly.methods import CompareWarp
from jaxcoadd.assembly.plan import Plan
from jaxcoadd.assembly.reading import Cube, to_device
from jaxcoadd.assembly.settings import Settings
from jaxcoadd.assembly.strips import stack_strip
from jaxcoadd.assembly.subregions import as_coadd, stack_subregions
from jaxcoadd.assembly.weighing import Weighed, read_whole
from jaxcoadd.coadds import CoaddConfig
from jaxcoadd.spans import SpanSet
from jaxcoadd.statistics import Median


def median_config(settings: Settings) -> CoaddConfig:
    """Return how warps are coadded to what single pixels are told by.

    Parameters
    ----------
    settings
        Whose weights and bad planes it has.
    """
    return dataclasses.replace(
        settings.coadd_config(), statistic=Median(), interpolate=False
    )


def add_outliers(
    findings: Findings,
    plan: Plan,
    used: Sequence[Weighed],
    kept: Cube | None,
    settings: Settings,
    *,
    devices: Sequence[Any],
    done: Callable[[], None] = lambda: None,
) -> Findings:
    """Add single pixels that stand out to what was found in the warps of a run.

    Parameters
    ----------
    findings
        What was found by comparison.
    plan
        The plan of the run.
    used
        The warps, none of them skipped.
    kept
        Their pixels; None to read them from the files.
    settings
        With the method `CompareWarp` and its outliers.
    devices
        Over which the rows of the median are spread.
    done
        Called after each warp that was searched.
    """
    assert isinstance(settings.method, CompareWarp) and settings.method.outliers
    stack = partial(stack_strip, config=median_config(settings))
    stacked, _ = stack_subregions(plan, used, kept, stack, devices=devices)
    median = as_coadd(stacked, plan)
    regions, numbers = [], []
    for n, before in enumerate(findings.regions):
        pixels = read_whole(plan, used, kept, n)
        outliers = outlying_region(
            to_device(pixels.image),
            to_device(pixels.variance),
            median,
            config=settings.method.outliers,
        )
        clipped = SpanSet().union(before["CLIPPED"], outliers)
        regions.append({**before, "CLIPPED": clipped})
        numbers.append(clipped.area - before["CLIPPED"].area)
        done()
    return dataclasses.replace(
        findings, regions=tuple(regions), n_outliers=tuple(numbers)
    )
