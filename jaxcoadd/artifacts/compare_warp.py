"""CompareWarp: what only a few epochs see, against a static sky, is an artifact."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxcoadd.artifacts.alternatives import (
    coadd_without,
    compiled_coadd,
    flag_edges,
    weigh_once,
)
from jaxcoadd.artifacts.config import COMPARE_WARP, CompareWarpConfig
from jaxcoadd.artifacts.differences import StreakFinder
from jaxcoadd.artifacts.finding import ArtifactError, Artifacts, find_artifacts
from jaxcoadd.coadds import Coadd, coadd, weigh_stack
from jaxcoadd.warps import Warp, WarpStack, stack_warps


@dataclasses.dataclass(frozen=True)
class ComparedCoadd:
    """A coadd without artifacts, and what it was compared with.

    Parameters
    ----------
    coadd
        The coadd.
    artifacts
        What was left out of it.
    template
        The static sky.
    """

    coadd: Coadd
    artifacts: Artifacts
    template: Coadd


def static_sky(stack: WarpStack, config: CompareWarpConfig = COMPARE_WARP) -> Coadd:
    """Coadd PSF-matched warps to what stays the same.

    Parameters
    ----------
    stack
        PSF-matched warps; direct warps if there are none.
    config
        How.
    """
    return compiled_coadd(stack, config.static_sky)


def compare_warp(
    stack: WarpStack,
    matched: Sequence[Warp | None] | None = None,
    *,
    sigma: float | Sequence[float],
    template_sigma: float | None = None,
    config: CompareWarpConfig = COMPARE_WARP,
    streaks: StreakFinder | None = None,
    origin: tuple[int, int] = (0, 0),
) -> ComparedCoadd:
    """Coadd warps without what only a few of them show.

    Parameters
    ----------
    stack
        Direct warps, whole.
    matched
        The PSF-matched warp of each, or ``None`` for one without; ``None`` for all:
        the direct warps are compared, and sources leave residuals where seeing varies.
    sigma
        Standard deviation of the PSF of the warps that are compared, pixels: one for
        all, or one each.
    template_sigma
        That of the static sky; by default the largest of the warps that made it.
    config
        How; by default as LSST does.
    streaks
        What finds streaks on a difference; ``None``: nothing does.
    origin
        Position (x, y) of the pixel [0, 0].

    Returns
    -------
    ComparedCoadd
        The coadd, what was left out of it, and the static sky.

    Raises
    ------
    ArtifactError
        No warp has a partner, or one would be left out whole.
    ValueError
        The numbers of warps differ.

    Notes
    -----
    LSST: ``CompareWarpAssembleCoaddTask``.
    """
    n = int(np.asarray(stack.present).sum())
    partners = _unstack(stack, n) if matched is None else list(matched)
    template, of_use = _static_sky_of(partners, config)
    if template_sigma is None:
        sigmas = _one_each(sigma, len(partners))
        template_sigma = max(s for s, use in zip(sigmas, of_use, strict=True) if use)
    return compare_with(
        template,
        stack,
        [warp if use else None for warp, use in zip(partners, of_use, strict=True)],
        sigma=sigma,
        template_sigma=template_sigma,
        config=config,
        streaks=streaks,
        origin=origin,
    )


def compare_with(
    template: Coadd,
    stack: WarpStack,
    matched: Sequence[Warp | None],
    *,
    sigma: float | Sequence[float],
    template_sigma: float | None = None,
    config: CompareWarpConfig = COMPARE_WARP,
    streaks: StreakFinder | None = None,
    origin: tuple[int, int] = (0, 0),
) -> ComparedCoadd:
    """Coadd warps without what a static sky, which is known, does not show.

    Parameters
    ----------
    template
        The static sky, its holes filled.
    stack
        Direct warps, whole.
    matched
        The PSF-matched warp of each, or ``None`` for one without.
    sigma, template_sigma, config, streaks, origin
        As for `compare_warp`.

    Returns
    -------
    ComparedCoadd
        The coadd, what was left out of it, and the static sky.

    Raises
    ------
    ArtifactError
        A warp would be left out whole.
    ValueError
        The numbers of warps differ.
    """
    weighed, _ = weigh_once(stack, config.coadd)
    n = len(matched)
    _check_number(n, int(np.asarray(stack.present).sum()))
    used = np.asarray(weighed.present)[:n]
    sigmas = _one_each(sigma, n)
    artifacts = find_artifacts(
        template,
        [warp if use else None for warp, use in zip(matched, used, strict=True)],
        sigma=sigmas,
        template_sigma=max(sigmas) if template_sigma is None else template_sigma,
        config=config,
        streaks=streaks,
        origin=origin,
    )
    result = coadd_without(
        weighed,
        artifacts.alternatives(),
        config.coadd,
        replaced_planes=config.coadd.bad_planes,
        origin=origin,
    )
    mask, planes = flag_edges(result.mask, result.planes, artifacts.edge, origin=origin)
    flagged = dataclasses.replace(result, mask=jnp.asarray(mask), planes=planes)
    return ComparedCoadd(flagged, artifacts, template)


def _static_sky_of(partners, config) -> tuple[Coadd, list[bool]]:
    """Coadd the PSF-matched warps that are there, and tell which are of use."""
    there = [n for n, warp in enumerate(partners) if warp is not None]
    if not there:
        raise ArtifactError(
            "no warp has a PSF-matched partner, so there is no static sky; make some, "
            "or compare direct warps by leaving out `matched`"
        )
    template, of_use = _compiled_static_sky(
        [partners[n] for n in there], config.static_sky
    )
    comparable = [False] * len(partners)
    for n, one in zip(there, np.asarray(of_use), strict=True):
        comparable[n] = bool(one)
    return template, comparable


def _stack_static_sky(warps, config):
    """Stack and coadd warps, and tell which are of use."""
    weighed, settled = weigh_stack(stack_warps(warps), config)
    return coadd(weighed, settled), weighed.present


# One program, which hands no stack on: that would be a copy of all pixels.
_compiled_static_sky = jax.jit(_stack_static_sky)


def _one_each(sigma, n) -> list[float]:
    return [float(s) for s in np.broadcast_to(np.asarray(sigma, float), (n,))]


def _check_number(partners: int, warps: int) -> None:
    if partners != warps:
        raise ValueError(
            f"there are {warps} warps and {partners} PSF-matched ones; give None for a "
            "warp without a partner"
        )


def _unstack(stack: WarpStack, n: int) -> list[Warp | None]:
    """Return the warps of a stack, one by one."""
    return [
        Warp(
            stack.image[i],
            stack.variance[i],
            stack.mask[i],
            planes=stack.planes,
            zero_point=stack.zero_point[i],
        )
        for i in range(n)
    ]
