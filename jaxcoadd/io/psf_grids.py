"""Point-spread functions of a coadd in FITS: a cube of stamps, and a table of cells."""

from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from jaxcoadd.io.errors import InputError
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


def read_psf_grid(hdus: fits.HDUList) -> PsfGrid:
    """Read a grid of point-spread functions back.

    Parameters
    ----------
    hdus
        An open FITS file that holds what `psf_grid_hdus` made.

    Raises
    ------
    InputError
        An HDU, a card or a column is missing, or they do not belong together.
    """
    image, table = (_find(hdus, name) for name in (STAMPS, CELLS))
    stamps, cell_size = image.data, image.header.get("CELLSIZE")
    if stamps is None or stamps.ndim != 4 or not isinstance(cell_size, int):
        shape = None if stamps is None else stamps.shape
        raise InputError(
            f"HDU {STAMPS} of {_name(hdus)} should be an image (cell_y, cell_x, y, x) "
            f"with a card CELLSIZE, and has shape {shape} and CELLSIZE {cell_size!r}; "
            "write it again"
        )
    names = table.columns.names or ()
    columns = {name: np.asarray(table.data[name]) for name in _COLUMNS if name in names}
    missing = [name for name in _COLUMNS if name not in columns]
    wanted = np.indices(stamps.shape[:2]).reshape(2, -1)
    places = [columns.get(name, np.empty(0)) for name in _COLUMNS[:2]]
    if missing or not np.array_equal(places, wanted):
        raise InputError(
            f"table {CELLS} of {_name(hdus)} should have the columns "
            f"{', '.join(_COLUMNS)} and a row for each of the "
            f"{stamps.shape[0]} by {stamps.shape[1]} cells of {STAMPS} in turn, and "
            f"has {len(table.data)} rows without {missing}; write it again"
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


def _find(hdus: fits.HDUList, name: str) -> Any:
    """Return an HDU by its name."""
    kind = fits.ImageHDU if name == STAMPS else fits.BinTableHDU
    found: Any = hdus[name] if name in hdus else None
    if not isinstance(found, kind):
        raise InputError(
            f"{_name(hdus)} has no HDU {name}; it was written without the coadd's PSF"
        )
    return found


def _name(hdus: fits.HDUList) -> str:
    """Name the file, if it is one."""
    return str(hdus.filename() or "the file")
