"""Writing coadds: LSST's layout with named HDUs, lossless, checked, and atomic."""

import datetime
import io
import os
import platform
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.table import Table

from jaxcoadd.io.atomic import write_atomically
from jaxcoadd.io.coadd_files import (
    IMAGES,
    CoaddPlanes,
    read_mask_planes,
    read_plane,
    read_zero_point,
    verify_file,
)
from jaxcoadd.io.errors import InputError, OutputError
from jaxcoadd.io.grids import grid_cards
from jaxcoadd.io.hdus import read_hdus
from jaxcoadd.io.zero_points import NANOJANSKY, unit_zero_point
from jaxcoadd.masks import MaskPlanes

# Headers and tables, which are small beside the pixels.
_OVERHEAD = 1 << 20
_LARGEST_SHORT = 65535
_PACKAGES = ("jaxcoadd", "jax", "numpy", "astropy")


def write_coadd(
    path: str | Path,
    coadd: CoaddPlanes,
    *,
    inputs: Table | None = None,
    config: Mapping[str, Any] | None = None,
    timings: Mapping[str, float] | None = None,
    cards: Mapping[str, Any] | None = None,
    compress: bool = True,
    overwrite: bool = False,
) -> None:
    """Write a coadd to a FITS file, whole or not at all.

    Parameters
    ----------
    path
        The file.
    coadd
        The pixels.
    inputs
        One row an input.
    config
        The configuration; values are written as text.
    timings
        Seconds that each step took.
    cards
        More cards for the primary header, as FILTER.
    compress
        Whether the images are compressed, without loss, which takes most of the time.
    overwrite
        Whether there may be such a file, which is then replaced.

    Raises
    ------
    OutputError
        The file could not be written, or does not read back as it should; what was
        there before is untouched.
    ValueError
        A card or a plane's name is not possible in FITS.

    Notes
    -----
    The images are IMAGE, MASK, VARIANCE and N_IMAGE, compressed by rows (GZIP_2).
    Text that is not ASCII, which FITS does not allow, is written with backslashes.
    """
    pixels = _stored_pixels(coadd)
    primary = _primary(coadd, inputs, cards or {})
    headers = _headers(coadd)
    tables = (
        _table(Table() if inputs is None else inputs, "INPUTS"),
        _table(_pairs(config or {}, "key", "value", str), "CONFIG"),
        _table(_pairs(timings or {}, "step", "seconds", float), "TIMINGS"),
    )

    def write(stream: BinaryIO) -> None:
        # Most of the time goes into compressing, which threads can do at once.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            planes = (pixels[name] for name in IMAGES)
            make = _compressed if compress else fits.ImageHDU
            images = pool.map(make, planes, headers.values(), headers)
            hdus = fits.HDUList([primary, *images, *tables])
        hdus.writeto(stream, checksum=True)

    def check(temporary: Path) -> None:
        _check_written(temporary, Path(path), pixels, coadd, 1 + len(IMAGES + tables))

    nbytes = sum(array.nbytes for array in pixels.values()) + _OVERHEAD
    write_atomically(path, write, check, nbytes=nbytes, overwrite=overwrite)


def _stored_pixels(coadd: CoaddPlanes) -> dict[str, np.ndarray]:
    """Bring the planes to the types in which they are stored."""
    n_image = np.asarray(coadd.n_image)
    short = n_image.max() <= _LARGEST_SHORT
    pixels = {
        "IMAGE": np.asarray(coadd.image).astype(np.float32, copy=False),
        # Bit 31 is the sign.
        "MASK": np.asarray(coadd.mask).astype(np.uint32, copy=False).view(np.int32),
        "VARIANCE": np.asarray(coadd.variance).astype(np.float32, copy=False),
        "N_IMAGE": n_image.astype(np.uint16 if short else np.int32),
    }
    for name, plane in pixels.items():
        # Those of the caller must not change, not even for a moment.
        pixels[name] = plane.view()
        pixels[name].flags.writeable = False
    return pixels


def _primary(
    coadd: CoaddPlanes, inputs: Table | None, cards: Mapping[str, Any]
) -> fits.PrimaryHDU:
    """Make the primary HDU, which has cards but no pixels."""
    hdu = fits.PrimaryHDU()
    header = hdu.header
    header["MAGZERO"] = (float(coadd.zero_point), "AB magnitude of one count")
    flux = 10 ** (0.4 * float(coadd.zero_point))
    header["FLUXMAG0"] = (flux, "counts at AB magnitude 0")
    if inputs is not None:
        header["NINPUTS"] = (len(inputs), "rows of the table INPUTS")
    for card, value in cards.items():
        header[card] = _ascii(value) if isinstance(value, str) else value
    for package in _PACKAGES:
        header[package.upper()] = (version(package), "version")
    header["PYTHON"] = (platform.python_version(), "version")
    now = datetime.datetime.now(datetime.UTC)
    header["DATE"] = (now.strftime("%Y-%m-%dT%H:%M:%S"), "UTC, when this was written")
    return hdu


def _headers(coadd: CoaddPlanes) -> dict[str, fits.Header]:
    """Make the headers of the images."""
    headers = {}
    for name in IMAGES:
        header = fits.Header()
        header["EXTTYPE"] = name
        header["INHERIT"] = (True, "the cards of the primary count here")
        header.extend(grid_cards(coadd.grid))
        headers[name] = header
    unit = _written_unit(coadd)
    if unit is not None:
        headers["IMAGE"]["BUNIT"] = unit
        squared = f"{unit}**2" if unit.isidentifier() else f"({unit})**2"
        headers["VARIANCE"]["BUNIT"] = squared
    for keyword, bit in _plane_cards(coadd.planes).items():
        card = keyword if len(keyword) <= 8 else f"HIERARCH {keyword}"
        headers["MASK"][card] = (bit, "bit number")
    return headers


def _written_unit(coadd: CoaddPlanes) -> str | None:
    """Return the unit, unless it contradicts the zero point."""
    if coadd.unit is None:
        return "nJy" if coadd.zero_point == NANOJANSKY else None
    implied = unit_zero_point(coadd.unit)
    if implied is not None and abs(implied - coadd.zero_point) > 1e-6:
        return None
    return _ascii(coadd.unit)


def _plane_cards(planes: MaskPlanes) -> dict[str, int]:
    """Return the cards of the planes; FITS has them in capitals."""
    cards = {f"MP_{name}".upper(): planes.bit(name) for name in planes.used}
    if len(cards) != len(planes.used):
        raise ValueError(f"planes {planes.used} differ in small and capital letters")
    return cards


def _compressed(pixels: np.ndarray, header: fits.Header, name: str) -> fits.BinTableHDU:
    """Compress an image by rows without loss, and return the table that it becomes."""
    image = fits.CompImageHDU(
        pixels,
        header,
        name=name,
        compression_type="GZIP_2",
        tile_shape=(1, pixels.shape[1]),
        # No rounding of floating-point pixels.
        quantize_level=0,
    )
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(stream)
    stream.seek(0)
    table = fits.open(stream, memmap=False, disable_image_compression=True)[1]
    assert isinstance(table, fits.BinTableHDU)
    return table


def _pairs(values: Mapping[str, Any], key: str, value: str, kind: type) -> Table:
    """Make a table of keys and values."""
    names = np.array([str(name) for name in values], dtype=np.str_)
    column = [kind(item) for item in values.values()]
    return Table({key: names, value: np.array(column, dtype=np.dtype(kind))})


def _ascii(text: str) -> str:
    """Write characters that FITS does not have with backslashes."""
    escaped = text.encode("ascii", "backslashreplace").decode("ascii")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in escaped)


def _storable(column: Any) -> Any:
    """Take a column of a table as FITS can hold it, with text in ASCII."""
    if column.dtype.kind not in "UO":
        return column
    return np.array([_ascii(str(text)) for text in column], dtype="S")


def _table(table: Table, name: str) -> fits.BinTableHDU:
    """Make a table HDU."""
    # Without its remarks, which would be cards.
    columns = {column: _storable(table[column]) for column in table.colnames}
    hdu = fits.table_to_hdu(Table(columns))
    hdu.name = name
    return hdu


def _check_written(
    temporary: Path,
    path: Path,
    pixels: Mapping[str, np.ndarray],
    coadd: CoaddPlanes,
    count: int,
) -> None:
    """Read the new file back: checksums, every bit of the pixels, and what they are."""
    try:
        checked = verify_file(temporary)
        hdus = read_hdus(temporary)
        if checked != count:
            raise OutputError(_spoiled(path, f"{count - checked} HDUs lack checksums"))
        # One at a time, to hold no more than that beside what was written.
        for name, wanted in pixels.items():
            if not np.array_equal(_bits(read_plane(hdus, name)), _bits(wanted)):
                raise OutputError(_spoiled(path, f"{name} differs"))
        if _plane_cards(read_mask_planes(hdus)) != _plane_cards(coadd.planes):
            raise OutputError(_spoiled(path, "the mask planes differ"))
        if read_zero_point(hdus) != float(coadd.zero_point):
            raise OutputError(_spoiled(path, "the zero point differs"))
    except InputError as error:
        raise OutputError(_spoiled(path, str(error))) from error


def _bits(array: np.ndarray) -> np.ndarray:
    """View numbers as bits, so that NaN equals NaN."""
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def _spoiled(path: Path, what: str) -> str:
    """Say that a file does not read back as it was written."""
    return (
        f"{path} was not written: read back, it differs from what it should be "
        f"({what}); write it to another disk"
    )
