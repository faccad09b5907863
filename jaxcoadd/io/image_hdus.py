"""The HDUs of images with mask planes, a zero point and a grid, as we write them."""

import dataclasses
import datetime
import io
import os
import platform
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.table import Table

from jaxcoadd.io.atomic import spoiled, write_atomically
from jaxcoadd.io.coadd_files import (
    read_mask_planes,
    read_plane,
    read_zero_point,
    verify_file,
)
from jaxcoadd.io.errors import InputError
from jaxcoadd.io.grids import Grid, grid_cards
from jaxcoadd.io.hdus import read_hdus
from jaxcoadd.io.zero_points import NANOJANSKY, unit_zero_point
from jaxcoadd.masks import MaskPlanes

# Headers and tables, which are small beside the pixels.
_OVERHEAD = 1 << 20
_PACKAGES = ("jaxcoadd", "jax", "numpy", "astropy")


@dataclasses.dataclass(frozen=True, eq=False)
class PlacedPlanes:
    """What the images of a file have in common.

    Parameters
    ----------
    planes
        Which plane each bit of the mask is.
    zero_point
        AB magnitude of one count.
    grid
        Where the pixels lie.
    unit
        Unit of the image. One that contradicts the zero point is not written.
    """

    planes: MaskPlanes
    zero_point: float
    grid: Grid
    unit: str | None = None


def stored_mask(mask: Any) -> np.ndarray:
    """Bring a mask to the type in which it is stored; bit 31 is the sign."""
    return np.asarray(mask).astype(np.uint32, copy=False).view(np.int32)


def as_float32(images: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Bring images to the type in which they are stored."""
    return {
        name: np.asarray(image).astype(np.float32, copy=False)
        for name, image in images.items()
    }


def _primary_hdu(of: PlacedPlanes, cards: Mapping[str, Any]) -> fits.PrimaryHDU:
    """Make the primary HDU, which has cards but no pixels."""
    hdu = fits.PrimaryHDU()
    header = hdu.header
    header["MAGZERO"] = (float(of.zero_point), "AB magnitude of one count")
    flux = 10 ** (0.4 * float(of.zero_point))
    header["FLUXMAG0"] = (flux, "counts at AB magnitude 0")
    for card, value in cards.items():
        header[card] = ascii_text(value) if isinstance(value, str) else value
    for package in _PACKAGES:
        header[package.upper()] = (version(package), "version")
    header["PYTHON"] = (platform.python_version(), "version")
    now = datetime.datetime.now(datetime.UTC)
    header["DATE"] = (now.strftime("%Y-%m-%dT%H:%M:%S"), "UTC, when this was written")
    return hdu


def _image_hdus(
    pixels: Mapping[str, np.ndarray], of: PlacedPlanes, *, compress: bool
) -> list[fits.ImageHDU | fits.BinTableHDU]:
    """Make an HDU of each image, by name."""
    # Those of the caller must not change, not even for a moment.
    arrays = [plane.view() for plane in pixels.values()]
    for array in arrays:
        array.flags.writeable = False
    headers = _headers(list(pixels), of)
    make = compressed_hdu if compress else fits.ImageHDU
    # Most of the time goes into compressing, which threads can do at once.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(make, arrays, headers, pixels))


def _headers(names: Sequence[str], of: PlacedPlanes) -> list[fits.Header]:
    """Make the headers of the images."""
    headers = {}
    for name in names:
        header = fits.Header()
        header["EXTTYPE"] = name
        header["INHERIT"] = (True, "the cards of the primary count here")
        header.extend(grid_cards(of.grid))
        headers[name] = header
    unit = _written_unit(of)
    if unit is not None:
        headers["IMAGE"]["BUNIT"] = unit
        squared = f"{unit}**2" if unit.isidentifier() else f"({unit})**2"
        headers["VARIANCE"]["BUNIT"] = squared
    for keyword, bit in plane_cards(of.planes).items():
        card = keyword if len(keyword) <= 8 else f"HIERARCH {keyword}"
        headers["MASK"][card] = (bit, "bit number")
    return list(headers.values())


def _written_unit(of: PlacedPlanes) -> str | None:
    """Return the unit, unless it contradicts the zero point."""
    if of.unit is None:
        return "nJy" if of.zero_point == NANOJANSKY else None
    implied = unit_zero_point(of.unit)
    if implied is not None and abs(implied - of.zero_point) > 1e-6:
        return None
    return ascii_text(of.unit)


def plane_cards(planes: MaskPlanes) -> dict[str, int]:
    """Return the cards of the planes; FITS has them in capitals."""
    cards = {f"MP_{name}".upper(): planes.bit(name) for name in planes.used}
    if len(cards) != len(planes.used):
        raise ValueError(f"planes {planes.used} differ in small and capital letters")
    return cards


def compressed_hdu(
    pixels: np.ndarray, header: fits.Header, name: str
) -> fits.BinTableHDU:
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


def ascii_text(text: str) -> str:
    """Write characters that FITS does not have with backslashes."""
    escaped = text.encode("ascii", "backslashreplace").decode("ascii")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in escaped)


def _storable(column: Any) -> Any:
    """Take a column of a table as FITS can hold it, with text in ASCII."""
    if column.dtype.kind not in "UO":
        return column
    return np.array([ascii_text(str(text)) for text in column], dtype="S")


def table_hdu(table: Table, name: str) -> fits.BinTableHDU:
    """Make a table HDU."""
    # Without its remarks, which would be cards.
    columns = {column: _storable(table[column]) for column in table.colnames}
    hdu = fits.table_to_hdu(Table(columns))
    hdu.name = name
    return hdu


def write_images(
    path: str | Path,
    of: PlacedPlanes,
    pixels: Mapping[str, np.ndarray],
    *,
    cards: Mapping[str, Any],
    others: Sequence[fits.BinTableHDU | fits.ImageHDU] = (),
    compress: bool,
    overwrite: bool,
) -> None:
    """Write images and what goes with them, whole or not at all, and read them back.

    Parameters
    ----------
    path
        The file.
    of
        What places the images.
    pixels
        By name; IMAGE, MASK and VARIANCE are among them.
    cards
        For the primary header.
    others
        HDUs that come after the images.
    compress
        Whether the images are compressed, without loss.
    overwrite
        Whether there may be such a file, which is then replaced.

    Raises
    ------
    OutputError
        The file could not be written, or does not read back as it should.
    ValueError
        A card or a plane's name is not possible in FITS.
    """
    primary = _primary_hdu(of, cards)
    plane_cards(of.planes)

    def write(stream: BinaryIO) -> None:
        images = _image_hdus(pixels, of, compress=compress)
        fits.HDUList([primary, *images, *others]).writeto(stream, checksum=True)

    def check(temporary: Path) -> None:
        count = 1 + len(pixels) + len(others)
        _check_written(temporary, Path(path), pixels, of, count)

    nbytes = sum(array.nbytes for array in pixels.values()) + _OVERHEAD
    nbytes += sum(hdu.size for hdu in others)
    write_atomically(path, write, check, nbytes=nbytes, overwrite=overwrite)


def _check_written(
    temporary: Path,
    path: Path,
    pixels: Mapping[str, np.ndarray],
    of: PlacedPlanes,
    count: int,
) -> None:
    """Read the new file back: checksums, every bit of the pixels, and what they are."""
    try:
        checked = verify_file(temporary)
        hdus = read_hdus(temporary)
        if checked != count:
            raise spoiled(path, f"{count - checked} HDUs lack checksums")
        # One at a time, to hold no more than that beside what was written.
        for name, wanted in pixels.items():
            if not np.array_equal(_bits(read_plane(hdus, name)), _bits(wanted)):
                raise spoiled(path, name)
        if plane_cards(read_mask_planes(hdus)) != plane_cards(of.planes):
            raise spoiled(path, "the mask planes")
        if read_zero_point(hdus) != float(of.zero_point):
            raise spoiled(path, "the zero point")
    except InputError as error:
        raise spoiled(path, str(error)) from error


def _bits(array: np.ndarray) -> np.ndarray:
    """View numbers as bits, so that NaN equals NaN."""
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")
