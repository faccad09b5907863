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
from jaxcoadd.folding import fold_warps
from jaxcoadd.masks import has_any, map_masks, propagate_masks, union_masks
from jaxcoadd.statistics import (
    AbstractStatistic,
    Combined,
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
    masks = columns.masks & jnp.uint32(~rules.removed & 0xFFFFFFFF)
    usable = is_usable(columns, present, rules)
    samples = Samples(
        values=jnp.where(usable, columns.values, rejected_value(columns.values.dtype)),
        variances=columns.variances,
        weights=weights,
        weight_unit=weight_unit,
        present=present,
    )
    combined = statistic.combine(samples)
    return StackedPixels(
        image=combined.value,
        # The original squares a root, which a negative variance does not have.
        variance=jnp.where(combined.variance < 0, jnp.nan, combined.variance),
        mask=_combine_masks(masks, usable, samples, combined, rules),
        n_image=_count(~has_any(columns.masks, rules.bad) & present[:, None]),
        count=_count(usable),
        weight=combined.weight,
        fence=combined.fence,
    )


def is_usable(columns: Columns, present: Present, rules: MaskRules) -> Kept:
    """Tell which inputs are used: present, without a bad bit, and finite."""
    masks = columns.masks & jnp.uint32(~rules.removed & 0xFFFFFFFF)
    usable = ~has_any(masks, rules.bad) & present[:, None]
    return usable & jnp.isfinite(columns.values) if rules.nan_safe else usable


def _count(kept: Kept) -> PixelCount:
    zero = jnp.zeros(kept.shape[1:], jnp.int32)
    return fold_warps(lambda n, row: n + row.astype(jnp.int32), zero, kept)


def _combine_masks(
    masks: Flags,
    usable: Kept,
    samples: Samples,
    combined: Combined,
    rules: MaskRules,
) -> PixelFlags:
    """Unite the masks of the inputs used, then add what the rules say."""
    empty = ~fold_warps(jnp.logical_or, jnp.zeros_like(usable[0]), usable)
    union = union_masks(masks, where=usable) | propagate_masks(
        masks, samples.weights, kept=usable, thresholds=rules.thresholds
    )
    # A pixel without inputs has this mask alone, but for the two rules that follow.
    mask = jnp.where(empty, jnp.uint32(rules.no_data), union)
    mask = mask | jnp.where(combined.clipped, jnp.uint32(rules.clipped), 0)
    some_rejected = samples.rejected > 0
    mapped = map_masks(union_masks(masks), rules.mapping)
    return mask | jnp.where(some_rejected, mapped, 0)
