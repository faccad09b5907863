"""Writing coadds: LSST's layout with named HDUs, lossless, checked, and atomic."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from jaxcoadd.io.coadd_files import CoaddPlanes
from jaxcoadd.io.image_hdus import (
    PlacedPlanes,
    as_float32,
    stored_mask,
    table_hdu,
    write_images,
)

_LARGEST_SHORT = 65535


def write_coadd(
    path: str | Path,
    coadd: CoaddPlanes,
    *,
    inputs: Table | None = None,
    config: Mapping[str, Any] | None = None,
    timings: Mapping[str, float] | None = None,
    cards: Mapping[str, Any] | None = None,
    compress: bool = True,
    images: Mapping[str, np.ndarray] | None = None,
    others: Sequence[fits.ImageHDU] = (),
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
    images
        More images of its shape, by name, that come after its own.
    others
        More HDUs, that come last.
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
    tables = [
        table_hdu(Table() if inputs is None else inputs, "INPUTS"),
        table_hdu(_pairs(config or {}, "key", "value", str), "CONFIG"),
        table_hdu(_pairs(timings or {}, "step", "seconds", float), "TIMINGS"),
    ]
    count = {} if inputs is None else {"NINPUTS": (len(inputs), "rows of INPUTS")}
    write_images(
        path,
        PlacedPlanes(coadd.planes, coadd.zero_point, coadd.grid, coadd.unit),
        _stored_pixels(coadd) | as_float32(images or {}),
        cards={**count, **(cards or {})},
        others=[*tables, *others],
        compress=compress,
        overwrite=overwrite,
    )


def _stored_pixels(coadd: CoaddPlanes) -> dict[str, np.ndarray]:
    """Bring the planes to the types in which they are stored."""
    n_image = np.asarray(coadd.n_image)
    short = n_image.max() <= _LARGEST_SHORT
    return {
        "IMAGE": np.asarray(coadd.image).astype(np.float32, copy=False),
        "MASK": stored_mask(coadd.mask),
        "VARIANCE": np.asarray(coadd.variance).astype(np.float32, copy=False),
        "N_IMAGE": n_image.astype(np.uint16 if short else np.int32),
    }


def _pairs(values: Mapping[str, Any], key: str, value: str, kind: type) -> Table:
    """Make a table of keys and values."""
    names = np.array([str(name) for name in values], dtype=np.str_)
    column = [kind(item) for item in values.values()]
    return Table({key: names, value: np.array(column, dtype=np.dtype(kind))})
