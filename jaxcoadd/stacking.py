"""Stack columns of pixels: clean, combine, and make their mask."""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt32

from jaxcoadd.arrays import (
    Flags,
    FloatScalar,
    PixelCount,
    PixelFlags,
    PixelValues,
    Present,
    Values,
    Weights,
)
from jaxcoadd.folding import add_where, fold_warps
from jaxcoadd.masks import (
    add_mask_weights,
    bits_above,
    has_any,
    map_masks,
    start_mask_weights,
)
from jaxcoadd.stages import compute_once
from jaxcoadd.statistics import (
    AbstractStatistic,
    Fence,
    Samples,
    rejected_value,
)


class MaskRules(eqx.Module):
    """How masks decide what is used, and what the mask of the result is.

    Parameters
    ----------
    bad
        Bits that reject an input.
    removed
        Bits that are cleared from the inputs before stacking.
    no_data
        Mask of a pixel without inputs.
    clipped
        Set where the statistic clipped a value.
    mapping
        Pairs of bit values: where an input was rejected and any input has a bit of
        the first, the second is set.
    thresholds
        Bit number to the fraction of rejected weight above which the bit is set.
    nan_safe
        Whether values that are not finite are rejected.
    """

    bad: int = eqx.field(static=True)
    no_data: int = eqx.field(static=True)
    clipped: int = eqx.field(static=True)
    mapping: tuple[tuple[int, int], ...] = eqx.field(static=True)
    thresholds: dict[int, FloatScalar]
    removed: int = eqx.field(static=True, default=0)
    nan_safe: bool = eqx.field(static=True, default=True)


class Columns(eqx.Module):
    """Pixels through the stack."""

    values: Values
    variances: Values
    masks: Flags


class StackedPixels(eqx.Module):
    """The stack of some pixels.

    `n_image` counts the inputs without a bad bit, `count` those that are finite too;
    both before clipping. `weight` is the summed weight of what made the result, and
    `fence` what that lies within. `settled` is what the statistic settled.
    """

    image: PixelValues
    variance: PixelValues
    mask: PixelFlags
    n_image: PixelCount
    count: PixelCount
    weight: PixelValues
    fence: Fence
    settled: Any


def stack_columns(
    columns: Columns,
    weights: Weights,
    weight_unit: FloatScalar | PixelValues,
    present: Present,
    *,
    statistic: AbstractStatistic,
    rules: MaskRules,
) -> StackedPixels:
    """Stack columns of pixels, in stages that are each computed once.

    Parameters
    ----------
    columns
        Values, variances and masks, (warp, pixel).
    weights
        (warp, 1) or (warp, pixel), in units of `weight_unit`.
    weight_unit
        A power of two, see `Samples`.
    present
        False for padding, whose mask is 0.
    statistic
        What to make of the values.
    rules
        What to make of the masks.

    Notes
    -----
    Differentiable in values, variances and weights where the statistic is, though
    `restack_columns` takes less time. Matches ``afw.math.statisticsStack`` for masked
    images, with a mask map.
    """
    values = compute_once(_clean, columns, present, rules)
    mask, n_image, count = compute_once(
        _combine_masks, columns.masks, values, weights, present, rules
    )
    samples = _sample(
        columns, weights, weight_unit, present, values=values, count=count
    )
    settled = statistic.settle(samples)
    combined = compute_once(statistic.combine, samples, settled)
    return StackedPixels(
        image=combined.value,
        variance=_without_negative(combined.variance),
        mask=mask | jnp.where(combined.clipped, jnp.uint32(rules.clipped), 0),
        n_image=n_image,
        count=count,
        weight=combined.weight,
        fence=combined.fence,
        settled=settled,
    )


def restack_columns(
    stacked: StackedPixels,
    columns: Columns,
    weights: Weights,
    weight_unit: FloatScalar | PixelValues,
    present: Present,
    *,
    statistic: AbstractStatistic,
    rules: MaskRules,
) -> StackedPixels:
    """Stack columns again, from what `stack_columns` found, to differentiate that.

    Only image, variance and weight are found anew: what has no derivative stays.
    """
    values = _clean(columns, present, rules)
    samples = _sample(
        columns, weights, weight_unit, present, values=values, count=stacked.count
    )
    combined = statistic.combine(samples, stacked.settled)
    return dataclasses.replace(
        stacked,
        image=combined.value,
        variance=_without_negative(combined.variance),
        weight=combined.weight,
    )


def _sample(columns, weights, weight_unit, present, *, values, count) -> Samples:
    return Samples(
        values=values,
        variances=columns.variances,
        weights=weights,
        weight_unit=weight_unit,
        present=present,
        count=count.astype(values.dtype),
    )


def _without_negative(variance):
    """Return NaN for negative numbers: the original squares a root of them."""
    return jnp.where(variance < 0, jnp.nan, variance)


def _clean(columns: Columns, present: Present, rules: MaskRules) -> Values:
    usable = is_usable(columns.values, columns.masks, present, rules)
    return jnp.where(usable, columns.values, rejected_value(columns.values.dtype))


def is_usable(
    values: Float[Array, "warp *shape"],
    masks: UInt32[Array, "warp *shape"],
    present: Present,
    rules: MaskRules,
) -> Bool[Array, "warp *shape"]:
    """Tell which inputs are used: present, without a bad bit, and finite."""
    masks = masks & jnp.uint32(~rules.removed & 0xFFFFFFFF)
    usable = ~has_any(masks, rules.bad)
    if not rules.nan_safe:
        return usable & present.reshape(-1, *(1,) * (values.ndim - 1))
    # One comparison for both: nothing is within -1 of 0.
    limit = jnp.where(present, rejected_value(values.dtype), -1.0)
    limit = limit.astype(values.dtype).reshape(-1, *(1,) * (values.ndim - 1))
    return usable & (jnp.abs(values) <= limit)


def _combine_masks(
    masks: Flags, values: Values, weights: Weights, present: Present, rules: MaskRules
) -> tuple[PixelFlags, PixelCount, PixelCount]:
    """Unite the masks of the inputs used, add what the rules say, and count."""
    left = jnp.uint32(~rules.removed & 0xFFFFFFFF)

    def step(sums, mask, x, weight, one):
        union, every, n_image, count, mask_weights = sums
        # Compared row by row: an array of what is used would be written to memory.
        used = x != rejected_value(values.dtype)
        n_image = add_where(~has_any(mask, rules.bad), n_image, one)
        mask = mask & left if rules.removed else mask
        return (
            jnp.where(used, union | mask, union),
            every | mask,
            n_image,
            add_where(used, count, jnp.int32(1)),
            add_mask_weights(mask_weights, mask, weight, used),
        )

    flags = jnp.zeros(masks.shape[1:], jnp.uint32)
    number = jnp.zeros(masks.shape[1:], jnp.int32)
    zero = jnp.zeros(masks.shape[1:], weights.dtype)
    start = start_mask_weights(zero, rules.thresholds)
    union, every, n_image, count, mask_weights = fold_warps(
        step,
        (flags, flags, number, number, start),
        masks,
        values,
        weights,
        present.astype(jnp.int32),
    )
    union = union | bits_above(mask_weights, rules.thresholds)
    # A pixel without inputs has this mask alone, but for the mapping and CLIPPED.
    mask = jnp.where(count == 0, jnp.uint32(rules.no_data), union)
    some_rejected = count < present.sum(dtype=jnp.int32)
    mapped = map_masks(every, rules.mapping)
    return mask | jnp.where(some_rejected, mapped, 0), n_image, count
