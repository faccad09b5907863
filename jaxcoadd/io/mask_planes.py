"""Masks of files: which planes they have, and their pixels as bits."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np

from jaxcoadd.io.errors import InputError
from jaxcoadd.io.hdus import Hdu
from jaxcoadd.io.mappings import ReaderMapping
from jaxcoadd.io.sections import ReadSection
from jaxcoadd.masks import LSST_PLANES, MAX_PLANES, MaskPlanes

NO_DATA = "NO_DATA"
BAD_VARIANCE = "BAD_VARIANCE"
_SINCE_CODES = (3, 5, 0)
_BAD, _SAT = 1, 3
# The names of LSST's newer data model, and those of the older that we use.
_OLDER_NAMES = {
    "SATURATED": "SAT",
    "INTERPOLATED": "INTRP",
    "COSMIC_RAY": "CR",
    "DETECTION_EDGE": "EDGE",
    "UNMASKED_NAN": "UNMASKEDNAN",
}


@dataclasses.dataclass(frozen=True, eq=False)
class MaskReader:
    """How to read the mask of one file.

    Parameters
    ----------
    hdu
        The mask, if there is one.
    stored
        The planes that it has; other bits of it are dropped.
    planes
        Those, NO_DATA and BAD_VARIANCE.
    codes
        The plane of each code, for a mask of codes.
    grows_saturation
        Whether a bad pixel that touches a saturated one counts as saturated.
    """

    hdu: Hdu | None
    stored: MaskPlanes
    planes: MaskPlanes
    codes: Mapping[int, str] | None = None
    grows_saturation: bool = False

    def read_rows(
        self, start: int, stop: int, width: int, read: ReadSection
    ) -> np.ndarray:
        """Read rows of the mask as bits of `planes`."""
        if self.hdu is None:
            return np.zeros((stop - start, width), np.uint32)
        if self.codes is None:
            return _as_bits(self.hdu, start, stop, read) & np.uint32(
                self.stored.bits(self.stored.used)
            )
        # One row more on each side, for the neighbours.
        first, last = max(start - 1, 0), min(stop + 1, self.hdu.shape[0])
        codes = _as_integers(self.hdu, first, last, read)
        if self.grows_saturation:
            codes = np.where((codes == _BAD) & _touches(codes == _SAT), _SAT, codes)
        return _decode(codes[start - first : stop - first], self.codes, self.planes)


def mask_reader(
    hdu: Hdu | None, hdus: Sequence[Hdu], mapping: ReaderMapping
) -> MaskReader:
    """Find out which planes a mask has.

    Parameters
    ----------
    hdu, hdus
        The mask, if there is one, and all HDUs of its file.
    mapping
        How to read it: bits, codes, or by its header.

    Raises
    ------
    InputError
        The mask is not of integers, a card does not hold a bit number, or there are
        more planes than bits.
    """
    codes = mapping.codes
    if hdu is None:
        stored = MaskPlanes(())
    else:
        _check_integers(hdu)
        if codes is not None and mapping.bits is not None:
            codes = codes if _since_codes(hdus[0]) else None
        if codes is not None:
            stored = MaskPlanes(()).add(*codes.values(), "BAD")
        elif mapping.bits is not None:
            stored = _from_bits(hdu, mapping.bits)
        else:
            stored = _from_header(hdu, hdus)
    try:
        planes = stored.add(NO_DATA, BAD_VARIANCE)
    except ValueError as error:
        raise InputError(
            f"{hdu} has {len(stored.used)} planes, and {NO_DATA} and {BAD_VARIANCE} do "
            f"not fit into {MAX_PLANES} bits beside them; drop planes that are not used"
        ) from error
    grows = codes is not None and mapping.layout == "decam"
    return MaskReader(hdu, stored, planes, codes, grows)


def _check_integers(hdu: Hdu) -> None:
    """Refuse a mask of floating-point numbers."""
    if hdu.get("ZBITPIX" if hdu.compressed else "BITPIX") < 0:
        raise InputError(
            f"{hdu} should be a mask of integers and holds floating-point numbers; "
            "name another HDU or write the file again"
        )


def _since_codes(primary: Hdu) -> bool:
    """Tell whether DECam's pipeline was one that writes codes and not bits."""
    version = re.match(r"V?(\d+)\.(\d+)(?:\.(\d+))?", str(primary.get("PLVER", "")))
    if version is None:
        raise InputError(
            f"{primary} has no card PLVER that says whether its mask holds bits or "
            "codes; give `bits` or `codes` in a mapping"
        )
    return tuple(int(part or 0) for part in version.groups()) >= _SINCE_CODES


def _from_bits(hdu: Hdu, bits: Mapping[str, int]) -> MaskPlanes:
    """Make the planes of a mask from bit numbers."""
    if len(bits) > MAX_PLANES:
        raise InputError(
            f"{hdu} has {len(bits)} planes and a mask has at most {MAX_PLANES}; "
            "drop planes that are not used"
        )
    try:
        return MaskPlanes.from_bits(bits)
    except ValueError as error:
        raise InputError(f"the planes of {hdu} are not valid: {error}") from error


def _from_header(hdu: Hdu, hdus: Sequence[Hdu]) -> MaskPlanes:
    """Read the planes from the header of a mask; LSST's if it says nothing."""
    bits = {}
    for keyword in dict.fromkeys(hdu.header):
        if keyword.startswith("MP_"):
            bits[keyword[3:]] = _bit_number(hdu, keyword)
        elif re.fullmatch(r"MSKN\d{4}", keyword):
            name = str(hdu.get(keyword)).upper()
            bits[_OLDER_NAMES.get(name, name)] = _bit_of_value(hdu, "MSKM", keyword)
    masks = [other for other in hdus if other.name == "MASK"]
    if any(keyword.startswith("MSKN") for keyword in hdu.header) and len(masks) > 1:
        raise InputError(
            f"{hdu.path} spreads its planes over {len(masks)} masks, which is not "
            f"read; write it with at most {MAX_PLANES} planes"
        )
    return _from_bits(hdu, bits) if bits else LSST_PLANES


def _bit_number(hdu: Hdu, keyword: str) -> int:
    """Return the bit number that an MP card holds."""
    bit = hdu.get(keyword)
    if not isinstance(bit, int) or isinstance(bit, bool) or not 0 <= bit < MAX_PLANES:
        raise InputError(
            f"card {keyword} of {hdu} should be a bit number from 0 to "
            f"{MAX_PLANES - 1} and is {bit!r}; correct the header"
        )
    return bit


def _bit_of_value(hdu: Hdu, prefix: str, keyword: str) -> int:
    """Return the bit number of the plane that a card names, from its bit value."""
    card = prefix + keyword[4:]
    value = hdu.get(card, 1 << int(keyword[4:]))
    if not isinstance(value, int) or value <= 0 or value & (value - 1):
        raise InputError(
            f"card {card} of {hdu} should be one bit and is {value!r}; "
            "correct the header"
        )
    return value.bit_length() - 1


def _as_integers(hdu: Hdu, start: int, stop: int, read: ReadSection) -> np.ndarray:
    """Read rows of integers in the machine's byte order."""
    values = read(hdu, start, stop, blank=False)
    if values.dtype.kind not in "iu":
        raise InputError(
            f"{hdu} should be a mask of integers, and scaled by BSCALE and BZERO they "
            "are none; write the file again"
        )
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _as_bits(hdu: Hdu, start: int, stop: int, read: ReadSection) -> np.ndarray:
    """Read rows of integers as unsigned 32-bit numbers, the sign being a bit."""
    values = _as_integers(hdu, start, stop, read)
    return values.view(f"u{values.dtype.itemsize}").astype(np.uint32)


def _decode(
    codes: np.ndarray, names: Mapping[int, str], planes: MaskPlanes
) -> np.ndarray:
    """Give each code the bit of its plane, and unknown codes that of BAD."""
    unknown = max(names, default=0) + 1
    table = np.full(unknown + 1, 1 << planes.bit("BAD"), np.uint32)
    table[0] = 0
    for code, name in names.items():
        table[code] = 1 << planes.bit(name)
    known = (codes >= 0) & (codes < unknown)
    return table[np.where(known, codes, unknown)]


def _touches(region: np.ndarray) -> np.ndarray:
    """Tell which pixels have one of a region among their eight neighbours."""
    rows = region.copy()
    rows[1:] |= region[:-1]
    rows[:-1] |= region[1:]
    result = rows.copy()
    result[:, 1:] |= rows[:, :-1]
    result[:, :-1] |= rows[:, 1:]
    return result
