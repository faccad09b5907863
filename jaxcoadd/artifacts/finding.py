"""Artifacts: what only a few of several warps show, beside a static sky."""

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt16

from jaxcoadd.arrays import Mask
from jaxcoadd.artifacts.config import COMPARE_WARP, CompareWarpConfig
from jaxcoadd.artifacts.differences import (
    Candidates,
    StreakFinder,
    find_candidates,
    subtract_static_sky,
)
from jaxcoadd.artifacts.filters import (
    count_regions,
    is_transient,
    is_within_one,
    number_pixels,
)
from jaxcoadd.coadds import Coadd
from jaxcoadd.detection import BackgroundError, Footprints, detect
from jaxcoadd.spans import SpanSet
from jaxcoadd.warps import Warp

LEAST_EPOCHS = 3
"""Of two epochs that differ, neither is known to be wrong."""


class ArtifactError(ValueError):
    """What was found cannot be artifacts: one sentence says which warp is wrong."""


@dataclasses.dataclass(frozen=True)
class Artifacts:
    """The artifacts of several warps.

    Parameters
    ----------
    clipped
        Regions to leave out, of each warp.
    no_data, edge
        Where the PSF-matched partner of each warp has no data, and where it has EDGE.
    sources
        Footprints on the static sky, if they were asked for.
    candidates
        What each difference has; ``None`` for a warp without a partner.
    epoch_count
        How many warps have a candidate at each pixel, (y, x).
    n_image
        How many have data there, (y, x).
    """

    clipped: tuple[Footprints, ...]
    no_data: tuple[SpanSet, ...]
    edge: tuple[SpanSet, ...]
    sources: Footprints
    candidates: tuple[Candidates | None, ...]
    epoch_count: UInt16[np.ndarray, "y x"]
    n_image: UInt16[np.ndarray, "y x"]

    def alternatives(self) -> tuple[dict[str, Sequence[SpanSet]], ...]:
        """Return the regions by plane, of each warp, as masks take them."""
        return tuple(
            {"CLIPPED": clipped, "NO_DATA": (no_data,), "EDGE": (edge,)}
            for clipped, no_data, edge in zip(
                self.clipped, self.no_data, self.edge, strict=True
            )
        )


def find_artifacts(
    template: Coadd,
    warps: Iterable[Warp | None],
    *,
    sigma: float | Sequence[float],
    template_sigma: float,
    config: CompareWarpConfig = COMPARE_WARP,
    streaks: StreakFinder | None = None,
    origin: tuple[int, int] = (0, 0),
    names: Sequence[str] | None = None,
) -> Artifacts:
    """Find artifacts in warps by comparison with the static sky.

    Parameters
    ----------
    template
        The static sky, from `static_sky`.
    warps
        PSF-matched warps, read one after the other; ``None`` for a warp that has
        none, which then counts as without data.
    sigma
        Standard deviation of the PSF of the warps, pixels: one for all, or one each.
    template_sigma
        That of the static sky.
    config
        How; by default as LSST does.
    streaks
        What finds streaks on a difference; ``None``: nothing does.
    origin
        Position (x, y) of the pixel [0, 0].
    names
        Of the warps, for messages; by default their numbers.

    Returns
    -------
    Artifacts
        In the order of the warps, which does not matter otherwise.

    Raises
    ------
    ArtifactError
        A warp would be left out whole.
    ValueError
        A warp and the static sky differ in shape; a width that is not positive.

    Notes
    -----
    Only one warp's difference is held at a time. LSST: ``findArtifacts`` of
    ``CompareWarpAssembleCoaddTask``.
    """
    rows, columns = template.image.shape
    shape = rows, columns
    sources, inherited = find_sources(
        template, sigma=template_sigma, config=config, origin=origin
    )
    found = []
    for n, warp in enumerate(warps):
        if warp is None:
            found.append(None)
            continue
        difference = subtract_static_sky(
            warp,
            template,
            sigma=sigma if isinstance(sigma, float | int) else sigma[n],
            config=config,
            inherited=inherited,
        )
        candidates = find_candidates(
            difference, config, sources=sources, streaks=streaks, origin=origin
        )
        found.append(candidates)
    names = [f"warp {n}" for n in range(len(found))] if names is None else names
    known = [candidates for candidates in found if candidates is not None]
    kept = [SpanSet().union(*candidates.kept) for candidates in known]
    epoch_count = count_regions(kept, shape, origin)
    n_image = count_regions([one.counted for one in known], shape, origin)
    return _collect(
        found, names, sources, epoch_count, n_image, config=config, origin=origin
    )


def find_sources(
    template: Coadd,
    *,
    sigma: float,
    config: CompareWarpConfig,
    origin: tuple[int, int] = (0, 0),
) -> tuple[Footprints, Mask]:
    """Find the sources of the static sky, whose residuals are no artifacts.

    Parameters
    ----------
    template
        The static sky; its mask does not matter.
    sigma
        Standard deviation of its PSF, pixels.
    config
        How to detect. If too many pixels are detected to measure the background, it
        is done again with higher thresholds.
    origin
        Position (x, y) of the pixel [0, 0].

    Returns
    -------
    tuple
        Footprints, none if sources are not to be kept, and the bits that differences
        inherit.

    Raises
    ------
    BackgroundError
        Nothing is left for the background in any attempt.
    """
    nothing = jnp.zeros(template.image.shape, jnp.uint32)
    if not config.keep_sources:
        return (), nothing

    def search(factor, negative_factor):
        found = detect(
            template.image,
            template.variance,
            nothing,
            sigma=sigma,
            config=config.source_detection,
            planes=template.planes,
            origin=origin,
            factor=factor,
            negative_factor=negative_factor,
        )
        bits = found.planes.bits(config.inherited_planes)
        return found.positive, found.mask & jnp.uint32(bits)

    *others, last = attempt_factors(config.source_attempts, config.source_factor)
    for factors in others:
        with contextlib.suppress(BackgroundError):
            return search(*factors)
    return search(*last)


def attempt_factors(attempts: int, step: float) -> list[tuple[float, float]]:
    """Return what multiplies the positive and the negative threshold, by attempt.

    The negative one is raised at each attempt, the positive one from the middle on:
    it decides what a source is.
    """
    late = np.maximum(np.arange(attempts) - int(0.4 * attempts) - 1, 0)
    return [(step ** int(n), step**i) for i, n in enumerate(late)]


def _collect(
    found, names, sources, epoch_count, n_image, *, config, origin
) -> Artifacts:
    """Tell artifacts from candidates, once all warps are counted."""
    shape = epoch_count.shape
    x0, y0 = origin
    everywhere = SpanSet.box(x0, y0, x0 + shape[1] - 1, y0 + shape[0] - 1)
    numbers = number_pixels(sources, shape, origin)
    clipped = []
    for n, candidates in enumerate(found):
        if candidates is None:
            clipped.append(())
            continue
        kept = candidates.kept
        chosen = is_transient(
            kept, epoch_count, n_image, config=config, origin=origin
        ) & ~is_within_one(kept, numbers, origin=origin)
        artifacts = tuple(f for f, one in zip(kept, chosen, strict=True) if one)
        clipped.append(artifacts + candidates.streaks)
        _refuse_whole(names[n], clipped[-1], everywhere - candidates.no_data)
    return Artifacts(
        clipped=tuple(clipped),
        no_data=tuple(everywhere if c is None else c.no_data for c in found),
        edge=tuple(SpanSet() if c is None else c.edge for c in found),
        sources=sources,
        candidates=tuple(found),
        epoch_count=epoch_count,
        n_image=n_image,
    )


def _refuse_whole(name, clipped, data) -> None:
    """Refuse to leave out all data of a warp."""
    if data.area and SpanSet().union(*clipped).contains(data):
        raise ArtifactError(
            f"all {data.area} pixels of {name} would be artifacts; leave it "
            "out, or see whether its zero point, background or registration is wrong"
        )


def remarks(
    artifacts: Artifacts, names: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Say in sentences what kept artifacts from being found.

    Parameters
    ----------
    artifacts
        From `find_artifacts`.
    names
        Of the warps; by default their numbers.

    Returns
    -------
    tuple
        Warps without a partner, or whose background could not be matched; warps that
        overlap with fewer than two others, where nothing can be masked.
    """
    if names is None:
        names = [f"warp {n}" for n in range(len(artifacts.candidates))]
    lines = [
        f"{name} has no PSF-matched partner and is left out of the coadd"
        for name, candidates in zip(names, artifacts.candidates, strict=True)
        if candidates is None
    ]
    lines += [
        f"the background of {name} could not be matched, as all its pixels are masked"
        for name, candidates in zip(names, artifacts.candidates, strict=True)
        if candidates is not None and np.isnan(candidates.background)
    ]
    known = [c for c in artifacts.candidates if c is not None]
    if len(known) < LEAST_EPOCHS:
        return (
            *lines,
            f"{len(known)} warps have PSF-matched partners; artifacts are masked only "
            f"where {LEAST_EPOCHS} or more have data",
        )
    deep = SpanSet.from_image(artifacts.n_image >= LEAST_EPOCHS)
    for name, candidates in zip(names, artifacts.candidates, strict=True):
        if candidates is not None and not len((candidates.counted & deep).rows):
            lines.append(f"{name} nowhere overlaps with two others; its artifacts stay")
    return tuple(lines)
