"""Coadds in FITS files: what they hold, and how to read them back."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from jaxcoadd.io.errors import InputError
from jaxcoadd.io.grids import Grid, grid_of
from jaxcoadd.io.hdus import (
    Hdu,
    check_image,
    check_sums,
    read_hdus,
)
from jaxcoadd.io.layouts import find_hdu
from jaxcoadd.io.mappings import PRESETS
from jaxcoadd.io.mask_planes import mask_reader
from jaxcoadd.io.sections import opened, read_section
from jaxcoadd.io.zero_points import find_zero_point
from jaxcoadd.masks import MaskPlanes

IMAGES = ("IMAGE", "MASK", "VARIANCE", "N_IMAGE")


@dataclasses.dataclass(frozen=True, eq=False)
class CoaddPlanes:
    """The pixels of a coadd, on the host.

    Parameters
    ----------
    image, variance
        Flux per pixel and its variance, 32-bit floats, (y, x).
    mask
        Bits of the mask planes, 32-bit integers, (y, x).
    n_image
        How many warps each pixel has, integers, (y, x).
    planes
        Which plane each bit is.
    zero_point
        AB magnitude of one count.
    grid
        Where the pixels lie.
    unit
        Unit of the image. One that contradicts the zero point is not written.

    Raises
    ------
    ValueError
        The planes differ in shape, or are not those of the grid, or the mask has no
        plane: a file without any would mean LSST's.
    """

    image: np.ndarray
    variance: np.ndarray
    mask: np.ndarray
    n_image: np.ndarray
    planes: MaskPlanes
    zero_point: float
    grid: Grid
    unit: str | None = None

    def __post_init__(self):
        """Refuse planes that do not fit together."""
        for name in ("image", "variance", "mask", "n_image"):
            shape = np.shape(getattr(self, name))
            if shape != self.grid.shape or 0 in shape:
                raise ValueError(
                    f"{name} has shape {shape} and the grid {self.grid.shape}; they "
                    "must be equal and have pixels"
                )
        if not self.planes.used:
            raise ValueError("the mask of a coadd needs at least one plane")


@dataclasses.dataclass(frozen=True, eq=False)
class CoaddFile:
    """Everything in the file of a coadd.

    Parameters
    ----------
    coadd
        The pixels.
    header
        Cards of the primary header.
    inputs
        One row an input.
    config
        The configuration, as text.
    timings
        Seconds that each step took.
    """

    coadd: CoaddPlanes
    header: fits.Header
    inputs: Table
    config: dict[str, str]
    timings: dict[str, float]


def _read_planes(hdus: Sequence[Hdu]) -> CoaddPlanes:
    """Read the pixels of a coadd."""
    image, mask, variance, n_image = (find_hdu(hdus, name) for name in IMAGES)
    for hdu in (image, mask, variance, n_image):
        check_image(hdu)
        if hdu.shape != image.shape:
            raise InputError(
                f"{hdu} has shape {hdu.shape} and {image} has {image.shape}; they must "
                "be equal, write the file again"
            )
    return CoaddPlanes(
        image=read_plane(hdus, "IMAGE"),
        variance=read_plane(hdus, "VARIANCE"),
        mask=read_plane(hdus, "MASK").view(np.uint32),
        n_image=read_plane(hdus, "N_IMAGE"),
        planes=read_mask_planes(hdus),
        zero_point=read_zero_point(hdus),
        grid=grid_of(image),
        unit=image.get("BUNIT"),
    )


def read_zero_point(hdus: Sequence[Hdu]) -> float:
    """Read the AB magnitude of one count of a coadd."""
    image = find_hdu(hdus, "IMAGE")
    found = find_zero_point(hdus, image, given="MAGZERO", unit=image.get("BUNIT"))
    if found is None:
        raise InputError(f"{hdus[0]} has no card MAGZERO; it is not a coadd of ours")
    return found


def read_mask_planes(hdus: Sequence[Hdu]) -> MaskPlanes:
    """Read which plane each bit of the mask of a coadd is."""
    return mask_reader(find_hdu(hdus, "MASK"), hdus, PRESETS["afw"]).stored


def read_plane(hdus: Sequence[Hdu], name: str) -> np.ndarray:
    """Read one of the `IMAGES` of a coadd, in the machine's byte order."""
    hdu = find_hdu(hdus, name)
    values = read_section(hdu, 0, hdu.shape[0], blank=False)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def read_coadd(path: str | Path) -> CoaddFile:
    """Read a coadd that `write_coadd` has written, pixels and tables.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputError
        The file is missing, damaged, or not such a coadd.
    """
    hdus = read_hdus(path)
    config = _read_table(find_hdu(hdus, "CONFIG"))
    timings = _read_table(find_hdu(hdus, "TIMINGS"))
    return CoaddFile(
        coadd=_read_planes(hdus),
        header=hdus[0].header,
        inputs=_read_table(find_hdu(hdus, "INPUTS")),
        config=_as_dict(config, str),
        timings=_as_dict(timings, float),
    )


def _read_table(hdu: Hdu) -> Table:
    """Read a table with its text as text."""
    if not hdu.is_table:
        raise InputError(f"{hdu} should be a table; it is not a coadd of ours")
    with opened(hdu) as stored:
        table = Table(stored.data)
    table.convert_bytestring_to_unicode()
    return table


def _as_dict(table: Table, kind: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the rows of a table of keys and values."""
    keys, values = (np.asarray(table[name]) for name in table.colnames)
    return {str(key): kind(value) for key, value in zip(keys, values, strict=True)}


def verify_file(path: str | Path) -> int:
    """Compare the bytes of every HDU of a file with its checksums.

    Returns
    -------
    int
        How many HDUs have checksums.

    Raises
    ------
    InputError
        A sum differs, or the file cannot be read.
    """
    return sum(check_sums(hdu) for hdu in read_hdus(path))
