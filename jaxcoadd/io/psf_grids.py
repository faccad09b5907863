"""Point-spread functions of a coadd in FITS: a cube of stamps, and a table of cells."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from jaxcoadd.io.errors import InputError
from jaxcoadd.io.hdus import Hdu, read_hdus
from jaxcoadd.io.sections import opened
from jaxcoadd.psfs import PsfGrid

STAMPS = "PSF"
CELLS = "PSF_CELLS"
_COLUMNS = ("cell_y", "cell_x", "y", "x", "has_input")


def psf_grid_hdus(grid: PsfGrid) -> tuple[fits.ImageHDU, fits.BinTableHDU]:
    """Put a grid of point-spread functions into HDUs.

    Parameters
    ----------
    grid
        One kernel image a cell.

    Returns
    -------
    stamps
        The image ``PSF`` with the axes (cell_y, cell_x, y, x), every bit as it is. Its
        card ``CELLSIZE`` has the rows and columns of a cell.
    cells
        The table ``PSF_CELLS``: for each cell its place in the image, the position of
        its centre (0-based pixels of the coadd), and whether any input covers that.

    Notes
    -----
    `read_psf_grid` reads them back without loss.
    """
    stamps = np.asarray(grid.stamps)
    image = fits.ImageHDU(stamps, name=STAMPS)
    image.header["EXTTYPE"] = STAMPS
    image.header["CELLSIZE"] = (grid.cell_size, "rows and columns of a cell")
    rows, columns = (part.ravel() for part in np.indices(stamps.shape[:2]))
    values = (
        rows.astype(np.int32),
        columns.astype(np.int32),
        np.asarray(grid.y, float)[rows],
        np.asarray(grid.x, float)[columns],
        np.asarray(grid.has_input).ravel(),
    )
    table = fits.table_to_hdu(Table(dict(zip(_COLUMNS, values, strict=True))))
    table.name = CELLS
    return image, table


def read_psf_grid(path: str | Path) -> PsfGrid:
    """Read the point-spread functions that a coadd's file holds.

    Parameters
    ----------
    path
        The file, with what `psf_grid_hdus` made.

    Raises
    ------
    InputError
        The file is missing or damaged, or an HDU, a card or a column is missing, or
        they do not belong together.
    """
    hdus = read_hdus(path)
    image, table = (_find(hdus, name) for name in (STAMPS, CELLS))
    with opened(image) as stored:
        stamps = np.asarray(stored.data)
    with opened(table) as stored:
        rows = Table(stored.data)
    cell_size = image.get("CELLSIZE")
    if image.is_table or stamps.ndim != 4 or not isinstance(cell_size, int):
        raise InputError(
            f"{image} should be an image (cell_y, cell_x, y, x) with a card CELLSIZE, "
            f"and has shape {image.shape} and CELLSIZE {cell_size!r}; write it again"
        )
    columns = {name: np.asarray(rows[name]) for name in rows.colnames}
    missing = [name for name in _COLUMNS if name not in columns]
    wanted = np.indices(stamps.shape[:2]).reshape(2, -1)
    places = [columns.get(name, np.empty(0)) for name in _COLUMNS[:2]]
    if missing or not np.array_equal(places, wanted):
        raise InputError(
            f"{table} should have the columns {', '.join(_COLUMNS)} and a row for each "
            f"of the {stamps.shape[0]} by {stamps.shape[1]} cells of {STAMPS} in turn, "
            f"and has {len(rows)} rows without {missing}; write it again"
        )
    y, x, has_input = (columns[n].reshape(stamps.shape[:2]) for n in _COLUMNS[2:])
    return PsfGrid(
        stamps=_native(stamps),
        y=_native(y[:, 0]),
        x=_native(x[0]),
        has_input=has_input.astype(bool),
        cell_size=cell_size,
    )


def _native(array: np.ndarray) -> np.ndarray:
    """Bring numbers to the machine's byte order."""
    return array.astype(array.dtype.newbyteorder("="))


def _find(hdus: Sequence[Hdu], name: str) -> Hdu:
    """Return an HDU by its name."""
    for hdu in hdus:
        if hdu.name == name and hdu.is_table == (name == CELLS):
            return hdu
    raise InputError(
        f"{hdus[0].path} has no HDU {name}; it was written without the coadd's PSF"
    )
