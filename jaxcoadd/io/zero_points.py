"""Zero points: the AB magnitude of one count, as the formats write it down."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxcoadd.io.errors import InputError
from jaxcoadd.io.hdus import Hdu
from jaxcoadd.io.sections import opened

NANOJANSKY = 31.4
_TOLERANCE = 0.01
_LARGEST = 60.0
# Prefixes are case-sensitive: mJy is a millijansky, MJy is not.
_UNITS = {
    "nJy": NANOJANSKY,
    "uJy": NANOJANSKY - 7.5,
    "mJy": NANOJANSKY - 15.0,
    "Jy": NANOJANSKY - 22.5,
    "nanomaggy": 22.5,
    "nanomaggies": 22.5,
    "maggy": 0.0,
    "maggies": 0.0,
}


def unit_zero_point(unit: str | None) -> float | None:
    """Return the zero point that a unit of flux implies, if it implies one."""
    return None if unit is None else _UNITS.get(unit.strip())


def first_card(hdus: Iterable[Hdu], *cards: str) -> tuple[Any, Hdu, str] | None:
    """Find the first card that one of the HDUs has: its value, HDU and name."""
    for card in cards:
        for hdu in hdus:
            value = hdu.get(card)
            if value is not None:
                return value, hdu, card
    return None


def find_zero_point(
    hdus: Sequence[Hdu],
    image: Hdu,
    *,
    given: float | str | None = None,
    unit: str | None = None,
) -> float | None:
    """Find the AB magnitude of one count of an image.

    Parameters
    ----------
    hdus
        All HDUs of the file.
    image
        The HDU of the image.
    given
        The zero point, or the card that holds it. By default, the first of: the
        calibration object of LSST's files, FLUXMAG0, MAGZERO, the unit.
    unit
        Unit of the pixels, which must agree with the card.

    Returns
    -------
    float or None
        ``None`` where the file does not say.

    Raises
    ------
    InputError
        There is no such card, its value cannot be a zero point, or card and unit
        contradict each other.
    """
    if isinstance(given, int | float):
        return float(given)
    places = (image, hdus[0])
    if given is not None:
        stated = _named_card(places, given)
    else:
        stated = _photo_calib(hdus) or _flux_of_zero(places) or _magnitude(places)
    by_unit = unit_zero_point(unit)
    if stated is None:
        return by_unit
    zero_point, source = stated
    if by_unit is not None and abs(zero_point - by_unit) > _TOLERANCE:
        raise InputError(
            f"{source} gives the zero point {zero_point:.3f} but the unit {unit} means "
            f"{by_unit:.3f}; correct the header or give the zero point in a mapping"
        )
    return zero_point


def _named_card(places: Iterable[Hdu], card: str) -> tuple[float, str]:
    """Return the zero point that a mapping's card holds."""
    stated = _magnitude(places, card)
    if stated is None:
        raise InputError(
            f"{next(iter(places))} has no card {card}, which should hold the zero "
            "point; correct the mapping"
        )
    return stated


def _magnitude(
    places: Iterable[Hdu], card: str = "MAGZERO"
) -> tuple[float, str] | None:
    """Return the zero point that a card holds, and where it is from."""
    found = first_card(places, card)
    if found is None:
        return None
    return _checked(*found), f"card {card} of {found[1]}"


def _flux_of_zero(places: Iterable[Hdu]) -> tuple[float, str] | None:
    """Return the zero point by LSST's older card: the counts at magnitude 0."""
    found = first_card(places, "FLUXMAG0")
    # Zero means not calibrated.
    if found is None or found[0] == 0:
        return None
    value, hdu, card = found
    if not _is_number(value) or value < 0:
        raise InputError(_absurd(*found))
    return _checked(2.5 * math.log10(value), hdu, card), f"card {card} of {hdu}"


def _is_number(value: Any) -> bool:
    """Tell whether a card holds a finite number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _checked(value: Any, hdu: Hdu, card: str) -> float:
    """Return a zero point if it can be one."""
    if not _is_number(value) or not 0 < value <= _LARGEST:
        raise InputError(_absurd(value, hdu, card))
    return float(value)


def _absurd(value: Any, hdu: Hdu, card: str) -> str:
    """Say that a card cannot be a zero point."""
    return (
        f"card {card} of {hdu} is {value!r}, which cannot be a zero point (above 0, "
        f"at most {_LARGEST:g} mag); correct the header or give the zero point in a "
        "mapping"
    )


def _photo_calib(hdus: Sequence[Hdu]) -> tuple[float, str] | None:
    """Return the zero point of the calibration object in a file's archive."""
    primary = hdus[0]
    found = first_card([primary], "ARCHIVE_ID_PHOTOCALIB", "PHOTOCALIB_ID")
    index = primary.get("AR_HDU")
    if found is None or found[0] == 0 or index is None:
        return None
    row, where = _archive_row(hdus, found[0], index)
    mean = float(row.get("calibrationMean", math.nan))
    if not int(np.ravel(row.get("flags", True))[0]) & 1:
        raise InputError(
            f"the PhotoCalib in {where} varies over the image, which is not supported; "
            "calibrate the image or give the zero point in a mapping"
        )
    if not math.isfinite(mean) or mean <= 0:
        raise InputError(_absurd(mean, where, "calibrationMean"))
    # Its first version counted maggies, the one in use counts nanojansky.
    unit = NANOJANSKY if row.get("version", 0) else 0.0
    zero_point = _checked(unit - 2.5 * math.log10(mean), where, "calibrationMean")
    return zero_point, f"the PhotoCalib in {where}"


def _archive_row(
    hdus: Sequence[Hdu], wanted: Any, index: Any
) -> tuple[dict[str, Any], Hdu]:
    """Return the row of an archived object, and the table it is in."""
    try:
        where, number = _archive_place(hdus, wanted, hdus[index - 1])
        with opened(where) as stored:
            names = stored.columns.names
            return {name: stored.data[name][number] for name in names}, where
    except (IndexError, KeyError, TypeError, AttributeError, InputError) as error:
        raise InputError(
            f"{hdus[0].path} announces a PhotoCalib with id {wanted} that cannot be "
            f"read ({error}); write the file again or give the zero point in a mapping"
        ) from error


def _archive_place(hdus: Sequence[Hdu], wanted: Any, index: Hdu) -> tuple[Hdu, int]:
    """Look up in the index of an archive where an object is."""
    with opened(index) as stored:
        entry = stored.data[stored.data["id"] == wanted][0]
        return hdus[index.index + int(entry["cat.archive"])], int(entry["row0"])
