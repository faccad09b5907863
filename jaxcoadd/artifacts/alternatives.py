"""Coadds of warps without the regions that alternative masks leave out."""

import dataclasses
import mmap
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from jaxcoadd.arrays import Mask
from jaxcoadd.coadds import Coadd, CoaddConfig, coadd, use_weights, weigh_stack
from jaxcoadd.masks import MaskPlanes
from jaxcoadd.spans import SpanSet, apply_alternative_masks
from jaxcoadd.spans.masking import write_alternative_masks
from jaxcoadd.warps import WarpStack

compiled_coadd = jax.jit(coadd)


def weigh_once(stack: WarpStack, config: CoaddConfig) -> tuple[WarpStack, CoaddConfig]:
    """Do what `weigh_stack` does, compiled, without a copy of the pixels.

    Parameters
    ----------
    stack
        Warps, whole.
    config
        How to coadd.

    Returns
    -------
    tuple
        The stack with weights, and the configuration with the zero point.
    """
    weights, present, settled = _compiled_weights(stack, config)
    if np.asarray(present).all():
        # No mask changes, and none need be copied.
        return dataclasses.replace(stack, weight=weights, present=present), settled
    return use_weights(stack, weights, present), settled


def _weights(stack, config):
    """Weigh warps, and leave out what would be a copy of the stack."""
    weighed, settled = weigh_stack(stack, config)
    return weighed.weight, weighed.present, settled


_compiled_weights = jax.jit(_weights)


def mask_stack(
    stack: WarpStack,
    alternatives: Sequence[Mapping[str, Sequence[SpanSet]]],
    *,
    bad_planes: Sequence[str] = (),
    origin: tuple[int, int] = (0, 0),
) -> WarpStack:
    """Set planes of the masks of warps in regions.

    Parameters
    ----------
    stack
        Warps.
    alternatives
        Regions by plane, for each warp that is not padding.
    bad_planes
        Planes that "NO_DATA" replaces, see `apply_alternative_masks`.
    origin
        Position (x, y) of the pixel [0, 0].

    Returns
    -------
    WarpStack
        With CLIPPED and whatever other planes the regions are of.
    """
    masks, planes = _copy_for_jax(np.asarray(stack.mask)), stack.planes
    for regions in alternatives:
        planes = planes.add(*regions)
    present = np.asarray(stack.present)
    for n, regions in enumerate(alternatives):
        if present[n]:
            write_alternative_masks(
                masks[n], planes, regions, bad_planes=bad_planes, origin=origin
            )
    return dataclasses.replace(stack, mask=jax.device_put(masks), planes=planes)


def _copy_for_jax(array: np.ndarray) -> np.ndarray:
    """Copy an array to memory that JAX takes over as it is: it begins with a page."""
    memory = mmap.mmap(-1, max(array.nbytes, 1))
    copy = np.ndarray(array.shape, array.dtype, buffer=memory)
    copy[...] = array
    return copy


def flag_edges(
    mask: Mask | np.ndarray,
    planes: MaskPlanes,
    edges: Sequence[SpanSet],
    *,
    origin: tuple[int, int] = (0, 0),
) -> tuple[Mask | np.ndarray, MaskPlanes]:
    """Set SENSOR_EDGE and INEXACT_PSF where any PSF-matched warp has EDGE.

    Parameters
    ----------
    mask, planes
        Mask of a coadd, (y, x), and its planes.
    edges
        Where each warp has EDGE; whether others fill the pixel does not matter.
    origin
        Position (x, y) of the pixel [0, 0].

    Notes
    -----
    LSST: ``applyAltEdgeMask``.
    """
    both = {"SENSOR_EDGE": edges, "INEXACT_PSF": edges}
    return apply_alternative_masks(mask, planes, both, origin=origin)


def coadd_without(
    stack: WarpStack,
    alternatives: Sequence[Mapping[str, Sequence[SpanSet]]],
    config: CoaddConfig,
    *,
    replaced_planes: Sequence[str] = (),
    origin: tuple[int, int] = (0, 0),
) -> Coadd:
    """Coadd warps without what was found to be artifacts.

    Parameters
    ----------
    stack
        Direct warps, whole.
    alternatives
        Regions by plane, of each warp: CLIPPED is left out.
    config
        How to coadd; weights are those of the warps as they were.
    replaced_planes
        Planes that "NO_DATA" replaces, see `apply_alternative_masks`.
    origin
        Position (x, y) of the pixel [0, 0].
    """
    weighed, config = weigh_once(stack, config)
    masked = mask_stack(
        weighed, alternatives, bad_planes=replaced_planes, origin=origin
    )
    bad = (*config.bad_planes, "CLIPPED")
    return compiled_coadd(masked, dataclasses.replace(config, bad_planes=bad))
