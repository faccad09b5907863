"""The online mean: one warp after the other, in any order, in any split."""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from jaxcoadd.arrays import Count, FloatScalar, Image, Mask
from jaxcoadd.coadds import (
    Coadd,
    CoaddConfig,
    check_planes,
    coadd_planes,
    mask_rules,
    scale_columns,
)
from jaxcoadd.folding import add_where, fold_warps
from jaxcoadd.interpolation import fallback_value
from jaxcoadd.masks import MaskPlanes, has_any, map_masks, remap_mask
from jaxcoadd.stacking import Columns, MaskRules
from jaxcoadd.stages import in_one_loop
from jaxcoadd.statistics import AbstractErrorModel, FromVariances, Mean, Mosaic
from jaxcoadd.tiling import over_tiles
from jaxcoadd.warps import Warp, WarpStack
from jaxcoadd.zero_points import scale_planes, stack_factors, zero_point_factors


class CoaddSums(eqx.Module):
    """What a mean coadd knows of the warps that were added so far.

    Parameters
    ----------
    origin
        Deviations are taken from this image, (y, x), so that the sums keep their
        precision where there is a large background.
    weight, weight2
        Sums of w and of w² of the pixels used.
    first, second
        Sums of w d and of w d², d being the deviation from the origin.
    variance, variance2
        Sums of w v and of w² v.
    union
        Bits of the masks of the pixels used.
    rejected_union
        Bits of the masks of all pixels that are among the bad bits.
    rejected
        Weight of the inputs that have each bad bit.
    n_image
        How many warps have no bad bit.
    planes
        Which plane each bit is.
    zero_point
        AB magnitude of one count.
    rules
        What to make of the masks. Bits without a threshold are not followed.
    error
        Where the variance of the mean comes from.
    """

    origin: Image
    weight: Image
    weight2: Image
    first: Image
    second: Image
    variance: Image
    variance2: Image
    union: Mask
    rejected_union: Mask
    rejected: dict[int, Image]
    n_image: Count
    planes: MaskPlanes = eqx.field(static=True)
    zero_point: FloatScalar
    rules: MaskRules
    error: AbstractErrorModel


def start_sums(
    warp: Warp, config: CoaddConfig, planes: MaskPlanes | None = None
) -> CoaddSums:
    """Return the sums of no warps at all.

    Parameters
    ----------
    warp
        Any of the warps: it gives the shape, the zero point where the configuration
        has none, and the origin of the deviations. It is not added.
    config
        How to coadd; its statistic must be `Mean`.
    planes
        Planes of all warps to come; those of `warp` by default.

    Returns
    -------
    CoaddSums
        For `accumulate`.

    Raises
    ------
    ValueError
        The statistic is not a mean, or a plane does not exist.
    """
    if not isinstance(config.statistic, Mean):
        raise ValueError(
            f"only a Mean can be made one warp at a time, "
            f"not {type(config.statistic).__name__}"
        )
    planes = coadd_planes(warp.planes if planes is None else planes)
    check_planes(config, planes)
    rules = mask_rules(config, planes)
    bad = (bit for bit in range(32) if rules.bad >> bit & 1)
    followed = {bit: rules.thresholds.get(bit, 1.0) for bit in bad}
    zero_point = warp.zero_point if config.zero_point is None else config.zero_point
    image, _ = _scaled(warp, zero_point)
    # Where this warp has no value, a typical one serves: a background must be gone.
    typical = fallback_value(image, negative_allowed=True)
    typical = jnp.where(jnp.isfinite(typical), typical, 0)
    return empty_sums(
        jnp.where(jnp.isfinite(image), image, typical),
        planes=planes,
        zero_point=zero_point,
        rules=dataclasses.replace(rules, thresholds=followed),
        error=config.statistic.error,
    )


def empty_sums(
    origin: Image,
    *,
    planes: MaskPlanes,
    zero_point: FloatScalar,
    rules: MaskRules,
    error: AbstractErrorModel,
) -> CoaddSums:
    """Return the sums of no warps, with everything they need to know; see CoaddSums."""
    zero = jnp.zeros_like(origin)
    none = jnp.zeros_like(origin, jnp.uint32)
    return CoaddSums(
        origin=origin,
        weight=zero,
        weight2=zero,
        first=zero,
        second=zero,
        variance=zero,
        variance2=zero,
        union=none,
        rejected_union=none,
        rejected={bit: zero for bit in rules.thresholds if rules.bad >> bit & 1},
        n_image=jnp.zeros_like(origin, jnp.int32),
        planes=planes,
        zero_point=zero_point,
        rules=rules,
        error=error,
    )


def _scaled(warp: Warp, zero_point: FloatScalar) -> tuple[Image, Image]:
    factor = zero_point_factors(warp.zero_point, zero_point)
    factor = jnp.asarray(factor).astype(warp.image.dtype)
    image, variance = scale_planes(warp.image, warp.variance, factor)
    return jnp.asarray(image), jnp.asarray(variance)


def accumulate(sums: CoaddSums, warp: Warp, weight: FloatScalar) -> CoaddSums:
    """Add one warp.

    Parameters
    ----------
    sums
        Of the warps before.
    warp
        On the same grid; its planes must be among those of the sums.
    weight
        Of this warp.

    Returns
    -------
    CoaddSums
        Of one warp more.

    Raises
    ------
    ValueError
        The warp has another shape, or a plane that the sums do not have.

    Notes
    -----
    Differentiable in pixels, variance, weight and zero points. A pixel that is not
    finite is rejected; LSST's ``AccumulatorMeanStack`` lets it spoil the sum.
    """
    if warp.shape != sums.origin.shape:
        raise ValueError(
            f"the warp is {warp.shape}, the sums before are {sums.origin.shape}"
        )
    image, variance = _scaled(warp, sums.zero_point)
    mask = jnp.asarray(remap_mask(warp.mask, warp.planes, sums.planes))
    weight = jnp.asarray(weight).astype(image.dtype)
    values = (image, variance, mask, weight, jnp.bool_(True))
    added = _add_values(_totals(sums), values, sums.origin, sums.rules)
    return dataclasses.replace(sums, **added)


def accumulate_stack(sums: CoaddSums, stack: WarpStack) -> CoaddSums:
    """Add all warps of a stack, in order.

    Parameters
    ----------
    sums
        Of the warps before.
    stack
        Warps with weights, on the same grid; their planes must be among those of the
        sums.

    Returns
    -------
    CoaddSums
        Bit by bit what `accumulate` gives one warp at a time, in less time: the sums
        of a tile of pixels stay in the cache.

    Raises
    ------
    ValueError
        Another shape, no weights, or a plane that the sums do not have.

    Notes
    -----
    Differentiable like `accumulate`, in reverse mode.
    """
    shape = stack.image.shape[1:]
    if shape != sums.origin.shape:
        raise ValueError(
            f"the warps are {shape}, the sums before are {sums.origin.shape}"
        )
    if stack.weight is None:
        raise ValueError("the stack has no weights; give it some, one a warp")
    factors, _ = stack_factors(stack, sums.zero_point)

    def add_tile(tile, factors, weights, present, rules):
        columns, totals, origin = tile
        columns = scale_columns(columns, factors)

        def step(totals, *values):
            return _add_values(totals, values, origin, rules)

        per_warp = (weights[:, None], present[:, None])
        masks = jnp.asarray(remap_mask(columns.masks, stack.planes, sums.planes))
        pixels = (columns.values, columns.variances, masks)
        return in_one_loop(fold_warps(step, totals, *pixels, *per_warp))

    columns = Columns(stack.image, stack.variance, stack.mask)
    added = over_tiles(add_tile)(
        (columns, _totals(sums), sums.origin),
        *(factors, stack.weight.astype(stack.image.dtype), stack.present, sums.rules),
    )
    return dataclasses.replace(sums, **added)


_TOTALS = (
    *("weight", "weight2", "first", "second", "variance", "variance2"),
    *("union", "rejected_union", "rejected", "n_image"),
)


def _totals(sums: CoaddSums) -> dict[str, Any]:
    """Return what grows with every warp."""
    return {name: getattr(sums, name) for name in _TOTALS}


def _add_values(totals, values, origin, rules):
    """Add the values of one warp, pixel by pixel."""
    image, variance, given, weight, present = values
    mask = given & jnp.uint32(~rules.removed & 0xFFFFFFFF)
    used = present & ~has_any(mask, rules.bad) & jnp.isfinite(image)
    w = jnp.where(used, weight, 0)
    d = jnp.where(used, image - origin, 0)
    v = jnp.where(used, variance, 0)
    rejected = totals["rejected"]
    followed = jnp.uint32(sum(1 << bit for bit in rejected))
    unmasked = present & ~has_any(given, rules.bad)

    def add(name, term):
        # A selection between product and sum: see `sum_warps`.
        return add_where(used, totals[name], term)

    return {
        "weight": add("weight", w),
        "weight2": add("weight2", w * w),
        "first": add("first", w * d),
        "second": add("second", w * d * d),
        "variance": add("variance", w * v),
        "variance2": add("variance2", w * w * v),
        "union": totals["union"] | jnp.where(used, mask, jnp.uint32(0)),
        "rejected_union": totals["rejected_union"] | (mask & followed),
        "rejected": {
            bit: add_where(has_any(mask, 1 << bit), total, weight)
            for bit, total in rejected.items()
        },
        "n_image": totals["n_image"] + unmasked.astype(jnp.int32),
    }


def merge(one: CoaddSums, other: CoaddSums) -> CoaddSums:
    """Join the sums of two sets of warps.

    Parameters
    ----------
    one, other
        Sums on one grid, of one configuration and with the same planes.

    Returns
    -------
    CoaddSums
        Of all warps of both.

    Raises
    ------
    ValueError
        The planes differ.
    """
    if one.planes != other.planes:
        raise ValueError(
            f"the sums have different planes: {one.planes.used} and "
            f"{other.planes.used}; start them with the planes of all warps"
        )
    shift = other.origin - one.origin
    first = other.first + other.weight * shift
    second = other.second + (2 * other.first + other.weight * shift) * shift
    return dataclasses.replace(
        one,
        weight=one.weight + other.weight,
        weight2=one.weight2 + other.weight2,
        first=one.first + first,
        second=one.second + second,
        variance=one.variance + other.variance,
        variance2=one.variance2 + other.variance2,
        union=one.union | other.union,
        rejected_union=one.rejected_union | other.rejected_union,
        rejected={b: total + other.rejected[b] for b, total in one.rejected.items()},
        n_image=one.n_image + other.n_image,
    )


def finalize(sums: CoaddSums) -> Coadd:
    """Turn sums into a coadd, before what `finish` does.

    Parameters
    ----------
    sums
        Of all warps.

    Returns
    -------
    Coadd
        Equal to that of the warps stacked at once, to rounding. Its mask follows the
        original's accumulator: thresholds and mapping know bad bits only, and a pixel
        without inputs keeps the bits that exceed their threshold.

    Notes
    -----
    LSST: ``AccumulatorMeanStack.fill_stacked_masked_image``.
    """
    used = sums.weight != 0
    weight = jnp.where(used, sums.weight, 1)
    shift = sums.first / weight
    variance = _variance_of_mean(sums, weight, shift)
    return Coadd(
        image=jnp.where(used, sums.origin + shift, jnp.nan),
        variance=jnp.where(used, variance, jnp.nan),
        mask=_final_mask(sums),
        n_image=sums.n_image,
        weight=sums.weight,
        planes=sums.planes,
        zero_point=sums.zero_point,
    )


def _variance_of_mean(sums: CoaddSums, weight: Image, shift: Image) -> Image:
    if isinstance(sums.error, FromVariances):
        return sums.variance2 / (weight * weight)
    if isinstance(sums.error, Mosaic):
        return sums.variance / weight
    square = weight * weight
    biased = sums.second / weight - shift * shift
    several = square != sums.weight2
    scatter = biased * square / jnp.where(several, square - sums.weight2, 1)
    return jnp.where(several, scatter * sums.weight2 / square, jnp.nan)


def _final_mask(sums: CoaddSums) -> Mask:
    rules = sums.rules
    mask = sums.union
    for bit, lost in sums.rejected.items():
        limit = jnp.asarray(rules.thresholds[bit]).astype(lost.dtype)
        exceeds = lost / (sums.weight + lost) > limit
        mask = mask | jnp.where(exceeds, jnp.uint32(1 << bit), jnp.uint32(0))
    mask = mask | map_masks(sums.rejected_union, rules.mapping)
    return mask | jnp.where(sums.weight <= 0, jnp.uint32(rules.no_data), jnp.uint32(0))
