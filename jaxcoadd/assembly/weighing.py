"""Weigh every warp of a run from its whole variance plane."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxcoadd.assembly.ahead import read_ahead
from jaxcoadd.assembly.checks import Input
from jaxcoadd.assembly.inputs import row_slices
from jaxcoadd.assembly.plan import Plan
from jaxcoadd.assembly.reading import Cube, Strip, read_strip, to_device
from jaxcoadd.coadds import CoaddConfig
from jaxcoadd.io import InputError
from jaxcoadd.io.mask_planes import BAD_VARIANCE
from jaxcoadd.io.sections import sections
from jaxcoadd.warps import WarpStack

READ_ROWS = 256
"""Rows that are read at a time of a warp that is not kept."""


@dataclasses.dataclass(frozen=True, eq=False)
class Weighed:
    """An input with its weight.

    Parameters
    ----------
    item
        The input; skipped now if it turned out that it cannot be used.
    weight
        NaN if it is skipped.
    strip
        Its pixels, if it is not skipped.
    bad_variance
        Pixels whose variance is not positive and finite.
    """

    item: Input
    weight: float = float("nan")
    strip: Strip | None = None
    bad_variance: int = 0


def read_whole(
    plan: Plan, used: Sequence[Weighed], kept: Cube | None, index: int
) -> Strip:
    """Return all pixels of one warp.

    Parameters
    ----------
    plan
        The plan of the run.
    used
        The warps, none of them skipped.
    kept
        Their pixels; None to read them from the file.
    index
        Which of the warps.
    """
    if kept is None:
        return read_strip(used[index].item, plan, slice(0, plan.grid.shape[0]))
    return Strip(kept.image[index], kept.variance[index], kept.mask[index])


@dataclasses.dataclass(frozen=True, eq=False)
class WholeWarp:
    """What is needed of a whole warp to weigh it.

    Parameters
    ----------
    variance
        On the grid of the coadd, (y, x).
    unmasked
        Where no bad plane is set, (y, x).
    n_finite, n_good
        Pixels whose image is finite, and those of them that are unmasked.
    bad_variance
        Pixels whose variance is not positive and finite.
    strip
        All its pixels, if they are to be kept.
    """

    variance: np.ndarray
    unmasked: np.ndarray
    n_finite: int
    n_good: int
    bad_variance: int
    strip: Strip | None


def read_input(item: Input, plan: Plan, config: CoaddConfig) -> WholeWarp | InputError:
    """Read a warp whole and check its sums.

    Parameters
    ----------
    item
        An input that is not skipped.
    plan
        The plan of the run.
    config
        With the planes that reject a pixel.

    Returns
    -------
    WholeWarp or InputError
        Why not, if a checksum differs or the pixels cannot be decoded.
    """
    assert item.file is not None
    variance = np.empty(plan.grid.shape, np.float32)
    unmasked = np.empty(plan.grid.shape, bool)
    n_finite = n_good = bad_variance = 0
    bad = np.uint32(plan.planes.bits(config.bad_planes))
    unknown = np.uint32(plan.planes.bits([BAD_VARIANCE]))
    # A warp that is to be kept is read in one piece.
    rows = plan.grid.shape[0] if plan.keep else READ_ROWS
    strip = None
    try:
        item.file.verify()
        with sections() as read:
            for part in row_slices(plan.grid.shape, rows):
                strip = read_strip(item, plan, part, read)
                finite = np.isfinite(strip.image)
                variance[part] = strip.variance
                unmasked[part] = (strip.mask & bad) == 0
                n_finite += int(np.count_nonzero(finite))
                n_good += int(np.count_nonzero(finite & unmasked[part]))
                bad_variance += int(np.count_nonzero(strip.mask & unknown))
    except InputError as error:
        return error
    kept = strip if plan.keep else None
    return WholeWarp(variance, unmasked, n_finite, n_good, bad_variance, kept)


@partial(jax.jit, static_argnames=("bad", "planes"))
def _weigh(variance, unmasked, config, bad, planes):
    one = WarpStack(
        # Of the image, weights need to know only that it is not empty.
        image=jnp.zeros((1, *variance.shape), variance.dtype),
        variance=variance[None],
        mask=jnp.where(unmasked, jnp.uint32(0), jnp.uint32(bad))[None],
        planes=planes,
        zero_point=jnp.zeros(1, variance.dtype),
        weight=None,
        present=jnp.ones(1, bool),
    )
    weights, present = config.weighting.weigh_warps(one, bad)
    return weights[0], present[0]


def weigh_input(
    item: Input, warp: WholeWarp | InputError, plan: Plan, config: CoaddConfig
) -> Weighed:
    """Weigh a warp.

    Parameters
    ----------
    item
        An input that is not skipped.
    warp
        What `read_input` returned for it.
    plan
        The plan of the run.
    config
        How to weigh.

    Returns
    -------
    Weighed
        Skipped, with the reason, if it could not be read, or there is nothing to
        weigh.
    """
    if isinstance(warp, InputError):
        return Weighed(item.skip(str(warp)))
    reason = _unusable(warp, item)
    if reason:
        return Weighed(item.skip(reason), bad_variance=warp.bad_variance)
    weight, usable = _weigh(
        # Here and not where they are read: settings of JAX may hold for one thread.
        to_device(warp.variance),
        to_device(warp.unmasked),
        config,
        bad=plan.planes.bits(config.bad_planes),
        planes=plan.planes,
    )
    if usable:
        return Weighed(item, float(weight), warp.strip, warp.bad_variance)
    reason = f"{item.path} has no positive mean variance to weigh it by"
    if not warp.n_good:
        reason = (
            f"{item.path} has no pixel without a bad mask plane; the bad planes "
            f"are {', '.join(config.bad_planes)}"
        )
    return Weighed(item.skip(reason), bad_variance=warp.bad_variance)


def _unusable(warp: WholeWarp, item: Input) -> str | None:
    if warp.n_finite == 0:
        return f"{item.path} has no pixel that is a finite number; it is empty"
    if warp.bad_variance == warp.n_finite:
        return (
            f"{item.path} has a variance that is positive and finite nowhere; check "
            "which HDU holds the variance"
        )
    return None


def weigh_inputs(
    plan: Plan,
    config: CoaddConfig,
    *,
    done: Callable[[Weighed], None] = lambda one: None,
) -> tuple[list[Weighed], Cube | None]:
    """Weigh every input of a plan.

    Parameters
    ----------
    plan
        The plan of the run.
    config
        How to weigh.
    done
        Told of each input that was read.

    Returns
    -------
    weighed : list of Weighed
        One an input, without pixels.
    kept : Cube or None
        The pixels of those used, if the plan keeps them.
    """
    kept = Cube.empty((len(plan.used), *plan.grid.shape)) if plan.keep else None
    weighed = []
    n_used = 0
    warps = read_ahead(partial(read_input, plan=plan, config=config), plan.used)
    for item in plan.inputs:
        if item.skipped:
            weighed.append(Weighed(item))
            continue
        one = weigh_input(item, next(warps), plan, config)
        weighed.append(dataclasses.replace(one, strip=None))
        if kept is not None and one.strip is not None and not one.item.skipped:
            kept.put(n_used, one.strip)
        n_used += not one.item.skipped
        done(weighed[-1])
        del one
    return weighed, kept if kept is None else kept.first(n_used)
