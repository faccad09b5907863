"""The coadd: a stack of warps in, one image with variance, mask and counts out."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxcoadd.arrays import Count, FloatScalar, Image, Mask, PerWarp, Present
from jaxcoadd.folding import spread_over_pixels
from jaxcoadd.interpolation import fallback_value, interpolate_planes
from jaxcoadd.masks import (
    LSST_PLANES,
    MaskPlanes,
    has_any,
    unknown_plane_message,
)
from jaxcoadd.stacking import (
    Columns,
    MaskRules,
    StackedPixels,
    is_usable,
    restack_columns,
    stack_columns,
)
from jaxcoadd.statistics import (
    AbstractStatistic,
    ClippedMean,
    ClippedVariance,
    Mean,
    Median,
    SoftClippedMean,
    Variance,
    is_kept,
)
from jaxcoadd.tiling import on_own_rows, over_tiles
from jaxcoadd.warps import WarpStack
from jaxcoadd.weights import AbstractWeighting, WarpWeights
from jaxcoadd.zero_points import scale_planes, scale_zero_points, stack_factors

RESULT_PLANES = ("REJECTED", "CLIPPED", "SENSOR_EDGE", "INEXACT_PSF")
"""The planes that a coadd adds to those of its warps."""

KNOWN_PLANES = (
    *LSST_PLANES.used,
    *RESULT_PLANES,
    "BAD_VARIANCE",
    "BRIGHT_OBJECT",
    "CROSSTALK",
    "NOT_DEBLENDED",
    "UNMASKEDNAN",
)
"""Planes that a configuration may name although a stack does not have them."""

INTERPOLABLE = (Mean, ClippedMean, SoftClippedMean, Median, Variance, ClippedVariance)
"""Statistics that interpolation over empty pixels makes sense for."""


class CoaddConfig(eqx.Module):
    """How to coadd. The defaults are LSST's.

    Parameters
    ----------
    statistic
        What to make of the values of a pixel.
    weighting
        Where the weights come from.
    zero_point
        AB magnitude of one count of the coadd; ``None``: the first warp's.
    bad_planes
        Planes that reject a pixel of a warp.
    remove_planes
        Planes that are cleared from the warps before stacking.
    mask_thresholds
        Fraction of rejected weight above which a plane is set in the coadd.
    interpolate
        Whether to interpolate over pixels without data, along rows.

    Raises
    ------
    ValueError
        Interpolation is asked for with a statistic that is not an image of the sky.
    """

    statistic: AbstractStatistic = ClippedMean()
    weighting: AbstractWeighting = WarpWeights()
    zero_point: FloatScalar | None = None
    bad_planes: tuple[str, ...] = eqx.field(
        static=True, default=("NO_DATA", "BAD", "SAT", "EDGE")
    )
    remove_planes: tuple[str, ...] = eqx.field(static=True, default=("NOT_DEBLENDED",))
    mask_thresholds: dict[str, FloatScalar] = eqx.field(
        default_factory=lambda: {"SAT": 0.1}
    )
    interpolate: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        """Refuse interpolation of counts and the like."""
        if self.interpolate and not isinstance(self.statistic, INTERPOLABLE):
            names = ", ".join(kind.__name__ for kind in INTERPOLABLE)
            raise ValueError(
                f"interpolate=True does not go with {type(self.statistic).__name__}; "
                f"it needs one of {names}"
            )


class Coadd(eqx.Module):
    """The deep image.

    Parameters
    ----------
    image, variance
        Flux per pixel and its variance, (y, x). Without interpolation both are NaN
        where no warp has data.
    mask
        Bits of the mask planes, (y, x).
    n_image
        How many warps have no bad mask bit, (y, x).
    weight
        Summed weight of the values that made each pixel, (y, x).
    planes
        Which plane each bit is.
    zero_point
        AB magnitude of one count.
    """

    image: Image
    variance: Image
    mask: Mask
    n_image: Count
    weight: Image
    planes: MaskPlanes = eqx.field(static=True)
    zero_point: FloatScalar


def coadd(stack: WarpStack, config: CoaddConfig | None = None) -> Coadd:
    """Combine a stack of warps to one deep image.

    Parameters
    ----------
    stack
        Warps on one grid, each with its zero point.
    config
        How to coadd; by default as LSST does.

    Returns
    -------
    Coadd
        On the stack's grid, with the stack's planes and those of `RESULT_PLANES`.

    Raises
    ------
    ValueError
        The configuration names a plane that does not exist.

    Notes
    -----
    Differentiable in pixels, variances, weights, zero points, and in what the
    statistic is. LSST: ``AssembleCoaddTask.run`` and ``processResults``.

    Examples
    --------
    >>> warps = [Warp(image=np.full((1, 1), x), variance=np.ones((1, 1)))
    ...          for x in (1.0, 2.0, 2.0, 3.0, 90.0)]
    >>> jax.jit(coadd)(stack_warps(warps)).image
    Array([[2.]], dtype=float32)
    """
    config = CoaddConfig() if config is None else config
    check_planes(config, stack.planes)
    weighed, config = weigh_stack(stack, config)
    return finish(stack_pixels(weighed, config), config)


def weigh_stack(stack: WarpStack, config: CoaddConfig) -> tuple[WarpStack, CoaddConfig]:
    """Give a stack its weights, and a configuration its zero point.

    Parameters
    ----------
    stack
        Warps, whole.
    config
        How to coadd.

    Returns
    -------
    tuple
        The stack with weights, in which what is of no use is absent, and the
        configuration with the zero point of the coadd.
    """
    planes = coadd_planes(stack.planes)
    _, zero_point = stack_factors(stack, config.zero_point)
    config = dataclasses.replace(config, zero_point=zero_point)
    weights, present = config.weighting.weigh_warps(
        scale_zero_points(stack, zero_point), planes.bits(config.bad_planes)
    )
    return use_weights(stack, weights, present), config


def use_weights(stack: WarpStack, weights: PerWarp, present: Present) -> WarpStack:
    """Give a stack weights that are known.

    Parameters
    ----------
    stack
        Warps.
    weights, present
        Of each warp, and whether it is of use.
    """
    mask = stack.mask
    if stack.weight is None:
        # A warp that turned out to be of no use is no input: its mask must not count.
        mask = jnp.where(present[:, None, None], mask, jnp.uint32(0))
    return dataclasses.replace(stack, mask=mask, weight=weights, present=present)


def stack_pixels(stack: WarpStack, config: CoaddConfig) -> Coadd:
    """Do the pixelwise part of a coadd: no pixel knows its neighbours.

    Parameters
    ----------
    stack
        Warps with weights. It may be any part of the warps' area.
    config
        How to coadd.

    Returns
    -------
    Coadd
        As far as single pixels know it; `finish` does the rest.
    """
    pixels, zero_point = _stack_tiles(stack, config)
    return _as_coadd(pixels, stack.planes, zero_point)


def stack_and_count(
    stack: WarpStack, config: CoaddConfig
) -> tuple[Coadd, Int[Array, "2 warp"]]:
    """Stack pixels, and count those that were used of each warp, and clipped."""
    pixels, zero_point = _stack_tiles(stack, config)
    scaled = scale_zero_points(stack, zero_point)
    rules = mask_rules(config, coadd_planes(stack.planes))
    usable = is_usable(scaled.image, scaled.mask, scaled.present, rules)
    fence = jax.tree.map(lambda a: a[None], pixels.fence)
    clipped = usable & ~is_kept(scaled.image, fence)
    counts = jnp.stack([usable.sum(axis=(1, 2)), clipped.sum(axis=(1, 2))])
    return _as_coadd(pixels, stack.planes, zero_point), counts


def _stack_tiles(
    stack: WarpStack, config: CoaddConfig
) -> tuple[StackedPixels, FloatScalar]:
    """Stack tile after tile, and return the zero point too."""
    factors, zero_point = stack_factors(stack, config.zero_point)

    def prepare(columns, factors, weights, present):
        columns = scale_columns(columns, factors)
        own, unit = config.weighting.weigh_pixels(weights, columns.variances)
        return columns, own, unit, present

    def stack_tile(columns, per_warp, statistic, rules):
        return stack_columns(
            *prepare(columns, *per_warp), statistic=statistic, rules=rules
        )

    def restack_tile(stacked, columns, per_warp, statistic, rules):
        return restack_columns(
            stacked, *prepare(columns, *per_warp), statistic=statistic, rules=rules
        )

    pixels = over_tiles(stack_tile, again=restack_tile)(
        Columns(stack.image, stack.variance, stack.mask),
        (factors, stack.weight, stack.present),
        config.statistic,
        mask_rules(config, coadd_planes(stack.planes)),
    )
    return pixels, zero_point


def scale_columns(columns: Columns, factors: PerWarp) -> Columns:
    """Do what `scale_zero_points` does to whole warps."""
    width = columns.values.shape[-1]
    wide = jnp.asarray(spread_over_pixels(factors[:, None], width))
    scale = jax.vmap(jax.vmap(scale_planes))
    values, variances = map(jnp.asarray, scale(columns.values, columns.variances, wide))
    return Columns(values, variances, columns.masks)


def _as_coadd(
    pixels: StackedPixels, planes: MaskPlanes, zero_point: FloatScalar
) -> Coadd:
    return Coadd(
        image=pixels.image,
        variance=pixels.variance,
        mask=pixels.mask,
        n_image=pixels.n_image,
        weight=pixels.weight,
        planes=coadd_planes(planes),
        zero_point=zero_point,
    )


def finish(stacked: Coadd, config: CoaddConfig) -> Coadd:
    """Do what comes after stacking: flag, and interpolate over holes.

    Parameters
    ----------
    stacked
        From `stack_pixels` or `finalize`, whole.
    config
        How to coadd.
    """
    flagged = flag_no_data(flag_inexact_psf(stacked))
    return fill_holes(flagged) if config.interpolate else flagged


def coadd_planes(planes: MaskPlanes) -> MaskPlanes:
    """Return the planes of the coadd of warps with these planes."""
    return planes.add("NO_DATA", "INTRP", "EDGE", *RESULT_PLANES)


def check_planes(config: CoaddConfig, planes: MaskPlanes) -> None:
    """Refuse a configuration that names a plane nobody knows."""
    known = (*planes.used, *KNOWN_PLANES)
    named = (*config.bad_planes, *config.remove_planes, *config.mask_thresholds)
    for name in named:
        if name not in known:
            raise ValueError(unknown_plane_message(name, planes.used))


def mask_rules(config: CoaddConfig, planes: MaskPlanes) -> MaskRules:
    """Say what the names of a configuration mean for masks with these planes."""
    bad = planes.bits(config.bad_planes)
    own = planes.bits(["NO_DATA", "EDGE", "CLIPPED"])
    return MaskRules(
        bad=bad,
        no_data=planes.bits(["NO_DATA"]),
        clipped=planes.bits(["CLIPPED"]),
        mapping=(
            (bad & ~own, planes.bits(["REJECTED"])),
            (planes.bits(["EDGE"]), planes.bits(["SENSOR_EDGE"])),
            (planes.bits(["CLIPPED"]), planes.bits(["CLIPPED"])),
        ),
        thresholds={
            planes.bit(name): threshold
            for name, threshold in config.mask_thresholds.items()
            if name in planes
        },
        removed=planes.bits(config.remove_planes),
    )


def _set_plane(stacked: Coadd, name, where) -> Coadd:
    bit = jnp.uint32(stacked.planes.bits([name]))
    mask = stacked.mask | jnp.where(where, bit, jnp.uint32(0))
    return dataclasses.replace(stacked, mask=mask)


def flag_inexact_psf(stacked: Coadd) -> Coadd:
    """Set INEXACT_PSF where not every warp that is there was used."""
    bits = stacked.planes.bits(["SENSOR_EDGE", "CLIPPED", "REJECTED"])
    return _set_plane(stacked, "INEXACT_PSF", has_any(stacked.mask, bits))


def flag_no_data(stacked: Coadd) -> Coadd:
    """Set NO_DATA where the variance is exactly 0, as for a minimum or a count."""
    return _set_plane(stacked, "NO_DATA", stacked.variance == 0)


def fill_holes(stacked: Coadd, fallback: FloatScalar | None = None) -> Coadd:
    """Interpolate image and variance over NO_DATA, and make the variance positive.

    Parameters
    ----------
    stacked
        A coadd, or some rows of one.
    fallback
        Value far from good pixels; ``None``: the median of the image, or 0 if that is
        negative.

    Notes
    -----
    A variance that is not positive becomes infinite: nothing is known there. LSST:
    ``InterpImageTask`` on NO_DATA, and ``AssembleCoaddTask.processResults``.
    """
    holes = has_any(stacked.mask, stacked.planes.bits(["NO_DATA"]))
    if fallback is None:
        fallback = fallback_value(stacked.image)
    fill = on_own_rows(
        lambda images, fallback: interpolate_planes(
            images[:2], where=images[2], fallback=fallback
        )
    )
    image, variance = fill((stacked.image, stacked.variance, holes), fallback)
    filled = dataclasses.replace(
        stacked,
        image=image,
        variance=jnp.where(variance > 0, variance, jnp.inf),
    )
    return _set_plane(filled, "INTRP", holes)
