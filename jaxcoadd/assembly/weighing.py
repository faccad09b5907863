"""Weigh every warp of a run from its whole variance plane."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxcoadd.assembly.checks import Input
from jaxcoadd.assembly.plan import Plan
from jaxcoadd.assembly.reading import Strip, read_strip, to_device
from jaxcoadd.coadds import CoaddConfig
from jaxcoadd.io import InputError
from jaxcoadd.io.mask_planes import BAD_VARIANCE
from jaxcoadd.masks import has_any
from jaxcoadd.warps import WarpStack


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


@partial(jax.jit, static_argnames=("bad", "planes"))
def _weigh(pixels, config, bad, planes):
    image, variance, mask = pixels
    one = WarpStack(
        image=image[None],
        variance=variance[None],
        mask=mask[None],
        planes=planes,
        zero_point=jnp.zeros(1, image.dtype),
        weight=None,
        present=jnp.ones(1, bool),
    )
    weights, present = config.weighting.weigh_warps(one, bad)
    good = ~has_any(mask, bad) & jnp.isfinite(image)
    return weights[0], present[0], good.any()


def weigh_input(item: Input, plan: Plan, config: CoaddConfig) -> Weighed:
    """Read a warp whole, check its sums, and weigh it.

    Parameters
    ----------
    item
        An input that is not skipped.
    plan
        The plan of the run.
    config
        How to weigh.

    Returns
    -------
    Weighed
        Skipped, with the reason, if a checksum differs, the pixels cannot be
        decoded, or there is nothing to weigh.
    """
    assert item.file is not None
    try:
        item.file.verify()
        strip = read_strip(item, plan, 0, plan.grid.shape[0])
    except InputError as error:
        return Weighed(item.skip(str(error)))
    bad = (strip.mask & np.uint32(plan.planes.bits([BAD_VARIANCE]))) != 0
    n_bad = int(np.count_nonzero(bad))
    reason = _unusable(strip, item, n_bad)
    if reason:
        return Weighed(item.skip(reason), bad_variance=n_bad)
    weight, usable, some_good = _weigh(
        tuple(to_device(plane) for plane in (strip.image, strip.variance, strip.mask)),
        config,
        bad=plan.planes.bits(config.bad_planes),
        planes=plan.planes,
    )
    if not usable:
        reason = f"{item.path} has no positive mean variance to weigh it by"
        if not some_good:
            reason = (
                f"{item.path} has no pixel without a bad mask plane; the bad planes "
                f"are {', '.join(config.bad_planes)}"
            )
        return Weighed(item.skip(reason), bad_variance=n_bad)
    return Weighed(item, float(weight), strip, n_bad)


def _unusable(strip: Strip, item: Input, n_bad: int) -> str | None:
    finite = np.isfinite(strip.image)
    if not finite.any():
        return f"{item.path} has no pixel that is a finite number; it is empty"
    if n_bad == np.count_nonzero(finite):
        return (
            f"{item.path} has a variance that is positive and finite nowhere; check "
            "which HDU holds the variance"
        )
    return None
