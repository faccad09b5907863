"""Artifacts: what warps show beyond a model of the sky, each at its own PSF."""

import dataclasses
from collections.abc import Sequence
from functools import partial, reduce
from operator import add

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from jaxcoadd.arrays import Image, Images
from jaxcoadd.artifacts.config import COMPARE_WARP, CompareWarpConfig
from jaxcoadd.artifacts.differences import Candidates
from jaxcoadd.artifacts.filters import is_transient, max_epochs
from jaxcoadd.artifacts.finding import Artifacts
from jaxcoadd.artifacts.model_config import BY_MODEL, ModelConfig, SmoothSearch
from jaxcoadd.artifacts.outliers import OutlierConfig, near, source_flux
from jaxcoadd.artifacts.residuals import (
    Planes,
    Residual,
    embed,
    inner,
    padded_size,
    pooled_scatter,
    prepare_planes,
    sky_variance,
    stands_out,
    subtract_prediction,
    typical_size,
)
from jaxcoadd.artifacts.sky_model import (
    SkyModel,
    bounded,
    fit_adjustment,
    predict,
    psf_transform,
    sums_of,
)
from jaxcoadd.coadds import Coadd
from jaxcoadd.detection import Footprints, find_footprints
from jaxcoadd.spans import SpanSet
from jaxcoadd.statistics.order import quantiles
from jaxcoadd.warps import WarpStack
from jaxcoadd.zero_points import stack_factors

# Rows of all warps that are compared at a time.
_ROWS = 128
# How far from pixels that are not known a PSF is fitted.
_CLEAR = 3

_prepare = jax.jit(prepare_planes, static_argnames="bits")
_subtract = jax.jit(subtract_prediction, static_argnames=("ridge", "searches"))
_stands_out = jax.jit(stands_out, static_argnames=("outliers", "searches"))
_typical = jax.jit(typical_size)


@dataclasses.dataclass(frozen=True)
class StaticModel:
    """A model of the static sky, and how each warp sees it.

    Parameters
    ----------
    sky
        The sums of all warps.
    psfs
        Their PSFs, (warp, y, x).
    adjustments
        What these are changed by, (warp, 4), see `fit_adjustment`.
    """

    sky: SkyModel
    psfs: Images
    adjustments: jax.Array

    def residual(
        self,
        planes: Planes,
        n: int,
        config: ModelConfig,
        searches: tuple[SmoothSearch, ...] = (),
    ) -> Residual:
        """Subtract from the n-th warp what it should show, for some searches."""
        return _subtract(
            self.sky,
            planes,
            self.psfs[n],
            self.adjustments[n],
            ridge=config.ridge,
            searches=searches,
        )


def find_by_model(
    stack: WarpStack,
    psfs: Images,
    reference: Coadd,
    *,
    config: ModelConfig = BY_MODEL,
    epochs: CompareWarpConfig = COMPARE_WARP,
    origin: tuple[int, int] = (0, 0),
) -> Artifacts:
    """Find artifacts in direct warps by a model of the sky that each would show.

    Parameters
    ----------
    stack
        Direct warps, whole.
    psfs
        The PSF of each that is not padding, of sum 1 and with its centre in the
        middle, (warp, y, x); odd rows and columns.
    reference
        A first guess of the static sky, such as the median of these warps.
    config
        How.
    epochs
        How many epochs may see an artifact, and on how large a part of it.
    origin
        Position (x, y) of the pixel [0, 0].

    Returns
    -------
    Artifacts
        As `coadd_without` takes them. They have no sources, and nothing in NO_DATA or
        EDGE.

    Raises
    ------
    ValueError
        There is not one PSF a warp, or they have no middle pixel.

    Notes
    -----
    No warp is brought to a wider PSF, so that nothing is diluted and noise stays
    independent. Memory is that of a few stacks of images.
    """
    present = int(stack.present.sum())
    _check_psfs(psfs, present)
    factors, _ = stack_factors(stack, reference.zero_point)
    bits = stack.planes.bits(config.bad_planes)
    warps = [
        _prepare(
            stack.image[n], stack.variance[n], stack.mask[n], factors[n], bits=bits
        )
        for n in range(present)
    ]
    model = fit_model(warps, psfs, reference.image, config=config)
    scatter = _scatter(model, warps, config)
    found = [
        _stands_out(
            model.residual(planes, n, config, config.searches),
            scatter,
            outliers=config.outliers,
            searches=config.searches,
        )
        for n, planes in enumerate(warps)
    ]
    singles, hits = (np.stack([np.asarray(f[k]) for f in found]) for k in range(2))
    good = np.stack([np.asarray(planes.good) for planes in warps])
    return _collect(singles, hits, good, (config.aside, epochs), origin)


def fit_model(
    warps: Sequence[Planes], psfs: Images, reference: Image, *, config: ModelConfig
) -> StaticModel:
    """Fit the static sky, and how each warp's PSF differs from what is known.

    Parameters
    ----------
    warps
        Direct warps at one zero point.
    psfs
        Their PSFs.
    reference
        A first guess of the sky.
    config
        How.
    """
    start = jnp.nan_to_num(reference)
    variance = 1 / sum(1 / planes.noise**2 for planes in warps)
    sums = (
        _first_sums(planes, psf, start, variance)
        for planes, psf in zip(warps, psfs, strict=True)
    )
    model = StaticModel(reduce(add, sums), psfs, jnp.zeros((len(warps), 4), psfs.dtype))
    nothing = [jnp.zeros(reference.shape, bool)] * len(warps)
    for number, share in enumerate(config.clip_shares):
        model = _refit(model, warps, nothing, config, share=share, adjust=number > 0)
    for number in range(config.removals):
        searches = config.searches if number else ()
        left_out = _left_out(model, warps, searches, config)
        model = _refit(model, warps, left_out, config, share=None, adjust=True)
    return model


def _scatter(model, warps, config):
    """Measure by how much warps scatter beyond their noise, some rows at a time."""
    deviations = np.stack(
        [
            np.asarray(_deviations(model.residual(planes, n, config)))
            for n, planes in enumerate(warps)
        ]
    )
    typical = [
        _typical(jnp.asarray(deviations[:, row : row + _ROWS]))
        for row in range(0, deviations.shape[1], _ROWS)
    ]
    return pooled_scatter(
        jnp.concatenate(typical), size=config.scatter_size, share=config.scatter_share
    )


def _left_out(model, warps, searches, config):
    """Tell what of each warp stands out, where it does not in many of them."""
    unit = jnp.ones_like(warps[0].image)
    hits = [
        _stands_out(
            model.residual(planes, n, config, searches),
            unit,
            outliers=config.removal,
            searches=searches,
        )[1]
        for n, planes in enumerate(warps)
    ]
    known = sum(np.asarray(planes.good, np.float32) for planes in warps)
    count = sum(np.asarray(hit, np.float32) for hit in hits)
    few = jnp.asarray(count <= config.removal_part * known)
    return [hit & few for hit in hits]


def _refit(model, warps, left_out, config, *, share, adjust) -> StaticModel:
    """Fit again, to what the last model says of each warp."""
    after = model.adjustments
    if adjust:
        after = jnp.stack(
            [
                _adjust(planes, model.residual(planes, n, config).prediction, after[n])
                for n, planes in enumerate(warps)
            ]
        )
        # What all have in common is the sky's own.
        count = jnp.full(4, len(warps), after.dtype)
        after = after - quantiles(after, count, (0.5,))[0][None]
    sums = (
        _sums(
            model.sky,
            planes,
            model.psfs[n],
            (model.adjustments[n], after[n]),
            left_out[n],
            share=share,
            config=config,
        )
        for n, planes in enumerate(warps)
    )
    return StaticModel(reduce(add, sums), model.psfs, after)


@jax.jit
def _first_sums(planes, psf, reference, variance) -> SkyModel:
    """Sum a warp, not farther from the reference than seeing can bring it."""
    size = padded_size(reference.shape, psf.shape)
    everywhere = jnp.full_like(reference, variance)
    flux = source_flux(reference, everywhere, config=OutlierConfig())
    limit = 5 * jnp.sqrt(planes.variance + variance) + flux
    off = jnp.where(planes.good, jnp.clip(planes.image - reference, -limit, limit), 0)
    transform = psf_transform(psf, jnp.zeros(4, psf.dtype), size)
    return sums_of(embed(reference + off, size), transform, planes.noise**2)


@partial(jax.jit, static_argnames=("share", "config"))
def _sums(sky, planes, psf, adjustments, left_out, *, share, config) -> SkyModel:
    """Sum a warp again; what is not known or left out is as predicted."""
    size = padded_size(planes.image.shape, psf.shape)
    before, after = (psf_transform(psf, a, size) for a in adjustments)
    whole = predict(sky, before, size, ridge=config.ridge)
    part = inner(size, planes.image.shape)
    prediction = whole[part]
    off = jnp.where(planes.good & ~left_out, planes.image - prediction, 0)
    if share is not None:
        variance = sky_variance(sky, prediction)
        flux = source_flux(prediction, variance, config=config.removal)
        limit = config.clip_sigma * jnp.sqrt(planes.variance) + share * flux
        off = jnp.clip(off, -limit, limit)
    filled = whole.at[part].set(prediction + off)
    return sums_of(filled, after, planes.noise**2)


@jax.jit
def _adjust(planes, prediction, adjustment):
    """Fit a warp's PSF again."""
    step = fit_adjustment(
        planes.image,
        prediction,
        jnp.sqrt(planes.variance),
        ~near(~planes.good, _CLEAR),
        noise=planes.noise,
    )
    return bounded(adjustment + step)


@jax.jit
def _deviations(residual):
    """Return a residual in standard deviations, NaN where it is not known."""
    deviations = residual.image / jnp.sqrt(residual.variance)
    return jnp.where(residual.good, deviations, jnp.nan)


def _collect(singles, hits, good, limits, origin) -> Artifacts:
    """Tell artifacts from candidates, by the epochs that see them."""
    n_image = good.sum(0, dtype=np.uint16)
    # What is faint and broad is in many epochs sooner than single pixels are.
    chosen = _transient(hits, n_image, *limits) | _transient(singles, n_image, *limits)
    candidates = tuple(
        _as_candidates(*planes, origin) for planes in zip(hits, good, strict=True)
    )
    return Artifacts(
        clipped=tuple(find_footprints(region, origin=origin) for region in chosen),
        no_data=(SpanSet(),) * len(hits),
        edge=(SpanSet(),) * len(hits),
        sources=(),
        candidates=candidates,
        epoch_count=hits.sum(0, dtype=np.uint16),
        n_image=n_image,
    )


def _as_candidates(hit, good, origin) -> Candidates:
    found = find_footprints(hit, origin=origin)
    return Candidates(
        found=found,
        kept=found,
        streaks=(),
        no_data=SpanSet(),
        edge=SpanSet(),
        counted=SpanSet.from_image(good, origin),
        variance_factor=float("nan"),
    )


def _transient(hits, n_image, aside, epochs):
    """Keep regions that few epochs see, and parts of others away from what many see."""
    count = hits.sum(0, dtype=np.uint16)
    limit = max_epochs(n_image.reshape(-1).astype(float), epochs)
    many = count > limit.reshape(count.shape)
    around = ndimage.maximum_filter(count, 2 * aside + 1, mode="constant")
    return np.stack(
        [
            _few(hit, count, n_image, epochs)
            | _few(hit & ~many, around, n_image, epochs)
            for hit in hits
        ]
    )


def _few(region, count, n_image, epochs):
    """Return those connected parts of a region that few epochs see."""
    parts: Footprints = find_footprints(region)
    few = is_transient(parts, count, n_image, config=epochs)
    chosen = [part for part, one in zip(parts, few, strict=True) if one]
    return SpanSet().union(*chosen).to_image(region.shape)


def _check_psfs(psfs, present):
    """Refuse PSFs that are not one a warp, or have no middle pixel."""
    if len(psfs) != present:
        raise ValueError(
            f"there are {present} warps and {len(psfs)} PSFs; give one a warp"
        )
    if psfs.shape[1] % 2 == 0 or psfs.shape[2] % 2 == 0:
        raise ValueError(
            f"PSFs have odd rows and columns, not {psfs.shape[1:]}; cut or pad them so "
            "that the centre is in the middle"
        )
