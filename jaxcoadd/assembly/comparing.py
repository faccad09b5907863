"""CompareWarp on files: the static sky in strips, then one difference at a time."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from jaxcoadd.artifacts import (
    ArtifactError,
    Artifacts,
    CompareWarpConfig,
    StreakFinder,
    find_artifacts,
    remarks,
    streak_finder,
)
from jaxcoadd.assembly.checks import join_reasons
from jaxcoadd.assembly.findings import Findings, psf_sigma, unite
from jaxcoadd.assembly.finishing import finish_planes
from jaxcoadd.assembly.methods import CompareWarp
from jaxcoadd.assembly.plan import Plan
from jaxcoadd.assembly.reading import Cube, Strip, to_device
from jaxcoadd.assembly.settings import Settings
from jaxcoadd.assembly.strips import stack_strip
from jaxcoadd.assembly.subregions import as_coadd, stack_subregions
from jaxcoadd.assembly.values import SettingsError
from jaxcoadd.assembly.weighing import Weighed, read_whole, weigh_inputs
from jaxcoadd.coadds import Coadd, coadd_planes
from jaxcoadd.io import InputError
from jaxcoadd.warps import Warp


def compare_warp_config(settings: Settings) -> CompareWarpConfig:
    """Return how warps are compared, as all settings together say.

    Parameters
    ----------
    settings
        With the method `CompareWarp`.
    """
    assert isinstance(settings.method, CompareWarp)
    config = settings.method.config
    bad = (*config.static_sky.bad_planes, "BAD_VARIANCE")
    return dataclasses.replace(
        config,
        coadd=settings.coadd_config(),
        static_sky=dataclasses.replace(config.static_sky, bad_planes=bad),
    )


def find_by_comparison(
    plan: Plan,
    used: Sequence[Weighed],
    settings: Settings,
    *,
    devices: Sequence[Any],
    done: Callable[[], None] = lambda: None,
) -> Findings:
    """Find artifacts in the warps of a run by comparison with the static sky.

    Parameters
    ----------
    plan
        The plan of the run; `plan.compared` are the warps that are compared.
    used
        The warps of the run, none of them skipped.
    settings
        With the method `CompareWarp`.
    devices
        Over which the rows of the static sky are spread.
    done
        Called after each warp that was compared.

    Returns
    -------
    Findings
        Of these warps.

    Raises
    ------
    InputError
        No warp can be compared, or one would be left out whole.
    """
    assert isinstance(settings.method, CompareWarp) and plan.compared is not None
    compared = plan.compared
    config = compare_warp_config(settings)
    partners, kept = weigh_inputs(compared, config.static_sky)
    known = [one for one in partners if not one.item.skipped]
    if not known:
        reasons = join_reasons([one.item.skipped for one in partners])
        raise InputError(f"no warp can be compared with the others: {reasons}")
    template = _static_sky(compared, known, kept, config, devices)
    by_name = {_name(one): index for index, one in enumerate(known)}
    order = [by_name.get(_name(one)) for one in used]
    names = tuple(f"the warp of exposure {_name(one)}" for one in used)
    try:
        artifacts = find_artifacts(
            template,
            _read_warps(compared, known, kept, order, done),
            sigma=[
                0.0 if n is None else psf_sigma(_file(known[n]), settings.psf_fwhm)
                for n in order
            ],
            template_sigma=max(
                psf_sigma(_file(one), settings.psf_fwhm) for one in known
            ),
            config=config,
            streaks=_streaks(settings.method),
            names=names,
        )
    except ArtifactError as error:
        raise InputError(str(error)) from error
    except ImportError as error:
        raise SettingsError(f"compare_warp.streaks: {error}") from error
    return _as_findings(artifacts, [_name(one) for one in used], names, config)


def _streaks(method: CompareWarp) -> StreakFinder | None:
    return streak_finder(method.streak_search) if method.streaks else None


def _file(one: Weighed):
    assert one.item.file is not None
    return one.item.file


def _name(one: Weighed) -> str:
    return _file(one).identifier


def _static_sky(
    plan: Plan,
    used: Sequence[Weighed],
    kept: Cube | None,
    config: CompareWarpConfig,
    devices: Sequence[Any],
) -> Coadd:
    """Coadd the warps that are compared to what stays the same."""
    stack = partial(stack_strip, config=config.static_sky)
    stacked, _ = stack_subregions(plan, used, kept, stack, devices=devices)
    finish_planes(stacked, config.static_sky, coadd_planes(plan.planes))
    return as_coadd(stacked, plan)


def _read_warps(
    plan: Plan,
    known: Sequence[Weighed],
    kept: Cube | None,
    order: Sequence[int | None],
    done: Callable[[], None],
) -> Iterator[Warp | None]:
    """Yield the partner of each warp, whole, one after the other."""
    for index in order:
        if index is None:
            yield None
        else:
            yield _as_warp(read_whole(plan, known, kept, index), plan)
        done()


def _as_warp(strip: Strip, plan: Plan) -> Warp:
    return Warp(
        to_device(strip.image),
        to_device(strip.variance),
        to_device(strip.mask),
        planes=plan.planes,
        zero_point=plan.zero_point,
    )


def _as_findings(
    artifacts: Artifacts,
    identifiers: Sequence[str],
    names: Sequence[str],
    config: CompareWarpConfig,
) -> Findings:
    return Findings(
        names=tuple(identifiers),
        regions=tuple(unite(regions) for regions in artifacts.alternatives()),
        n_artifacts=tuple(len(found) for found in artifacts.clipped),
        replaced_planes=config.coadd.bad_planes,
        edges=artifacts.edge,
        remarks=remarks(artifacts, names),
    )
