"""Read what is known of visits, for their selection, from a table of detectors."""

from pathlib import Path
from typing import Any

import numpy as np
from astropy import units
from astropy.io.registry import IORegistryError
from astropy.table import Table

from jaxcoadd.io.errors import InputError
from jaxcoadd.sky import VisitSummary

# What each column is converted to; the first unit is the one that messages name.
_UNITS = {
    "mjd": (units.day,),
    "psfSigma": (units.pixel,),
    "pixelScale": (units.arcsec / units.pixel, units.arcsec),
    "raCorners": (units.deg,),
    "decCorners": (units.deg,),
}
_NUMBERS = ("visit", "detector")
_WCS = "has_wcs"


def read_visit_summaries(path: str | Path) -> tuple[VisitSummary, ...]:
    """Read the summaries of visits from a table with a row for each detector.

    Parameters
    ----------
    path
        Any table that astropy reads and that can hold arrays: ECSV or FITS. It has
        the columns ``visit`` and ``detector``, whole numbers; ``mjd``, the same in all
        rows of a visit; ``psfSigma`` in pixels; ``pixelScale`` in arcsec per pixel;
        ``raCorners`` and ``decCorners``, arrays of the corners in degrees. It may have
        ``has_wcs``, and any other columns: for `sky.failed_psf_cut`, and for the
        least values of `sky.BestSeeing`. Units of columns are honoured; without one it
        is that named here.

    Returns
    -------
    tuple of VisitSummary
        In the order in which the visits come in the table. Masked numbers are NaN.
        Without ``has_wcs``, detectors with finite corners have a WCS.

    Raises
    ------
    InputError
        No such file, a table that cannot be read, a column that is missing or has
        another unit or shape, a detector that a visit has twice, or a visit with two
        dates. The message names the file, the column, and the row, counted from 1.
    """
    path = Path(path)
    try:
        table = Table.read(path)
        table.convert_bytestring_to_unicode()
    except (OSError, TypeError, ValueError, IORegistryError) as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from error
    missing = {*_NUMBERS, *_UNITS} - set(table.colnames)
    if missing:
        raise InputError(
            f"{path} has no column {sorted(missing)[0]}, which a table of visits "
            f"needs; the columns are {tuple(table.colnames)}"
        )
    columns = {name: _read_column(path, table, name) for name in table.colnames}
    _check_rows(path, columns)
    visits, first = np.unique(columns["visit"], return_index=True)
    ordered = visits[np.argsort(first)]
    return tuple(_summary(columns, columns["visit"] == visit) for visit in ordered)


def _summary(columns: dict[str, np.ndarray], rows: np.ndarray) -> VisitSummary:
    """Return the visit of some rows."""
    found = {name: values[rows] for name, values in columns.items()}
    corners = np.stack([found.pop("raCorners"), found.pop("decCorners")], axis=-1)
    finite = np.asarray(np.isfinite(corners).all(axis=(1, 2)))
    return VisitSummary(
        int(found.pop("visit")[0]),
        float(found.pop("mjd")[0]),
        found.pop("psfSigma"),
        found.pop("pixelScale"),
        found.pop(_WCS, finite),
        corners,
        detectors=found.pop("detector"),
        columns=found,
    )


def _read_column(path: Path, table: Table, name: str) -> np.ndarray:
    """Return a column as the summary of a visit has it."""
    column = table[name]
    if name in _UNITS:
        return _quantities(path, column, name)
    if name in _NUMBERS:
        return _whole_numbers(path, column, name)
    values = np.ma.asarray(column)
    if name == _WCS:
        return np.ma.filled(values, False).astype(bool)
    if values.dtype.kind in "iuf" and np.ma.is_masked(values):
        return np.ma.filled(values.astype(float), np.nan)
    return np.ma.getdata(values)


def _quantities(path: Path, column: Any, name: str) -> np.ndarray:
    """Return a column of numbers in the unit that is wanted; NaN where it is masked."""
    wanted = _UNITS[name]
    try:
        values = np.ma.filled(np.ma.asarray(column).astype(float), np.nan)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path}: column {name} cannot be taken as numbers: {error}"
        ) from error
    n_axes = 2 if name.endswith("Corners") else 1
    if values.ndim != n_axes or (n_axes == 2 and values.shape[1] < 3):
        expected = "three corners or more" if n_axes == 2 else "one number"
        raise InputError(
            f"{path}: column {name} has the shape {values.shape}; expected {expected} "
            "in each row"
        )
    unit = getattr(column, "unit", None) or wanted[0]
    for other in wanted:
        if unit.is_equivalent(other):
            return np.asarray(units.Quantity(values, unit).to_value(other))
    raise InputError(
        f"{path}: column {name} is in {unit}; expected {wanted[0]}; convert the column "
        "or correct its unit"
    )


def _whole_numbers(path: Path, column: Any, name: str) -> np.ndarray:
    values = np.ma.asarray(column)
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise InputError(
            f"{path}: column {name} has the type {values.dtype.name} and the shape "
            f"{values.shape}; expected a whole number in each row"
        )
    if np.ma.is_masked(values):
        row = int(np.argmax(np.ma.getmaskarray(values)))
        raise InputError(f"{path}, row {row + 1}: {name} is missing; expected a number")
    return np.ma.getdata(values)


def _check_rows(path: Path, columns: dict[str, np.ndarray]) -> None:
    """Refuse rows that make no sense, alone or together."""
    dates: dict[int, float] = {}
    rows: dict[tuple[int, int], int] = {}
    numbers = (columns[name].tolist() for name in (*_NUMBERS, "mjd"))
    for row, (visit, detector, mjd) in enumerate(zip(*numbers, strict=True), start=1):
        where = f"{path}, row {row}"
        if not np.isfinite(mjd):
            raise InputError(f"{where}: mjd is {mjd}; expected a date")
        if dates.setdefault(visit, mjd) != mjd:
            raise InputError(
                f"{where}: visit {visit} has the date {mjd}, and {dates[visit]} "
                "before; expected one date a visit"
            )
        if rows.setdefault((visit, detector), row) != row:
            raise InputError(
                f"{where}: detector {detector} of visit {visit} has been in row "
                f"{rows[visit, detector]}; leave one of them out"
            )
    if columns["raCorners"].shape != columns["decCorners"].shape:
        raise InputError(
            f"{path}: raCorners has the shape {columns['raCorners'].shape} and "
            f"decCorners {columns['decCorners'].shape}; expected as many corners"
        )
    beyond = np.any(np.abs(columns["decCorners"]) > 90, axis=1)
    if beyond.any():
        row = int(np.argmax(beyond))
        raise InputError(
            f"{path}, row {row + 1}: decCorners is "
            f"{columns['decCorners'][row].tolist()}; expected degrees from -90 to 90"
        )
