"""Stack columns of pixels: clean, combine, and make their mask."""

import equinox as eqx
import jax.numpy as jnp

from jaxcoadd.arrays import (
    Flags,
    FloatScalar,
    Kept,
    PixelCount,
    PixelFlags,
    PixelValues,
    Present,
    Values,
    Weights,
)
from jaxcoadd.folding import add_where, fold_warps
from jaxcoadd.masks import has_any, map_masks, propagate_masks, union_masks
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
    """Pixels through the stack, and what holds for each warp.

    `factor` scales values, and its square variances. `weights` are in units of
    `weight_unit`, see `Samples`.
    """

    values: Values
    variances: Values
    masks: Flags


class StackedPixels(eqx.Module):
    """The stack of some pixels.

    `n_image` counts the inputs without a bad bit, `count` those that are finite too;
    both before clipping. `weight` is the summed weight of what made the result, and
    `fence` what that lies within.
    """

    image: PixelValues
    variance: PixelValues
    mask: PixelFlags
    n_image: PixelCount
    count: PixelCount
    weight: PixelValues
    fence: Fence


def stack_columns(
    columns: Columns,
    weights: Weights,
    weight_unit: FloatScalar | PixelValues,
    present: Present,
    *,
    statistic: AbstractStatistic,
    rules: MaskRules,
) -> StackedPixels:
    """Stack columns of pixels.

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
    Differentiable in values, variances and weights where the statistic is. Matches
    ``afw.math.statisticsStack`` for masked images, with a mask map.
    """
    values = compute_once(_clean, columns, present, rules)
    n_image, count, mask = compute_once(
        _combine_masks, columns.masks, values, weights, present, rules
    )
    samples = Samples(
        values=values,
        variances=columns.variances,
        weights=weights,
        weight_unit=weight_unit,
        present=present,
        count=count.astype(values.dtype),
    )
    combined = statistic.combine(samples)
    return StackedPixels(
        image=combined.value,
        # The original squares a root, which a negative variance does not have.
        variance=jnp.where(combined.variance < 0, jnp.nan, combined.variance),
        mask=mask | jnp.where(combined.clipped, jnp.uint32(rules.clipped), 0),
        n_image=n_image,
        count=count,
        weight=combined.weight,
        fence=combined.fence,
    )


def _clean(columns: Columns, present: Present, rules: MaskRules) -> Values:
    usable = is_usable(columns, present, rules)
    return jnp.where(usable, columns.values, rejected_value(columns.values.dtype))


def is_usable(columns: Columns, present: Present, rules: MaskRules) -> Kept:
    """Tell which inputs are used: present, without a bad bit, and finite."""
    masks = columns.masks & jnp.uint32(~rules.removed & 0xFFFFFFFF)
    usable = ~has_any(masks, rules.bad)
    if not rules.nan_safe:
        return usable & present[:, None]
    # One comparison for both: nothing is within -1 of 0.
    limit = jnp.where(present, rejected_value(columns.values.dtype), -1.0)
    limit = limit.astype(columns.values.dtype)[:, None]
    return usable & (jnp.abs(columns.values) <= limit)


def _count(kept: Kept, present: Present) -> PixelCount:
    zero = jnp.zeros(kept.shape[1:], jnp.int32)
    one = present.astype(jnp.int32)
    return fold_warps(lambda n, row, one: add_where(row, n, one), zero, kept, one)


def _combine_masks(
    given: Flags, values: Values, weights: Weights, present: Present, rules: MaskRules
) -> tuple[PixelCount, PixelCount, PixelFlags]:
    """Count the inputs, unite the masks of those used, and add what the rules say."""
    masks = given & jnp.uint32(~rules.removed & 0xFFFFFFFF)
    usable = values != rejected_value(values.dtype)
    n_image = _count(~has_any(given, rules.bad), present)
    count = _count(usable, present)
    union = union_masks(masks, where=usable) | propagate_masks(
        masks, weights, kept=usable, thresholds=rules.thresholds
    )
    # A pixel without inputs has this mask alone, but for the mapping and CLIPPED.
    mask = jnp.where(count == 0, jnp.uint32(rules.no_data), union)
    some_rejected = count < present.sum(dtype=jnp.int32)
    mapped = map_masks(union_masks(masks), rules.mapping)
    return n_image, count, mask | jnp.where(some_rejected, mapped, 0)
