"""Regions of bright objects, from records on pixel positions, and their mask."""

import dataclasses
import math
import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float, UInt32

from jaxcoadd.masks import MaskPlanes
from jaxcoadd.spans import EVERYWHERE, Box, SpanSet, apply_alternative_masks

SIZES = {"circle": ("radius",), "box": ("width", "height")}
"""The kinds of bright objects, and the sizes that each uses."""

# Farther out than the whole sky is wide in pixels, and too far to count in.
_FAR = 2.0**40


@dataclasses.dataclass(frozen=True)
class BrightObject:
    """One star, or another region that is too bright to trust its surroundings.

    Parameters
    ----------
    kind
        "circle" or "box".
    ra, dec
        Position of the centre, in degrees, in the frame of the coadd's WCS.
    radius
        Of a circle, in degrees.
    width, height
        Of a box, along x and y of the pixel grid, in degrees.
    angle
        By how much a box is turned, in degrees, from x towards y of the pixel grid.
    mag
        Magnitude. It is not used.
    id
        Whatever names it. It is used in messages only.
    """

    kind: str
    ra: float
    dec: float
    radius: float = math.nan
    width: float = math.nan
    height: float = math.nan
    angle: float = 0.0
    mag: float = math.nan
    id: int | str | None = None


def bright_object_spans(
    objects: Sequence[BrightObject],
    pixel_positions: Float[np.ndarray, "object 2"],
    plate_scale: float,
    *,
    within: Box = EVERYWHERE,
) -> list[SpanSet]:
    """Return the pixels that each bright object covers.

    Parameters
    ----------
    objects
        Bright objects.
    pixel_positions
        Their centres (x, y), in pixels; integers are pixel centres. An object whose
        centre is not finite, because it cannot be projected, covers nothing.
    plate_scale
        Arcsec per pixel at the centre of the coadd.
    within
        A box (x0, y0, x1, y1) to clip to, both ends inclusive. It saves making what
        lies outside; the largest objects of a survey are larger than a patch.

    Returns
    -------
    list of SpanSet
        One an object, in their order.

    Raises
    ------
    ValueError
        A used size or angle that is not finite, a negative radius, or positions and a
        plate scale that make no sense. The message names the object by its place in
        the list, which counts from 0.

    Notes
    -----
    As setBrightObjectMasks of LSST's AssembleCoaddTask. Centres are rounded to a pixel
    and radii are cut to whole pixels. Both ends of a box are cut towards zero, so that
    at negative positions it is a pixel wider or narrower; a negative width is as good
    as a positive one. LSST refuses boxes with an angle. Here such a box covers the
    pixels whose centres are in the turned rectangle, about the centre as it is.
    An object of another kind covers nothing, with a warning.
    """
    positions = np.asarray(pixel_positions, dtype=np.float64).reshape(-1, 2)
    if len(positions) != len(objects):
        raise ValueError(f"{len(objects)} objects have {len(positions)} positions")
    if not 0 < plate_scale < math.inf:
        raise ValueError(f"the plate scale must be more than 0, not {plate_scale}")
    spans = []
    for number, (item, (x, y)) in enumerate(zip(objects, positions, strict=True)):
        if item.kind not in SIZES:
            warnings.warn(
                f"{_name(item, number)}: no kind {item.kind!r}; it masks nothing",
                stacklevel=2,
            )
        _check_sizes(item, number)
        known = item.kind in SIZES and abs(x) < _FAR and abs(y) < _FAR
        covered = SpanSet()
        if known and item.kind == "circle":
            covered = _circle(item, x, y, plate_scale, within)
        elif known and item.angle == 0:
            covered = _straight_box(item, x, y, plate_scale, within)
        elif known:
            covered = _turned_box(item, x, y, plate_scale, within)
        spans.append(covered)
    return spans


def flag_bright_objects(
    mask: UInt32[Array | np.ndarray, "y x"],
    planes: MaskPlanes,
    spans: Sequence[SpanSet],
    plane: str = "BRIGHT_OBJECT",
    *,
    origin: tuple[int, int] = (0, 0),
) -> tuple[UInt32[Array | np.ndarray, "y x"], MaskPlanes]:
    """Set a plane of a mask wherever a bright object is.

    Parameters
    ----------
    mask
        Bits of the mask planes, NumPy or JAX. It is not changed.
    planes
        Which plane each bit is.
    spans
        Pixels of bright objects, see `bright_object_spans`.
    plane
        The plane to set; it is added if it does not exist.
    origin
        Position (x, y) of the pixel [0, 0].

    Returns
    -------
    tuple
        The mask, in the kind of the input, and its planes.
    """
    return apply_alternative_masks(mask, planes, {plane: spans}, origin=origin)


def _name(item: BrightObject, number: int) -> str:
    """Name an object in a message."""
    return f"bright object {number}" + (
        f" (id {item.id})" if item.id is not None else ""
    )


def _check_sizes(item: BrightObject, number: int) -> None:
    """Refuse sizes and angles that are used and cannot be."""
    used = SIZES.get(item.kind, ()) + (("angle",) if item.kind == "box" else ())
    for field in used:
        value = getattr(item, field)
        if not math.isfinite(value) or (field == "radius" and value < 0):
            expected = "0 degrees or more" if field == "radius" else "finite degrees"
            raise ValueError(
                f"{_name(item, number)}: {field} is {value}; expected {expected}"
            )


def _pixel(position: float) -> int:
    """Return the number of the pixel that a position is in."""
    return math.floor(position + 0.5)


def _circle(
    item: BrightObject, x: float, y: float, plate_scale: float, within: Box
) -> SpanSet:
    """Return the pixels of a circle."""
    radius = int(item.radius * 3600 / plate_scale)
    return SpanSet.circle(_pixel(x), _pixel(y), radius, within=within)


def _straight_box(
    item: BrightObject, x: float, y: float, plate_scale: float, within: Box
) -> SpanSet:
    """Return the pixels of a box along the pixel axes."""
    half_width = 0.5 * (item.width * 3600 / plate_scale)
    half_height = 0.5 * (item.height * 3600 / plate_scale)
    x0, x1 = sorted(int(_pixel(x) + half) for half in (-half_width, half_width))
    y0, y1 = sorted(int(_pixel(y) + half) for half in (-half_height, half_height))
    return SpanSet.box(x0, y0, x1, y1, within=within)


def _turned_box(
    item: BrightObject, x: float, y: float, plate_scale: float, within: Box
) -> SpanSet:
    """Return the pixels whose centres are in a rectangle turned about its centre."""
    half_width = abs(0.5 * item.width * 3600 / plate_scale)
    half_height = abs(0.5 * item.height * 3600 / plate_scale)
    cosine, sine = _cosine_sine(item.angle)
    reach = half_width * abs(sine) + half_height * abs(cosine)
    first = max(math.ceil(y - reach), within[1])
    last = min(math.floor(y + reach), within[3])
    rows = np.arange(first, max(first, last + 1), dtype=np.float64)
    # The rectangle is where two strips cross; each row cuts both in an interval.
    along = _strip(rows - y, cosine, sine, half_width)
    across = _strip(rows - y, -sine, cosine, half_height)
    left = np.ceil(x + np.maximum(along[0], across[0]))
    right = np.floor(x + np.minimum(along[1], across[1]))
    left, right = np.maximum(left, within[0]), np.minimum(right, within[2])
    kept = left <= right
    return SpanSet(np.stack([rows, left, right], axis=-1)[kept].astype(np.int64))


def _cosine_sine(degrees: float) -> tuple[float, float]:
    """Return cosine and sine of an angle, without error for quarters of a turn."""
    turns = degrees % 360
    if turns % 90 == 0:
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(turns // 90) % 4]
    return math.cos(math.radians(turns)), math.sin(math.radians(turns))


def _strip(
    dy: np.ndarray, normal_x: float, normal_y: float, half: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return from where to where rows are in a strip, as offsets from its middle."""
    middle = -normal_y * dy
    if normal_x == 0:
        reach = np.where(np.abs(middle) <= half, np.inf, -np.inf)
        return -reach, reach
    # By an angle of nearly nothing this is infinite, which is as good as 0.
    with np.errstate(over="ignore"):
        ends = (middle - half) / normal_x, (middle + half) / normal_x
    return np.minimum(*ends), np.maximum(*ends)
