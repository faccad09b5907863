"""Read bright objects from region files and tables, and place them on a grid."""

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units
from astropy.table import Table
from astropy.wcs import WCS

from jaxcoadd.bright_objects import SIZES, BrightObject, bright_object_spans
from jaxcoadd.io.errors import InputError
from jaxcoadd.io.grids import Grid
from jaxcoadd.sky.sphere import unit_vectors
from jaxcoadd.spans import Box, SpanSet

_NUMBER = r"[+-]?(?:0|[1-9]\d*)(?:\.\d*)?(?:[eE][+-]?\d+)?"
_VALUE = rf"({_NUMBER})(d*)"
_NEXT = rf"\s*[,\s]\s*{_VALUE}"
# The text after ID takes all digits of the number but the last, as it does in LSST's
# pattern: region files give only the last digit of the ID.
_REGION = re.compile(
    rf"\s*(circle|box)\s*[(\s]\s*{_VALUE}{_NEXT}{_NEXT}(?:{_NEXT})?(?:{_NEXT})?"
    rf"\s*\)?\s*#\s*ID:[\w\s]*(\d)(?:\s*,?\s*mag:\s*({_NUMBER}))?\s*"
)
_COMMENT = re.compile(r"\s*#\s*(?:([A-Za-z]\w+)\s*:\s*(.*?)\s*$)?")
_FRAME = re.compile(r"\s*wcs\s*;\s*fk5\s*", re.IGNORECASE)

_EXPECTED = (
    "expected 'circle(ra, dec, radius) # ID: 1, mag: 9.5' or "
    "'box(ra, dec, width, height) # ID: 1', in degrees, the magnitude optional"
)
_TURNED = "a region file cannot turn a box by an angle; a table can (column angle)"

_ANGLES = ("ra", "dec", "radius", "width", "height", "angle")


class RegionFormatError(InputError):
    """A region file that cannot be read.

    Parameters
    ----------
    message
        What is wrong, with the file.
    count
        How many lines have format errors. None if it is something else, which ends the
        reading at once or only shows at the end of the file.
    """

    def __init__(self, message: str, count: int | None = None):
        super().__init__(message)
        self.count = count


def read_bright_objects(
    path: str | Path,
) -> tuple[list[BrightObject], dict[str, Any]]:
    """Read a catalogue of bright objects.

    Parameters
    ----------
    path
        A FITS or ECSV table, known by its first bytes or its extension, or else a DS9
        region file as `parse_regions` takes it. Tables have the columns ``kind`` (or
        ``type``; "circle" or "box"), ``ra``, ``dec``, ``radius`` where there are
        circles, ``width`` and ``height`` where there are boxes, and may have
        ``angle``, ``mag`` and ``id``. Units of columns are honoured; without one it is
        degrees.

    Returns
    -------
    objects : list of BrightObject
        In the order of the file.
    metadata : dict
        Comments "# key: value" of a region file or the table's metadata, with keys in
        lower case.

    Raises
    ------
    RegionFormatError
        A region file with format errors; it counts them.
    InputError
        No such file, a table that cannot be read, or a bad entry. The message names
        the file, the row, counted from 1, the column and the value.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(80)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    name = path.name.lower()
    if head.startswith(b"SIMPLE  =") or name.endswith((".fits", ".fit", ".fits.gz")):
        return _read_table(path, "fits")
    if head.startswith(b"# %ECSV") or name.endswith(".ecsv"):
        return _read_table(path, "ascii.ecsv")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RegionFormatError(
            f"{path} is not text; expected a region file, or a FITS or ECSV table"
        ) from error
    return parse_regions(text, str(path))


def parse_regions(
    text: str, name: str = "<text>"
) -> tuple[list[BrightObject], dict[str, Any]]:
    """Read the text of a DS9 region file, in the dialect of LSST's catalogues.

    Parameters
    ----------
    text
        Lines ``circle(ra, dec, radius) # ID: 1, mag: 9.5`` and ``box(ra, dec, width,
        height) # ID: 1`` in degrees. Commas and brackets may be spaces, a number may
        end in d. The line ``wcs; fk5`` must occur.
    name
        The file, for messages.

    Returns
    -------
    objects : list of BrightObject
        The regions; of the ID only the last digit is known. A magnitude that is not
        given is NaN.
    metadata : dict
        From the lines ``# key: value``, with lower-case keys; ``tract`` is an integer.

    Raises
    ------
    RegionFormatError
        Lines that are none of these: all are counted and the first one is shown. At
        once for a box without a height, a number with more than one d, and a tract
        that is not a number. At the end if there is no line ``wcs; fk5``.

    Notes
    -----
    As LSST's ObjectMaskCatalog, which likewise refuses boxes with an angle.
    """
    objects: list[BrightObject] = []
    metadata: dict[str, Any] = {}
    wrong: list[str] = []
    has_frame = False
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"line {number}: {line.strip()!r}"
        comment = _COMMENT.match(line)
        if comment:
            metadata |= _metadata(comment, f"{name}, {where}")
        elif _FRAME.fullmatch(line):
            has_frame = True
        elif line.strip():
            found = _region(line, f"{name}, {where}")
            if isinstance(found, BrightObject):
                objects.append(found)
            else:
                wrong.append(f"{where}: {found}")
    if wrong:
        many = "1 format error, in"
        if len(wrong) > 1:
            many = f"{len(wrong)} format errors, the first in"
        raise RegionFormatError(f"{name}: {many} {wrong[0]}", len(wrong))
    if not has_frame:
        raise RegionFormatError(f"{name}: there is no line 'wcs; fk5'")
    return objects, metadata


def locate_bright_objects(
    objects: list[BrightObject], wcs: WCS, box: Box
) -> tuple[np.ndarray, float]:
    """Return where bright objects are on a grid, and its scale.

    Parameters
    ----------
    objects
        Bright objects, in the frame of the WCS.
    wcs
        WCS of the grid; its 0-based pixels are those of the result.
    box
        The coadd in those pixels, (x0, y0, x1, y1), both ends inclusive.

    Returns
    -------
    positions : ndarray
        Pixel positions (x, y), (object, 2); NaN where the sky cannot be projected.
    plate_scale : float
        Arcsec per pixel at the centre of the box: the root of the area on the sky of
        the parallelogram from there to one pixel on in x and in y, as in LSST.
    """
    sky = np.array([(item.ra, item.dec) for item in objects]).reshape(-1, 2)
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    corners = centre + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    start, *ends = unit_vectors(*np.asarray(wcs.all_pix2world(corners, 0)).T)
    area = np.linalg.norm(np.cross(ends[0] - start, ends[1] - start))
    return _sky_to_pixel(wcs, sky), float(np.degrees(np.sqrt(area)) * 3600)


def read_bright_regions(path: str | Path, grid: Grid) -> list[SpanSet]:
    """Read bright objects and return the pixels of a grid that each covers.

    Parameters
    ----------
    path
        Catalogue, see `read_bright_objects`.
    grid
        Where the pixels lie.

    Returns
    -------
    list of SpanSet
        One an object, clipped to the grid, for `flag_bright_objects`: (x, y) from 0.

    Raises
    ------
    InputError
        A bad catalogue, an object that cannot be masked, or a grid without a WCS.
    """
    if grid.wcs is None:
        raise InputError(
            f"{path} cannot be placed: the warps have no WCS; leave the bright "
            "objects out, or give the warps a WCS"
        )
    x, y = grid.origin
    height, width = grid.shape
    # Edges are truncated towards zero, so the frame of the whole sky region counts.
    wcs = grid.wcs.deepcopy()
    wcs.wcs.crpix += (x, y)
    box = (x, y, x + width - 1, y + height - 1)
    objects, _ = read_bright_objects(path)
    positions, plate_scale = locate_bright_objects(objects, wcs, box)
    try:
        spans = bright_object_spans(objects, positions, plate_scale, within=box)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    return [one.shifted(-x, -y) for one in spans]


def _metadata(comment: re.Match, where: str) -> dict[str, Any]:
    """Return the entry of a comment line, if it is one."""
    if not comment[1]:
        return {}
    key, value = comment[1].lower(), comment[2]
    if key != "tract":
        return {key: value}
    try:
        return {key: int(value)}
    except ValueError as error:
        raise RegionFormatError(f"{where}: the tract must be a whole number") from error


def _region(line: str, where: str) -> BrightObject | str:
    """Return the object of a line, or what is wrong with its format."""
    match = _REGION.fullmatch(line)
    if not match:
        return _EXPECTED
    kind, *fields, last_digit, mag = match.groups()
    if any(len(suffix or "") > 1 for suffix in fields[1::2]):
        raise RegionFormatError(f"{where}: the unit of a number is d, for degrees")
    ra, dec, *sizes = (float(field) for field in fields[::2] if field is not None)
    item = BrightObject(
        kind,
        ra,
        dec,
        mag=math.nan if mag is None else float(mag),
        id=int(last_digit),
    )
    if kind == "circle":
        return (
            _EXPECTED if len(sizes) > 1 else dataclasses.replace(item, radius=sizes[0])
        )
    if len(sizes) < 2:
        raise RegionFormatError(f"{where}: a box needs a width and a height")
    if len(sizes) == 3 and sizes[2] != 0:
        return _TURNED
    return dataclasses.replace(item, width=sizes[0], height=sizes[1])


def _read_table(path: Path, kind: str) -> tuple[list[BrightObject], dict[str, Any]]:
    """Read bright objects from a table."""
    try:
        table = Table.read(path, format=kind)
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from error
    columns = {name.lower(): table[name] for name in table.colnames}
    kind_column = "kind" if "kind" in columns else "type"
    if kind_column not in columns:
        expected = "'circle' or 'box' in each row"
        raise InputError(_missing(path, "kind", columns, expected))
    kinds = [_plain(value) for value in columns[kind_column]]
    for row, value in enumerate(kinds, start=1):
        if value not in SIZES:
            raise InputError(
                f"{path}, row {row}: {kind_column} is {value!r}; "
                f"expected 'circle' or 'box'"
            )
    numbers = _numbers(path, columns, {"ra", "dec"}.union(*(SIZES[k] for k in kinds)))
    for row in range(len(table)):
        _check_row(path, row, kinds[row], numbers)
    names = [_plain(value) for value in columns.get("id", [None] * len(table))]
    objects = [
        BrightObject(
            kinds[row],
            **{name: float(values[row]) for name, values in numbers.items()},
            id=names[row],
        )
        for row in range(len(table))
    ]
    return objects, {str(key).lower(): value for key, value in table.meta.items()}


def _numbers(
    path: Path, columns: Mapping[str, Any], needed: set[str]
) -> dict[str, np.ndarray]:
    """Return the columns of numbers that a table has, angles in degrees."""
    for name in sorted(needed - columns.keys()):
        raise InputError(_missing(path, name, columns, "degrees in each row"))
    numbers = {}
    for name in columns.keys() & {*_ANGLES, "mag"}:
        try:
            numbers[name] = _floats(columns[name], in_degrees=name != "mag")
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{path}: column {name} cannot be taken as numbers"
                f"{' of degrees' * (name != 'mag')}: {error}"
            ) from error
    return numbers


def _floats(column: Any, *, in_degrees: bool) -> np.ndarray:
    """Return a column of numbers; NaN where it is masked."""
    values = np.array(getattr(column, "unmasked", column), dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"it holds arrays, its shape is {values.shape}")
    values[np.broadcast_to(getattr(column, "mask", False), values.shape)] = np.nan
    if not in_degrees:
        return values
    unit = getattr(column, "unit", None) or units.deg
    return np.asarray(units.Quantity(values, unit).to_value(units.deg))


def _check_row(
    path: Path, row: int, kind: str, numbers: Mapping[str, np.ndarray]
) -> None:
    """Refuse a row with a number that is used and makes no sense."""
    limits = {"ra": (-180, 360), "dec": (-90, 90)}
    limits |= {size: (0, 180) for size in SIZES[kind]}
    if kind == "box" and "angle" in numbers:
        limits["angle"] = (-360, 360)
    for name, (low, high) in limits.items():
        value = numbers[name][row]
        if not low <= value <= high:
            raise InputError(
                f"{path}, row {row + 1}: {name} is {value:g}; "
                f"expected degrees from {low} to {high}"
            )


def _missing(path: Path, name: str, columns: Mapping[str, Any], expected: str) -> str:
    """Say that a table lacks a column."""
    return (
        f"{path}: there is no column {name}, expected {expected}; "
        f"the columns are {tuple(columns)}"
    )


def _plain(value: Any) -> Any:
    """Return an entry of a table as text, number or None."""
    if value is np.ma.masked:
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if isinstance(value, str):
        return value.strip()
    return value.item() if isinstance(value, np.generic) else value


def _sky_to_pixel(wcs: WCS, sky: np.ndarray) -> np.ndarray:
    """Project the sky to 0-based pixels; NaN where that is not possible."""
    if not len(sky):
        return np.zeros((0, 2))
    pixels = np.asarray(wcs.wcs_world2pix(sky, 0))
    seen = np.isfinite(pixels).all(axis=-1)
    if not wcs.has_distortion or not seen.any():
        return pixels
    # Far outside, the inverse of a distortion finds nothing, or another place.
    with np.errstate(all="ignore"):
        pixels[seen] = wcs.all_world2pix(sky[seen], 0, quiet=True)
        back = np.asarray(wcs.all_pix2world(pixels[seen], 0))
        miss = np.linalg.norm(
            unit_vectors(*back.T) - unit_vectors(*sky[seen].T), axis=-1
        )
    pixels[np.flatnonzero(seen)[~(miss < 1e-8)]] = np.nan
    return pixels
