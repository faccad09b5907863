"""SafeClip on files: two means in strips, then the masks of one warp at a time."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcoadd.artifacts import (
    SafeClipConfig,
    choose_by_overlap,
    clip_in_warp,
    measure_overlap,
)
from jaxcoadd.assembly.findings import Findings, psf_sigma, unite
from jaxcoadd.assembly.finishing import finish_planes
from jaxcoadd.assembly.methods import SafeClip
from jaxcoadd.assembly.plan import Plan
from jaxcoadd.assembly.reading import Cube
from jaxcoadd.assembly.settings import Settings
from jaxcoadd.assembly.strips import stack_strip
from jaxcoadd.assembly.subregions import stack_subregions
from jaxcoadd.assembly.values import SettingsError
from jaxcoadd.assembly.weighing import Weighed, read_whole
from jaxcoadd.coadds import coadd_planes
from jaxcoadd.detection import Footprints, detect, merge_footprints
from jaxcoadd.statistics import ClippedMean, Mean

_DETECTED = ("DETECTED", "DETECTED_NEGATIVE")


def safe_clip_config(settings: Settings) -> SafeClipConfig:
    """Return how footprints are clipped, as all settings together say.

    Parameters
    ----------
    settings
        With the method `SafeClip`.

    Raises
    ------
    SettingsError
        The statistic is not a mean.
    """
    assert isinstance(settings.method, SafeClip)
    coadd = settings.coadd_config()
    if not isinstance(coadd.statistic, Mean):
        raise SettingsError(
            f"safe-clip makes a Mean, and the statistic is {settings.statistic}; leave "
            "it out, or choose another method"
        )
    return dataclasses.replace(
        settings.method.config,
        coadd=coadd,
        clipped_statistic=ClippedMean(
            sigma_clip=settings.sigma_clip,
            clip_iter=settings.clip_iter,
            error=coadd.statistic.error,
        ),
    )


def find_by_clipping(
    plan: Plan,
    used: Sequence[Weighed],
    kept: Cube | None,
    settings: Settings,
    *,
    devices: Sequence[Any],
    done: Callable[[], None] = lambda: None,
) -> Findings:
    """Find whole footprints of what a clipped mean clips, and the warps they are of.

    Parameters
    ----------
    plan
        The plan of the run.
    used
        The warps, none of them skipped.
    kept
        Their pixels; None to read them from the files.
    settings
        With the method `SafeClip`.
    devices
        Over which the rows of the means are spread.
    done
        Called after each warp whose mask was looked at, which it is twice.
    """
    config = safe_clip_config(settings)
    footprints = _difference_footprints(
        plan, used, kept, config=config, settings=settings, devices=devices
    )
    overlaps = np.full((len(footprints), len(used)), np.nan)
    detected = False
    bits = np.uint32(plan.planes.bits(_DETECTED))
    for n, mask in enumerate(_read_masks(plan, used, kept)):
        overlaps[:, n] = measure_overlap(footprints, mask, plan.planes, config)
        detected = detected or bool(np.any(mask & bits))
        done()
    chosen = choose_by_overlap(overlaps, config)
    clipped = []
    for own, mask in zip(chosen.T, _read_masks(plan, used, kept), strict=True):
        clipped.append(clip_in_warp(footprints, own, mask, plan.planes, config=config))
        done()
    without = (
        "no warp has a pixel with DETECTED, by which artifacts are told to be in one "
        "warp or another; nothing is masked"
    )
    return Findings(
        names=tuple(one.item.file.identifier for one in used if one.item.file),
        regions=tuple(unite({"CLIPPED": found}) for found in clipped),
        n_artifacts=tuple(map(len, clipped)),
        remarks=() if detected or not used else (without,),
    )


def _difference_footprints(
    plan: Plan,
    used: Sequence[Weighed],
    kept: Cube | None,
    *,
    config: SafeClipConfig,
    settings: Settings,
    devices: Sequence[Any],
) -> Footprints:
    """Detect where the mean of the warps differs from their clipped mean."""
    if not used:
        return ()
    planes = coadd_planes(plan.planes)
    means = []
    for statistic in (config.coadd.statistic, config.clipped_statistic):
        own = dataclasses.replace(config.coadd, statistic=statistic, interpolate=False)
        stack = partial(stack_strip, config=own)
        stacked, _ = stack_subregions(plan, used, kept, stack, devices=devices)
        finish_planes(stacked, own, planes)
        means.append({name: jnp.asarray(plane) for name, plane in stacked.items()})
        del stacked
    mean, clipped = means
    files = [one.item.file for one in used if one.item.file]
    found = detect(
        mean["image"] - clipped["image"],
        mean["variance"] + clipped["variance"],
        mean["mask"] | clipped["mask"],
        sigma=float(np.mean([psf_sigma(f, settings.psf_fwhm) for f in files])),
        config=config.detection,
        planes=planes,
    )
    return merge_footprints(found.positive, found.negative)


def _read_masks(
    plan: Plan, used: Sequence[Weighed], kept: Cube | None
) -> Iterator[np.ndarray]:
    """Yield the mask of each warp, whole, one after the other."""
    for n in range(len(used)):
        yield read_whole(plan, used, kept, n).mask
