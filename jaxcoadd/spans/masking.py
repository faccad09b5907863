"""Planes of masks, set in regions."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Array, Integer, UInt32

from jaxcoadd.masks import MaskPlanes
from jaxcoadd.spans.rows import index_pixels
from jaxcoadd.spans.sets import SpanSet


def apply_alternative_masks(
    mask: Integer[Array | np.ndarray, "y x"],
    planes: MaskPlanes,
    alternatives: Mapping[str, Sequence[SpanSet]],
    *,
    bad_planes: Iterable[str] = (),
    origin: tuple[int, int] = (0, 0),
) -> tuple[UInt32[Array | np.ndarray, "y x"], MaskPlanes]:
    """Set planes of a mask in regions, and let "NO_DATA" replace what was bad.

    Parameters
    ----------
    mask
        Bits of the mask planes, NumPy or JAX. It is not changed.
    planes
        Which plane each bit is.
    alternatives
        Regions for every plane to set, clipped to the mask. A plane that does not
        exist is added at the lowest free bit, in the order of the mapping.
    bad_planes
        If "NO_DATA" is one of these and of the alternatives, all of these are cleared
        in its regions before any plane is set.
    origin
        Position (x, y) of the pixel [0, 0].

    Returns
    -------
    tuple
        The mask, in the kind of the input, and its planes.

    Raises
    ------
    ValueError
        The mask is not uint32, or there would be more than 32 planes.

    Notes
    -----
    As applyAltMaskPlanes of LSST's CompareWarpAssembleCoaddTask: data that were found
    to be artifacts are missing, and whatever else was wrong with them no longer counts.

    Examples
    --------
    >>> planes = MaskPlanes(("BAD",))
    >>> spans = SpanSet.box(1, 0, 2, 0)
    >>> mask, planes = apply_alternative_masks(
    ...     np.ones((1, 3), np.uint32), planes, {"CLIPPED": [spans]}
    ... )
    >>> mask, planes.names
    (array([[1, 3, 3]], dtype=uint32), ('BAD', 'CLIPPED'))
    """
    if mask.dtype != np.uint32:
        raise ValueError(f"a mask has dtype uint32, not {mask.dtype}")
    planes, bad_planes = planes.add(*alternatives), tuple(bad_planes)
    if isinstance(mask, np.ndarray):
        return _masked(mask, planes, alternatives, bad_planes, origin), planes
    # What becomes of bits that are not set, and of those that are.
    none = np.zeros(mask.shape, np.uint32)
    lower, upper = (
        _masked(bits, planes, alternatives, bad_planes, origin)
        for bits in (none, ~none)
    )
    return mask & upper | lower, planes


def _masked(mask, planes, alternatives, bad_planes, origin) -> np.ndarray:
    """Return a copy of a mask with the alternatives."""
    mask = mask.copy(order="C")
    write_alternative_masks(
        mask, planes, alternatives, bad_planes=bad_planes, origin=origin
    )
    return mask


def write_alternative_masks(
    mask: UInt32[np.ndarray, "y x"],
    planes: MaskPlanes,
    alternatives: Mapping[str, Sequence[SpanSet]],
    *,
    bad_planes: Iterable[str] = (),
    origin: tuple[int, int] = (0, 0),
) -> None:
    """Do what `apply_alternative_masks` does to a mask itself.

    Parameters
    ----------
    mask
        The mask, which is changed, its rows end to end in memory.
    planes
        Its planes, with those of the alternatives.
    alternatives, bad_planes, origin
        As for `apply_alternative_masks`.
    """
    height, width = mask.shape
    pixels = mask.reshape(-1)
    bad_planes = tuple(bad_planes)
    regions = {
        name: index_pixels(SpanSet().union(*spans).rows, (height, width), origin)[0]
        for name, spans in alternatives.items()
    }
    if "NO_DATA" in regions and "NO_DATA" in bad_planes:
        pixels[regions["NO_DATA"]] &= ~np.uint32(planes.bits(bad_planes))
    for name, index in regions.items():
        pixels[index] |= np.uint32(1 << planes.bit(name))
