"""Weights of warps, recorded from another pipeline."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxcoadd.reference.statistics import SIGMA_PER_IQR, order_statistics
from jaxcoadd.selection import plane_clipped_mean
from jaxcoadd.statistics import Samples, rejected_value
from tests.replay.statistics import make_statistic
from tests.replay.ulps import assert_close
from tests.rounding import EPS64, allowed, clip


def replay(path: Path, precision: int) -> None:
    """Compare the clipped mean of a variance plane and the weight made of it."""
    with np.load(path) as file:
        case = dict(file)
    params = json.loads(str(case["params"]))
    variance = case["variance"]
    good = np.isfinite(variance) & (case["mask"] & params["andMask"] == 0)
    options = {"sigma_clip": params["numSigmaClip"], "clip_iter": params["numIter"]}
    function = jax.jit(functools.partial(plane_clipped_mean, **options))
    plane = jnp.asarray(variance, f"float{precision}")
    mean, n_clipped = function(plane, where=jnp.asarray(good))
    assert mean.dtype == f"float{precision}"

    allowed, doubtful = _allowed(variance[good], variance.shape, precision, **options)
    recorded = case["out_meanclip"]
    assert_close(mean, recorded, allowed=allowed, label="clipped mean")
    assert abs(int(n_clipped) - int(case["out_nclipped"])) <= doubtful
    used = bool(np.isfinite(mean) and mean > 0)
    assert used == bool(case["out_used"])
    weight = 1 / float(mean) if used else np.nan
    relative = 2 * allowed / abs(recorded) if used else 0
    allowed = relative * abs(case["out_weight"])
    assert_close(weight, case["out_weight"], allowed=allowed, label="weight")


def _allowed(values, shape, precision, *, sigma_clip, clip_iter):
    """Bound the rounding of the mean; count values that rounding may clip or keep.

    A sum of n terms is off by n roundings of the sum of their sizes. Here n is rows
    and columns, in the original all pixels, in 64 bits. A deviation squared doubles
    that, and the square root halves it.
    """
    if len(values) < 2:
        return 2.0 ** (-50 if precision == 64 else -22) * np.abs(values).sum(), 0
    values = values.astype(float)
    lower, centre, upper = order_statistics(values)
    limit = sigma_clip * SIGMA_PER_IQR * (upper - lower)
    mine = sum(shape) * (2.0**-53 if precision == 64 else 2.0**-24)
    rounding = mine + 2.0**-53 * values.size
    last_bits = 4 * (2.0**-53 if precision == 64 else 2.0**-24)
    allowed, doubtful = 0.0, 0
    for _ in range(clip_iter):
        deviations = np.abs(values - centre)
        doubt = allowed + rounding * limit + last_bits * np.abs(values)
        # A deviation of 0 at a limit of 0 is exact.
        near = (np.abs(deviations - limit) <= doubt) & (deviations > 0)
        kept = deviations <= limit
        doubtful = int(near.sum())
        centre = values[kept].mean()
        limit = sigma_clip * values[kept].std(ddof=1)
        moved = doubtful * deviations[kept].max() / kept.sum()
        spread = deviations[kept].mean()
        allowed = rounding * spread + last_bits * abs(centre) + moved
    return allowed, doubtful


def replay_statistics(path: Path) -> None:
    """Compare all statistics of the plane: a stack of as many warps, of one pixel.

    In 64 bits, as they were recorded.
    """
    with np.load(path) as file:
        case = dict(file)
    params = json.loads(str(case["params"]))
    good = np.isfinite(case["variance"]) & (case["mask"] & params["andMask"] == 0)
    options = {"sigma_clip": params["numSigmaClip"], "clip_iter": params["numIter"]}
    values = case["variance"].astype(float).reshape(-1, 1)
    used = good.reshape(-1, 1)
    samples = Samples(
        values=jnp.where(used, values, rejected_value(np.float64)),
        variances=jnp.zeros_like(values),
        weights=jnp.ones_like(values),
        weight_unit=jnp.ones(()),
        present=jnp.ones(len(values), bool),
        count=jnp.asarray([float(used.sum())]),
    )
    chosen = values[used]
    kept, sure = clip(chosen, np.ones(len(chosen)), EPS64, **options)
    recorded = zip(
        case["stat_names"], case["stat_values"], case["stat_errors"], strict=True
    )
    for name, value, error in recorded:
        some = chosen
        if name.endswith("CLIP"):
            if not sure:
                continue
            some = chosen[kept]
        statistic = make_statistic(name, **options, from_variances=False, mosaic=False)
        found = combine(samples, statistic)
        offs = allowed(
            str(name), some, 0 * some, np.ones(len(some)), EPS64, error="scatter"
        )
        found_wanted = ((found.value, value), (found.variance, error**2))
        for (part, wanted), off in zip(found_wanted, offs, strict=True):
            # A sign or a NaN that rounding decides.
            if np.isfinite(off) and not abs(wanted) <= off:
                label = f"{name} of the plane"
                assert_close(part[0], wanted, allowed=2 * off, label=label)


@jax.jit
def combine(samples, statistic):
    """Combine the values of the one pixel."""
    return statistic.combine(samples, statistic.settle(samples))
